"""From two short models to what a step of the long one holds."""

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from jobs.forecast.files import Stored, extended, file_bytes, outside, stored_tensors
from jobs.forecast.pretend import pretending, shape_of
from jobs.forecast.stacks import Repetition, depth_of, repetition_of, shortened, stacks_of
from jobs.forecast.step import Step, Way, step_of
from storage.problems import TrainingStopped

MOST_WHOLE = 4  # layers up to which a model is not shortened


@dataclass(frozen=True)
class Traced:
    """A step at full depth: the most bytes in each phase, of what they consist, which is highest, and what is exact."""

    peaks: dict[str, int]
    made_of: dict[str, dict[str, int]]
    phase: str
    trainable: int
    total: int
    checkpoint_bytes: int
    operations: int  # of one step

    @property
    def parts(self) -> dict[str, int]:
        """Of what the highest phase consists."""
        return self.made_of[self.phase]


@dataclass
class Short:
    """What one short model says."""

    step: Step
    trainable: int
    total: int
    stored: list[Stored] = field(default_factory=list)
    stack_names: list[str] = field(default_factory=list)


def trace(config, auto_class: str, build: Callable[[Any], torch.nn.Module], way: Way, whole: bool = False,
          every: int = 1) -> Traced:
    """`build` makes the model of a config, ready for a step, of fake tensors.

    `whole` where its layers differ by their number; `every` tells how many layers share something, group by group.
    """
    layers = depth_of(config)
    repetition = repetition_of(shape_of(config, auto_class, torch.bfloat16), config, every)
    if whole or layers <= MOST_WHOLE or repetition.short[1] >= layers:
        only = look(config, layers, build, way)
        return together(only, only, Repetition(layers, 0, layers))
    low, high = (look(shortened(config, depth), depth, build, way) for depth in repetition.short)
    if outside(low.stored, low.stack_names) != outside(high.stored, high.stack_names):  # what stands beside them may grow in steps
        return together(low, high, repetition, look(config, layers, build, None))
    return together(low, high, repetition)


def look(config, layers: int, build, way: Way | None) -> Short:
    """A model of so many layers, and a step with it unless there is no way."""
    with in_a_sentence(config), pretending():
        model = build(config)
        names = {id(module): name for name, module in model.named_modules()}
        short = Short(None, *counts(model), stored_tensors(model), [names[id(stack)] for stack in stacks_of(model, layers)])
        short.step = step_of(model, layers, way) if way else None
    return short


@contextlib.contextmanager
def in_a_sentence(config):
    """What a family's own code raises on the way is told with its cause, as a problem of the studio's."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise TrainingStopped(f"What a model of the kind '{config.model_type}' takes cannot be forecast with these settings: "
                              f"{type(error).__name__}: {error} Choose another base model or method.") from error


def counts(model) -> tuple[int, int]:
    """Numbers that learn, and all; of weights in few bits those that they stand for."""
    each = [(getattr(weight, "stands_for", weight.numel()), weight.requires_grad) for weight in model.parameters()]
    return sum(size for size, learns in each if learns), sum(size for size, _ in each)


def together(low: Short, high: Short, repetition: Repetition, counted: Short | None = None) -> Traced:
    """The full depth, from two short ones; what was counted at full depth is taken from there."""
    alone = low is high

    def full(one: float, other: float) -> int:
        return round(one if alone else repetition.extended(one, other))

    peaks = {phase: full(low.step.peaks[phase], high.step.peaks[phase]) for phase in low.step.peaks if phase in high.step.peaks}
    made_of = {phase: consists(low.step.made_of[phase], high.step.made_of[phase], full) for phase in peaks}
    operations, highest = full(low.step.operations, high.step.operations), max(peaks, key=peaks.__getitem__)
    if counted:
        return Traced(peaks, made_of, highest, counted.trainable, counted.total, file_bytes(counted.stored), operations)
    stored = low.stored if alone else extended(low.stored, high.stored, low.stack_names, repetition)
    return Traced(peaks, made_of, highest, full(low.trainable, high.trainable), full(low.total, high.total), file_bytes(stored),
                  operations)


def consists(low: Counter, high: Counter, full: Callable[[float, float], int]) -> dict[str, int]:
    return {label: max(0, full(low[label], high[label])) for label in {*low, *high}}
