"""Points by two figures, each with its name beside it: drawn without a script, and as readable on a phone as on a desk."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from studio.render import render
from studio.views.chart import Axis, axis

NARROW = (222, 230)  # pixels that the plot has at least; names that do not touch there touch nowhere
LETTER, LINE = 7, 16  # pixels that a letter and a line take
DOT = 11  # pixels from the middle of a point to its name
LIFTS = (0, 18, 36)  # pixels that a name stands farther above or below, with a line to its point
LOG_FROM = 8  # how many times the lowest value the highest is, from which the places are by powers of ten

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Spot:
    """One point: its name, what the pointer shows, and how it is drawn."""

    x: float
    y: float
    name: str
    title: str
    stands_out: bool = False
    is_best: bool = False


@dataclass(frozen=True)
class Scale:
    """From a value to its place, 0 to 1, with the labelled places."""

    axis: Axis
    by_powers: bool
    ticks: tuple[tuple[float, str], ...]

    def place(self, value: float) -> float:
        return self.axis.place(math.log10(value) if self.by_powers else value)


def scale(values: Sequence[float], text: Callable[[float], str], powers: bool = False, about: int = 4) -> Scale:
    """A scale around these values with round labels; by powers of ten where `powers` allows it and they lie far apart."""
    low, high = min(values), max(values)
    if powers and low > 0 and high >= LOG_FROM * low:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        apart = max(1, math.ceil((last - first) / about))
        ticks = range(first, last + 1, apart)
        of = Axis(first, max(last, first + 1), tuple(ticks))
        return Scale(of, True, tuple((of.place(power), text(10.0**power)) for power in ticks))
    if low == high:  # in the middle, with something around it
        around = abs(low) * 0.05 or 1
        low, high = low - around, high + around
    of = axis(low, high, about)
    return Scale(of, False, tuple((of.place(tick), text(tick)) for tick in of.ticks))


def scatter(spots: Sequence[Spot], x: Scale, y: Scale, *, title: str, x_title: str, y_title: str, better: str,
            summary: str, diagonal: bool = False) -> str:
    """The drawing as HTML. `better` says towards which corner both figures get better, or what the diagonal is."""
    width, height = NARROW
    places = [(x.place(spot.x), 1 - y.place(spot.y)) for spot in spots]
    sides = name_sides([spot.name for spot in spots], [(left * width, top * height) for left, top in places],
                       [spot.stands_out for spot in spots])
    drawn = [{"spot": spot, "left": 100 * left, "top": 100 * top, "side": side, "lift": lift}
             for spot, (left, top), (side, lift) in zip(spots, places, sides, strict=True)]
    return render(
        "scatter.html",
        spots=sorted(drawn, key=lambda each: (each["spot"].stands_out, each["spot"].is_best)),
        x_ticks=[(100 * place, text) for place, text in x.ticks],
        y_ticks=[(100 * (1 - place), text) for place, text in y.ticks],
        title=title,
        x_title=x_title,
        y_title=y_title,
        better=better,
        summary=summary,
        diagonal=diagonal,
    )


def name_sides(names: Sequence[str], at: Sequence[tuple[float, float]], first: Sequence[bool]) -> list[tuple[str, int]]:
    """On which side of its point each name stands so that no two touch, and how much farther; an empty side where there is no
    room. Some choose first."""
    boxes: list[Box] = [(x - DOT, y - DOT, x + DOT, y + DOT) for x, y in at]
    sides = [("", 0)] * len(names)
    for number in sorted(range(len(names)), key=lambda number: not first[number]):
        if not names[number]:
            continue
        own = boxes[number]
        for (side, lift), box in _sides(at[number], LETTER * len(names[number])).items():
            taken = [box, _line(at[number], box)] if lift else [box]
            if _inside(box) and not any(_touch(one, other) for one in taken for other in boxes if other is not own):
                sides[number] = side, lift
                boxes += taken
                break
    return sides


def _line(at: tuple[float, float], box: Box) -> Box:
    """From a point's edge to its name farther above or below."""
    x, y = at
    return (x - 1, box[3], x + 1, y - DOT) if box[1] < y else (x - 1, y + DOT, x + 1, box[1])


def _sides(at: tuple[float, float], length: float) -> dict[tuple[str, int], Box]:
    x, y = at
    across = {"right": (x + DOT, x + DOT + length), "left": (x - DOT - length, x - DOT)}
    over = {"": (x - length / 2, x + length / 2), "-right": (x - DOT, x - DOT + length), "-left": (x + DOT - length, x + DOT)}
    return {
        **{(side, 0): (left, y - LINE / 2, right, y + LINE / 2) for side, (left, right) in across.items()},
        **{(f"{way}{side}", lift): (left, middle - LINE / 2, right, middle + LINE / 2)
           for lift in LIFTS
           for way, middle in (("above", y - DOT - LINE / 2 - lift), ("below", y + DOT + LINE / 2 + lift))
           for side, (left, right) in over.items()},
    }


def _inside(box: Box) -> bool:
    """A name may reach over the plot's ends by a little, where nothing else stands."""
    return box[0] >= -DOT and box[2] <= NARROW[0] + 8 and box[1] >= -LINE and box[3] <= NARROW[1]


def _touch(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
