"""Curves over steps: values thinned out to what a screen can show, and drawn without a script."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from jobs import units
from storage.records import MetricPoint
from studio.render import render
from studio.text import say

MOST_POINTS = 200  # of one curve; a screen shows no more
MOST_DOTS = 40  # more would touch each other
NAMES = ("loss", "eval_loss")

Point = tuple[float, float]  # step, value


@dataclass(frozen=True)
class Axis:
    """From where to where, and the values that are labelled."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Where a value lies, 0 to 1."""
        return (value - self.low) / (self.high - self.low)


def series(points: Sequence[MetricPoint], name: str) -> list[Point]:
    """One metric's finite values in order of steps, at most MOST_POINTS: neighbours are averaged, the ends are kept."""
    values = [(point.step, point.value) for point in points if point.name == name and math.isfinite(point.value)]
    if len(values) <= MOST_POINTS:
        return values
    first, *middle, last = values
    size = math.ceil(len(middle) / (MOST_POINTS - 2))
    bins = [middle[start : start + size] for start in range(0, len(middle), size)]
    return [
        first,
        *((sum(step for step, _ in part) / len(part), sum(value for _, value in part) / len(part)) for part in bins),
        last,
    ]


def axis(low: float, high: float, about: int = 4, whole: bool = False) -> Axis:
    """Round limits around the values, with about so many labelled steps between."""
    if high <= low:
        high = low + (abs(low) or 1)
    raw = (high - low) / about
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    if whole:
        step = max(1, math.ceil(step))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(number * step, 10) for number in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def loss_chart(points: Sequence[MetricPoint], total_steps: int, ended: bool) -> str:
    """The loss curves as HTML, or why there are none yet."""
    curves = {name: values for name in NAMES if (values := series(points, name))}
    if not curves:
        return render("chart.html", curves=[], empty=say("run.chart.none" if ended else "run.chart.empty"))
    values = [value for curve in curves.values() for _, value in curve]
    last_step = max(step for curve in curves.values() for step, _ in curve)
    # from zero, so that a fall looks as large as it is; the whole run's width, so that nothing shifts while it grows
    y, x = axis(min(0, *values), max(values)), axis(0, max(last_step, total_steps, 1), about=5, whole=True)
    x = Axis(
        x.low, max(last_step, total_steps, 1), tuple(tick for tick in x.ticks if tick <= max(last_step, total_steps, 1))
    )
    lines = [
        {
            "name": name,
            "title": say(f"run.chart.{name}"),
            "path": " ".join(f"{1000 * x.place(step):.1f},{1000 * (1 - y.place(value)):.1f}" for step, value in curve),
            "dots": [(100 * x.place(step), 100 * (1 - y.place(value))) for step, value in curve]
            if len(curve) == 1 or name == "eval_loss" and len(curve) <= MOST_DOTS
            else [],
        }
        for name, curve in curves.items()
    ]
    hover = [
        {
            "title": say(f"run.chart.{name}"),
            "points": [[round(100 * x.place(step), 2), f"{step:,.0f}", units.figure(value)] for step, value in curve],
        }
        for name, curve in curves.items()
    ]
    return render(
        "chart.html",
        curves=lines,
        hover=json.dumps(hover),
        summary=_summary(curves),
        x_ticks=[(100 * x.place(tick), f"{tick:,.0f}") for tick in x.ticks],
        y_ticks=[(100 * (1 - y.place(tick)), units.figure(tick)) for tick in y.ticks],
    )


def _summary(curves: dict[str, list[Point]]) -> str:
    steps = max(step for curve in curves.values() for step, _ in curve)
    lines = [
        say(
            "run.chart.line",
            name=say(f"run.chart.{name}").capitalize(),
            first=units.figure(curve[0][1]),
            last=units.figure(curve[-1][1]),
        )
        for name, curve in curves.items()
    ]
    return say("run.chart.summary", steps=f"{steps:,.0f}", lines=" ".join(lines))
