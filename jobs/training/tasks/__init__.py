"""One module per task, all of one shape: PEFT_TASK, load_model, encode, build_trainer, sample."""

from importlib import import_module
from types import ModuleType


def load_task(name: str) -> ModuleType:
    """The module of a task by the Hub's name for it, as in jobs.recipe.Task."""
    return import_module(f"jobs.training.tasks.{name.replace('-', '_')}")
