"""What the peers on transformers and PEFT share: their arguments, a clock, and the line of JSON that they end with."""

import argparse
import json
import time
from pathlib import Path

import psutil
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel, Trainer, TrainerCallback

from bench.peers import work

IGNORED = -100  # a label that the loss leaves out


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
    given = work.read(options.work)
    own = {"bf16": given.on_gpu or options.bf16, "gradient_checkpointing": options.checkpointing}
    return dict(
        output_dir=str(options.out / "training"), num_train_epochs=work.EPOCHS, per_device_train_batch_size=given.batch,
        learning_rate=work.RATE, lr_scheduler_type="linear", warmup_steps=0, weight_decay=0.0, seed=work.SEED,
        use_cpu=not given.on_gpu,
        report_to=[], disable_tqdm=True, include_num_input_tokens_seen="non_padding",
        **{name: value for name, value in own.items() if value is not None},
        **({"train_sampling_strategy": "group_by_length"} if options.group else {}))


def base_model(folder: Path) -> PreTrainedModel:
    """The work's base model: in fp32 on a processor, in bf16 on a GPU, or in nf4."""
    given = work.read(folder)
    dtype = torch.bfloat16 if given.on_gpu else torch.float32
    bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                              bnb_4bit_compute_dtype=dtype) if given.nf4 else None
    return AutoModelForCausalLM.from_pretrained(folder / "base", dtype=dtype, quantization_config=bits,
                                                device_map={"": 0 if given.on_gpu else "cpu"} if bits else None)


def rows_of(folder: Path, tokenizer) -> Dataset:
    """The work's rows as tokens, with the loss on the answers."""
    most = work.read(folder).max_length
    encoded = [(ids[:most], prompt) for ids, prompt in work.encode(tokenizer, folder / "train.jsonl")]
    return Dataset.from_list([{"input_ids": ids, "attention_mask": [1] * len(ids), "labels": [IGNORED] * prompt + ids[prompt:]}
                              for ids, prompt in encoded])


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
