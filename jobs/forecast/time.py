"""How long a run takes, from how fast this device was with runs like it. Nothing measured, nothing said. Without torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from jobs.forecast.result import Forecast, Seconds
from jobs.forecast.rows import Rows, texts_of
from jobs.recipe import Recipe
from storage.records import Run

NEAREST = 10  # runs that count, those first whose batches are as much work
ALIKE = 4     # times as much work in a batch, up to which a device is about as fast
WIDTH = {1: 2.0, 2: 1.5}  # by how few runs stand behind it: what the range is widened by, each way
NARROWEST = 1.1


@dataclass(frozen=True)
class Pace:
    """How fast a run was: floating-point operations in a second, for real tokens; how many a batch had; the rest of its time."""

    rate: float
    work: float
    beside: float | None  # seconds from its start to its end that were not training; None: it was interrupted


def with_time(forecast: Forecast, recipe: Recipe, rows: Rows, runs: Sequence[Run]) -> Forecast:
    """The forecast with seconds, as far as `runs` of its device (the newest first) and what is known of the rows tell."""
    paces = paces_like(forecast, recipe, runs)
    if not paces:
        return forecast
    training = recipe.training
    per_token = forecast.step_operations / forecast.step_tokens
    full = forecast.step_tokens * training.accumulation
    texts = texts_of(recipe.dataset.format)
    mean = training.batch_size * training.accumulation * rows.mean_tokens / texts
    tokens = full if training.packing or not mean else min(mean, full)
    step = seconds(tokens * per_token, forecast.step_operations, paces)
    if not rows.training or not (mean or training.packing and rows.mean_tokens):
        return replace(forecast, step_seconds=step)
    whole = seconds(tokens * per_token * steps_of(recipe, rows, full), forecast.step_operations, paces)
    beside = [pace.beside for pace in paces if pace.beside is not None]
    if not beside:
        return replace(forecast, step_seconds=step)
    rest = widened(beside)
    return replace(forecast, step_seconds=step, run_seconds=Seconds(
        whole.likely + rest.likely, whole.least + rest.least, whole.most + rest.most))


def steps_of(recipe: Recipe, rows: Rows, tokens_of_step: float) -> int:
    """Steps of the optimizer; packed rows are as many as their tokens fill."""
    training = recipe.training
    if training.max_steps:
        return training.max_steps
    if training.packing:
        return max(1, math.ceil(rows.training * rows.mean_tokens * training.epochs / tokens_of_step))
    batches = math.ceil(rows.training / training.batch_size)
    return max(1, math.ceil(math.ceil(batches / training.accumulation) * training.epochs))


def seconds(operations: float, work: float, paces: Sequence[Pace]) -> Seconds:
    """For so many operations in batches of so much work: by the median pace, between the slowest and the fastest, and wider."""
    each = [operations / pace.rate for pace in paces]
    least, most = min(each), max(each)
    for found, pace in zip(each, paces, strict=True):
        times = work / pace.work
        if times > ALIKE:  # if small batches waited more than they computed, large ones are no slower than in proportion
            least = min(least, found / times)
        elif times < 1 / ALIKE:
            most = max(most, found / times)
    return widened(each, least, most)


def widened(each: Sequence[float], least: float | None = None, most: float | None = None) -> Seconds:
    """The median of what was measured, with a range that is the wider the less was measured."""
    width = WIDTH.get(len(each), NARROWEST)
    return Seconds(median(each), (min(each) if least is None else least) / width, (max(each) if most is None else most) * width)


def paces_like(forecast: Forecast, recipe: Recipe, runs: Sequence[Run]) -> list[Pace]:
    """Of the runs that are most like this one: same base model and method, else same base model, else same number format."""
    if not forecast.step_operations or not forecast.step_tokens:
        return []
    timed = [(run, pace) for run in runs if (pace := pace_of(run))]
    training = recipe.training

    def alike(run: Run) -> bool:
        theirs = run.recipe["training"]
        return (run.recipe.get("quantization") == recipe.quantization and theirs.get("precision") == training.precision
                and theirs.get("gradient_checkpointing") == training.gradient_checkpointing)

    def nearness(pace: Pace) -> float:
        return abs(math.log(pace.work / forecast.step_operations))

    def same_model(run: Run) -> bool:
        return recipe.base_model in (run.base_model, run.recipe.get("base_model"))

    tiers = (lambda run: alike(run) and same_model(run) and run.method == recipe.method,
             lambda run: alike(run) and same_model(run), alike, lambda run: True)
    for like in tiers:
        found = [pace for run, pace in timed if like(run)]
        if found:
            near = [pace for pace in found if nearness(pace) <= math.log(ALIKE)]
            return sorted(near or found, key=nearness)[:NEAREST]
    return []


def pace_of(run: Run) -> Pace | None:
    """How fast a run was, where it was forecast, timed, and trained as it was asked."""
    record = run.forecast
    if run.adjustments or not (run.tokens_per_second and record.get("step_operations") and record.get("step_tokens")):
        return None
    texts = texts_of(run.recipe["dataset"].get("format", ""))
    rate = run.tokens_per_second * record["step_operations"] / (record["step_tokens"] * texts)
    whole = run.attempts == 1 and not run.continues and run.finished_at and run.claimed_at and run.train_seconds
    beside = max(0.0, run.finished_at - run.claimed_at - run.train_seconds) if whole else None
    return Pace(rate, record["step_operations"], beside)
