"""Methods compared on one base model and dataset with one budget: the recipe that makes the runs, and which nobody beats."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from jobs.methods import METHODS
from jobs.recipe import NAME_LENGTH, SMALLER_IS_BETTER, scores_of
from jobs.sweep_plan import value_text
from storage.problems import RecipeInvalid
from storage.records import Run, RunState, Sweep

FEWEST, USUAL = 2, 5     # methods: that make a comparison, and that one begins with
LEFT_OUT = "left_out"    # where a sweep's recipe keeps the methods that could not take part, each with its reason
SAME_MEMORY = 0.02       # peaks that differ by less count as the same: on a CPU, repeats of a recipe were up to 1.6% apart
OTHER_QUESTIONS = ("base_model", "task", "dataset")  # runs that differ in these are not measured alike


# ---- before: what is compared


@dataclass(frozen=True)
class ComparisonPlan:
    """A recipe with a list of methods, and why others cannot take part."""

    values: dict[str, Any]
    left_out: dict[str, str]


def usual_methods(task: str, quantization: str = "none", first: str = "") -> list[str]:
    """A few methods of different families that serve the task, the best known of each; `first` stands for its own family."""
    chosen: dict[str, str] = {}
    for method in sorted(METHODS.values(), key=lambda method: method.name != first):
        if method.family not in chosen and not why_not(method.name, task, quantization):
            chosen[method.family] = method.name
    return list(chosen.values())[:USUAL]


def why_not(name: str, task: str, quantization: str = "none") -> str:
    """Why a method cannot serve a task or a quantised base, as far as the catalogue knows; empty where it can."""
    method = METHODS[name]
    if quantization != "none" and quantization not in method.quantizations:
        return f"It takes only bases in {' or '.join(method.quantizations)}."
    return method.reason(f"task {task}") or (method.reason(quantization) if quantization != "none" else "")


def equal_budget(values: dict[str, Any], methods: Iterable[str], steps: int = 0) -> dict[str, Any]:
    """The recipe of a comparison: every method with its own learning rate and settings, and everything else the same for all.

    None ends early, so that all have the same steps: `steps`, or what the recipe says. The best state of each is kept.
    """
    training = {**(values.get("training") or {}), "learning_rate": None, "patience": 0, **({"max_steps": steps} if steps else {})}
    return {**values, "name": values.get("name") or f"{value_text(values['base_model'])} comparison"[:NAME_LENGTH],
            "method": list(dict.fromkeys(methods)), "method_settings": {}, "start_from": "", "training": training}


def plan_comparison(values: dict[str, Any], check: Callable[[dict], Any]) -> ComparisonPlan:
    """A recipe with a list of methods without those that cannot run; `check` raises RecipeInvalid for the recipe of one method.

    Raises RecipeInvalid with what is wrong whatever the method, or where too few methods are left.
    """
    if len(values["method"]) < FEWEST:
        raise RecipeInvalid(["A comparison takes two methods or more. Choose some."])
    if values["dataset"].get("validation") == "none":
        raise RecipeInvalid(["dataset.validation is none, and a comparison needs rows to measure with. Keep some aside."])
    problems = {method: _problems(check, {**values, "method": method}) for method in values["method"]}
    first, *others = problems.values()
    if everywhere := [problem for problem in first if all(problem in other for other in others)]:
        raise RecipeInvalid(everywhere)
    able = [method for method, found in problems.items() if not found]
    left_out = {method: " ".join(found) for method, found in problems.items() if found}
    if len(able) < FEWEST:
        reasons = [f"{METHODS[method].title if method in METHODS else method} cannot take part: {why}"
                   for method, why in left_out.items()]
        raise RecipeInvalid([*reasons, "Fewer than two methods are left to compare. Choose others."])
    return ComparisonPlan({**values, "method": able}, left_out)


def _problems(check: Callable[[dict], Any], values: dict) -> list[str]:
    try:
        check(values)
    except RecipeInvalid as problem:
        return problem.problems
    return []


# ---- after: what came of it


@dataclass(frozen=True)
class Score:
    """What quality is measured by, and in which direction it is better."""

    name: str
    lower: bool


@dataclass(frozen=True)
class Row:
    """What one adapter is worth and what it takes; None where that was not measured."""

    id: str
    quality: float | None
    memory: int | None
    size: int | None
    memory_of: str = ""  # peaks that were counted in different ways do not compare

    @property
    def is_whole(self) -> bool:
        return None not in (self.quality, self.memory, self.size)


@dataclass(frozen=True)
class Comparison:
    """All runs of a comparison: `beaten_by` has those with all three figures, and by whom they are beaten."""

    score: Score
    rows: dict[str, Row]
    beaten_by: dict[str, tuple[str, ...]]
    best: str | None  # the id of the best adapter

    @property
    def unbeaten(self) -> list[str]:
        """Those that nobody beats, the best quality first."""
        free = [self.rows[id] for id, by in self.beaten_by.items() if not by]
        return [row.id for row in sorted(free, key=lambda row: _rank(row, self.score))]


def is_comparison(sweep: Sweep) -> bool:
    """Whether the runs of a sweep differ in their method, on one base model and dataset."""
    return "method" in sweep.varied and not any(name.split(".")[0] in OTHER_QUESTIONS for name in sweep.varied)


def compare(sweep: Sweep, runs: Iterable[Run]) -> Comparison | None:
    """How the runs compare so far; None for a sweep that compares no methods."""
    runs = list(runs)
    if not runs or not is_comparison(sweep):
        return None
    score = score_of(runs[0])
    rows = [row_of(run, score) for run in runs]
    beaten_by = front(rows, score.lower)
    measured = [row for row in rows if row.quality is not None]
    # the best is one that nobody beats, also where several have the same quality
    among = [row for row in measured if beaten_by.get(row.id) == ()] or measured
    best = min(among, key=lambda row: _rank(row, score), default=None)
    return Comparison(score, {row.id: row for row in rows}, beaten_by, best.id if best else None)


def score_of(run: Run) -> Score:
    """What a run's recipe chose to judge states by, else the main score of its task."""
    format = (run.data or {}).get("format", "")
    chosen = run.recipe.get("training", {}).get("best_by", "eval_loss")
    # a margin has no scale of its own, so that a method could raise it by larger numbers alone
    own = [name for name in scores_of(run.task, format) if name not in ("eval_loss", "reward_margin")]
    name = chosen if chosen != "eval_loss" or not own else own[0]
    return Score(name, name in SMALLER_IS_BETTER)


def row_of(run: Run, score: Score) -> Row:
    """A run's figures; one that left no adapter has none, and one that still goes on has none yet."""
    if run.state not in (RunState.FINISHED, RunState.STOPPED):
        return Row(run.id, None, None, None)
    quality = run.eval_loss if score.name == "eval_loss" else (run.metrics or {}).get(score.name)
    return Row(run.id, quality if quality is not None and math.isfinite(quality) else None, run.peak_memory_bytes,
               run.checkpoint_bytes, run.peak_memory_of)


def front(rows: Iterable[Row], lower: bool) -> dict[str, tuple[str, ...]]:
    """For each row with all three figures, those that beat it: no worse in any of quality, memory and size, and better in one.

    A row that nobody beats has an empty tuple; rows that are equal in all three do not beat each other. Of those that beat a row,
    the ones that nobody beats come first.
    """
    whole = [row for row in rows if row.is_whole]
    beaten_by = {row.id: [other.id for other in whole if _beats(other, row, lower)] for row in whole}
    return {id: tuple(sorted(by, key=lambda other: bool(beaten_by[other]))) for id, by in beaten_by.items()}


def _beats(one: Row, other: Row, lower: bool) -> bool:
    if one.memory_of != other.memory_of:
        return False
    quality = other.quality - one.quality if lower else one.quality - other.quality
    memory = other.memory - one.memory
    if abs(memory) <= SAME_MEMORY * max(one.memory, other.memory):
        memory = 0
    gains = (quality, memory, other.size - one.size)
    return min(gains) >= 0 and max(gains) > 0


def _rank(row: Row, score: Score) -> tuple:
    return (row.quality if score.lower else -row.quality, *(math.inf if part is None else part for part in (row.memory, row.size)))
