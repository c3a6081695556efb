"""What the peers on transformers and PEFT share: their arguments, a clock, and the line of JSON that they end with."""

import argparse
import json
import time
from pathlib import Path

import psutil
from transformers import Trainer, TrainerCallback

from bench.peers import work


class Clock(TrainerCallback):
    """Seconds of training, from its begin to its end, and from the start of the process to the end of the first step."""

    began = seconds = to_first_step = None

    def on_train_begin(self, args, state, control, **kwargs):
        self.began = time.monotonic()

    def on_step_end(self, args, state, control, **kwargs):
        if self.to_first_step is None:
            self.to_first_step = time.time() - psutil.Process().create_time()

    def on_train_end(self, args, state, control, **kwargs):
        self.seconds = time.monotonic() - self.began


def chosen() -> argparse.Namespace:
    """WORK (the folder of bench.peers.work), OUT (an empty folder), and what a user could choose by hand."""
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--group", action="store_true", help="rows of like length together")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, help="autocast, or none; else the library's default")
    parser.add_argument("--checkpointing", action=argparse.BooleanOptionalAction, help="of gradients; else the library's default")
    return parser.parse_args()


def arguments(options: argparse.Namespace) -> dict:
    """The settings that all tools have in common, with the chosen ones; all else is left to the library."""
    own = {"bf16": options.bf16, "gradient_checkpointing": options.checkpointing}
    return dict(
        output_dir=str(options.out / "training"), num_train_epochs=work.EPOCHS, per_device_train_batch_size=work.BATCH,
        learning_rate=work.RATE, lr_scheduler_type="linear", warmup_steps=0, weight_decay=0.0, seed=work.SEED, use_cpu=True,
        report_to=[], disable_tqdm=True, include_num_input_tokens_seen="non_padding",
        **{name: value for name, value in own.items() if value is not None},
        **({"train_sampling_strategy": "group_by_length"} if options.group else {}))


def train(trainer: Trainer, out: Path, *libraries: str) -> None:
    """Train, keep the adapter, and print the figures."""
    clock = Clock()
    trainer.add_callback(clock)
    trainer.train()
    peak = work.peak_bytes()
    trainer.model.save_pretrained(out / "adapter")
    print(json.dumps({
        "real_tokens": trainer.state.num_input_tokens_seen, "train_seconds": clock.seconds, "steps": trainer.state.global_step,
        "seconds_to_first_step": clock.to_first_step, "peak_memory_bytes": peak, "adapter_dir": str(out / "adapter"),
        "versions": work.versions("torch", "transformers", "peft", *libraries)}))
