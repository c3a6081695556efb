"""One module per task, all of one shape: PEFT_TASK, encode, load_model, build_trainer, sample."""

from importlib import import_module
from types import ModuleType


def load_task(name: str, format: str = "") -> ModuleType:
    """The module of a task by the Hub's name for it, as in jobs.recipe.Task; some tasks have one of their own for a data format."""
    if format in ("preference", "binary-preference"):
        name = "preference"
    return import_module(f"jobs.training.tasks.{name.replace('-', '_')}")
