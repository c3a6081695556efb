"""What was measured on this person's own runs, method by method."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jobs.recipe import SMALLER_IS_BETTER, scores_of
from storage.records import Run


@dataclass(frozen=True)
class OwnFigures:
    """The best run of a method among runs that can be compared, and how many there are. None: not measured."""

    best: Run
    score_name: str  # such as accuracy
    score: float | None
    runs: tuple[Run, ...]  # the best first


def own_figures(runs: Sequence[Run]) -> dict[str, OwnFigures]:
    """By method, from runs of one base model, task and set of data (storage.runs.RunRepository.of_group)."""
    name = score_of(runs)
    methods: dict[str, list[Run]] = {}
    for run in runs:
        methods.setdefault(run.method, []).append(run)
    return {method: _figures(name, found) for method, found in methods.items()}


def score_of(runs: Iterable[Run]) -> str:
    """What such runs are compared by: their task's own score where any has it, else the evaluation loss."""
    runs = list(runs)
    for run in runs[:1]:
        for name in scores_of(run.task, (run.data or {}).get("format", ""))[1:]:
            if any(_measured(other, name) is not None for other in runs):
                return name
    return "eval_loss"


def _figures(name: str, runs: list[Run]) -> OwnFigures:
    sign = 1 if name in SMALLER_IS_BETTER else -1
    ordered = sorted(runs, key=lambda run: math.inf if (score := _measured(run, name)) is None else sign * score)
    return own_figures_of(ordered[0], name, tuple(ordered))


def own_figures_of(run: Run, name: str, runs: tuple[Run, ...] = ()) -> OwnFigures:
    """Those of one run, which is the best of `runs`."""
    return OwnFigures(run, name, _measured(run, name), runs or (run,))


def _measured(run: Run, name: str) -> float | None:
    value = run.eval_loss if name == "eval_loss" else (run.metrics or {}).get(name)
    return value if isinstance(value, (int, float)) and math.isfinite(value) else None
