"""Parallel axes: a line for each run, across what it tries and what that took and gave. Drawn without a script."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jobs import units
from studio.render import render
from studio.views.chart import axis

WIDTH, HEIGHT = 918, 300  # of the drawing, in pixels; many axes make it wider, and then it scrolls
LEFT, RIGHT, TOP, BOTTOM = 78, 62, 46, 18
APART = 124  # pixels between two axes at least
LABEL_LENGTH = 16  # letters
CLOSEST = 0.07  # part of the height that labels keep between them
LOG_FROM = 8  # how many times the lowest value the highest is, from which the places are by powers


@dataclass(frozen=True)
class ParallelAxis:
    """One axis: its labels and every run's place on it, 0 (bottom) to 1; None where a run has no value."""

    title: str
    ticks: tuple[tuple[float, str], ...]
    places: tuple[float | None, ...]


@dataclass(frozen=True)
class ParallelLine:
    """One run: its name under the pointer, and whether it is the best."""

    title: str
    best: bool


def setting_axis(title: str, values: Sequence[Any], text: Callable[[Any], str], log: bool = False) -> ParallelAxis:
    """An axis for what runs try: numbers by their size, anything else by name. A setting that a run lacks has its own place."""
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) < len(values):
        names = [units.NOTHING if value is None else text(value) for value in values]
        return _by_place(title, names, {name: number for number, name in enumerate(dict.fromkeys(names))}, str)
    if min(numbers) > 0 and (log or max(numbers) >= LOG_FROM * min(numbers)):
        return _by_place(title, numbers, {number: math.log(number) for number in sorted(set(numbers))}, text)
    return _by_place(title, numbers, {number: number for number in sorted(set(numbers))}, text)


def result_axis(title: str, values: Sequence[float | None], text: Callable[[float], str]) -> ParallelAxis:
    """An axis for what was measured, with round labels; nothing is drawn where nothing was measured."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return ParallelAxis(title, (), (None,) * len(values))
    if min(known) == max(known):  # a scale around one value would seem to say how far apart the runs are
        return ParallelAxis(title, ((0.5, text(known[0])),), tuple(0.5 if value == known[0] else None for value in values))
    scale = axis(min(known), max(known))
    return ParallelAxis(
        title,
        tuple((scale.place(tick), text(tick)) for tick in scale.ticks),
        tuple(scale.place(value) if value is not None and math.isfinite(value) else None for value in values),
    )


def parallel_chart(axes: Sequence[ParallelAxis], lines: Sequence[ParallelLine], title: str, summary: str) -> str:
    """The drawing as HTML: a line ends where its run has no value yet; the best line is drawn last and named."""
    width = max(WIDTH, LEFT + RIGHT + APART * (len(axes) - 1))
    apart = (width - LEFT - RIGHT) / max(1, len(axes) - 1)

    def point(number: int, place: float) -> tuple[float, float]:
        return round(LEFT + number * apart, 1), round(HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM), 1)

    drawn = []
    for run, line in enumerate(lines):
        points = []
        for number, one in enumerate(axes):
            if one.places[run] is None:
                break
            points.append(point(number, one.places[run]))
        if points:
            drawn.append({"line": line, "points": points, "path": " ".join(f"{x},{y}" for x, y in points),
                          "ends": len(points) < len(axes)})
    return render(
        "parallel.html",
        width=width,
        height=HEIGHT,
        top=TOP,
        bottom=HEIGHT - BOTTOM,
        axes=[
            {"title": one.title, "x": point(number, 0)[0],
             "ticks": [(point(number, place)[1], _short(text), text) for place, text in one.ticks]}
            for number, one in enumerate(axes)
        ],
        lines=sorted(drawn, key=lambda each: each["line"].best),
        title=title,
        summary=summary,
    )


def _by_place(title: str, values: Sequence[Any], at: dict[Any, float], text: Callable[[Any], str]) -> ParallelAxis:
    """Values at these positions, spread over the axis; a single one stands in the middle."""
    low, high = min(at.values()), max(at.values())
    places = {value: (position - low) / (high - low) if high > low else 0.5 for value, position in at.items()}
    ticks: list[tuple[float, str]] = []
    for value, place in places.items():
        if not ticks or place - ticks[-1][0] >= CLOSEST:
            ticks.append((place, text(value)))
    return ParallelAxis(title, tuple(ticks), tuple(places[value] for value in values))


def _short(text: str) -> str:
    return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"
