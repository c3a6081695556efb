"""What the parts of one training share."""

from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from jobs.methods.full import FULL
from jobs.recipe import Recipe
from jobs.training.report import Report


@dataclass
class TrainingContext:
    """One training: where it reads and writes, on what device, and what it found on the way."""

    recipe: Recipe
    task: ModuleType              # jobs.training.tasks.…
    device: str                   # cpu, cuda:0, …
    precision: str                # fp32, bf16 or fp16: what is computed in
    base_path: Path
    attempt_dir: Path             # this attempt's checkpoints
    report: Report
    precision_why: str = ""
    base_precision: str = "fp32"  # what the base model's weights are held in
    evaluation_rows: int = 16     # at a time
    sample_tokens: int = 80       # of an answer that shows what the model makes of an example
    start_from: Path | None = None  # an adapter's folder, whose settings and weights are trained on
    checkpoint: Path | None = None  # that the training goes on from
    prepared_dir: Path | None = None  # where rows of tokens are kept
    format: str = ""              # of the examples, as in jobs.recipe.DataFormat
    model_type: str = ""          # of the base model, by transformers' name
    labels: list[str] = field(default_factory=list)   # classification: the label names, by id
    tokenizer: Any = None
    rows: Any = None              # to train on, a datasets.Dataset
    steps: int = 0                # of the whole training
    used_rows: set[int] = field(default_factory=set)  # that the method took for itself, and that are not trained on
    new_modules: list[str] = field(default_factory=list)      # layers that the base model lacks and the task adds
    modules_to_save: list[str] = field(default_factory=list)  # layers that are trained whole and saved with the adapter

    @property
    def peft_task(self) -> str:
        return self.task.PEFT_TASK

    @property
    def result(self) -> str:
        """What the training leaves, in a word."""
        return "model" if self.recipe.method == FULL else "adapter"
