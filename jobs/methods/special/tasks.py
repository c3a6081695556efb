"""Methods that learn several tasks at once, and must know which one a row belongs to: Polytropon and multitask prompt tuning.

Every source of mixed data is a task, numbered as the sources are. The rows bring their task along while they train
(jobs.training.rows and watch); everywhere else a model answers as `usual_task` says, the first one where nobody said.
"""

import contextlib
from typing import Any

from pydantic import Field

from jobs.methods.base import MethodSettings
from jobs.methods.special.base import TURNED_OVER, Special
from jobs.methods.special.prompts import StartText, VectorPrompt
from jobs.models.inspect import BaseModelFacts
from jobs.recipe import Recipe

TASKS = Field(None, ge=1, le=1000, title="Tasks", json_schema_extra={"shown": True},
              description="How many tasks there are; each source of mixed data is one. Empty: as many as the data has sources.")


class ByTask(Special):
    """Fills in the tasks of rows for a model whose forward wants them."""

    by_task = True
    asking = "Say to which task each row belongs: `task_ids=torch.tensor([0])` in calls of the model and of `generate`."
    count = ""  # the config's name for the number of tasks

    def refuse(self, settings: MethodSettings, recipe: Recipe, facts: BaseModelFacts) -> list[str]:
        reasons, held = super().refuse(settings, recipe, facts), recipe.dataset.validation
        if sources_of(recipe) > 1 and isinstance(held, str) and held != "none":
            reasons.append(f"dataset.validation is '{held}', and its rows do not say to which of the {sources_of(recipe)} tasks "
                           "they belong. Set it to a share, such as 0.1, which is kept back from each source.")
        return reasons

    def values(self, settings: MethodSettings, values: dict, context) -> dict:
        wanted, there = getattr(settings, self.count), sources_of(context.recipe)
        if wanted is not None and wanted < there:
            raise ValueError(f"{self.count} is {wanted}, and the data has {there} sources, each of which is a task")
        return {**super().values(settings, values, context), self.count: wanted or there}


class Polytropon(ByTask):
    settings: dict[str, tuple[Any, Any]] = {"n_tasks": (int | None, TASKS)}
    count = "n_tasks"
    divides = "n_splits"

    def opened(self, model) -> None:
        from peft.tuners.poly.layer import Linear

        def fill_in(layer, inputs, options):
            if options.get("task_ids") is None:
                options["task_ids"] = tasks_of(model, len(inputs[0]), inputs[0].device)
            return inputs, options

        # before peft's own hooks, which come and go with every pass, and put in what a caller gives
        for layer in model.modules():
            if isinstance(layer, Linear):
                layer.register_forward_pre_hook(fill_in, with_kwargs=True)


class MultitaskPrompt(ByTask, StartText, VectorPrompt):
    settings: dict[str, tuple[Any, Any]] = {"num_tasks": (int | None, TASKS)}
    count = "num_tasks"

    def opened(self, model) -> None:
        super().opened(model)
        prompt = model.get_prompt

        def filled(batch_size, task_ids=None, max_cache_len=None):
            if task_ids is None:
                task_ids = tasks_of(model, batch_size, model.device)
            return prompt(batch_size, task_ids, max_cache_len)

        model.get_prompt = filled


def sources_of(recipe: Recipe) -> int:
    """How many tasks the data of a recipe has: sources that are mixed, not files that are read as one table."""
    source = recipe.dataset.source
    return len(source) if not isinstance(source, str) and recipe.dataset.weights else 1


def tasks_in(config) -> int:
    """How many tasks an adapter with that config learned; 0 where it learned no single ones."""
    return getattr(config, Polytropon.count, None) or getattr(config, MultitaskPrompt.count, None) or 0


def tasks_of(model, rows: int, device):
    """The tasks of a pass's rows. A pass may hold its rows several times over, such as better answers and worse ones."""
    import torch

    known = getattr(model, "row_tasks", None)
    if known is None:
        return torch.full((rows,), getattr(model, "usual_task", 0), device=device)
    return known.repeat(rows // len(known)).to(device)


@contextlib.contextmanager
def rows_belong_to(model, tasks):
    """Let the passes within be about rows of these tasks, a tensor or None."""
    model.row_tasks = tasks
    try:
        yield
    finally:
        model.row_tasks = None


POLYTROPON = Polytropon(not_packed="Several examples in one row could be of several tasks.", not_on=TURNED_OVER)
MULTITASK = MultitaskPrompt()
