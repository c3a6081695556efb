"""What the parts of one training share."""

from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from jobs.recipe import Recipe
from jobs.training.report import Report


@dataclass
class TrainingContext:
    """One training: where it reads and writes, on what device, and what it found on the way."""

    recipe: Recipe
    task: ModuleType              # jobs.training.tasks.…
    device: str                   # cpu, cuda:0, …
    precision: str                # fp32, bf16 or fp16
    base_path: Path
    attempt_dir: Path             # this attempt's checkpoints
    report: Report
    labels: list[str] = field(default_factory=list)   # classification: the label names, by id
    tokenizer: Any = None
    new_modules: list[str] = field(default_factory=list)      # layers that the base model lacks and the task adds
    modules_to_save: list[str] = field(default_factory=list)  # layers that are trained whole and saved with the adapter

    @property
    def peft_task(self) -> str:
        return self.task.PEFT_TASK
