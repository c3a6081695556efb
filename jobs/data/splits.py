"""Which rows are kept back to measure with. What belongs together (repeated rows, a group's rows) is never on both sides."""

import math
import random
from array import array
from collections.abc import Sequence

from jobs.data.loading import LoadedData
from jobs.data.problems import ValidationInvalid
from jobs.data.store import Examples

FAR = 0.1  # of all rows: groups that miss what was asked for by more are a problem
MOST_SUMS = 400_000_000  # units times rows, up to which the nearest sum is looked for: it takes a bit for each


def split(examples: Sequence, validation: float | int | str | None, seed: int, labels: Sequence | None = None,
          groups: Sequence | None = None, column: str = "") -> tuple[Sequence, Sequence]:
    """Split into training and validation examples, both in their first order; the same seed gives the same split.

    `validation` is a share (0 < float < 1), a count (int), or "none", None or 0. With `labels` (one for each example),
    every label keeps its share in both parts, and at least one row to train on. With `groups` (one for each example, from
    a `column`) no group is on both sides, and the count is as near as whole groups allow. Raises ValidationInvalid.
    """
    digests = examples.digests() if hasattr(examples, "digests") else None
    held = held_out(len(examples), validation, seed, labels, groups, digests, column)
    take = getattr(examples, "take", lambda indexes: [examples[index] for index in indexes])
    if not held:
        return take(range(len(examples))), take(held)
    return take(_others(held, len(examples))), take(held)


def split_data(data: LoadedData, validation: float | int | str | None, seed: int) -> tuple[Examples, Examples]:
    """Split the examples of a dataset as its labels and the column that it is grouped by ask for; see split."""
    examples = data.examples
    return split(examples, validation, seed, examples.labels() if data.labels else None,
                 examples.groups() if data.group_by else None, data.group_by)


def held_out(rows: int, validation: float | int | str | None, seed: int, labels: Sequence | None = None,
             groups: Sequence | None = None, digests: Sequence | None = None, column: str = "") -> array:
    """The numbers of the rows that are kept back, ascending; see split. Rows with equal `digests` stay together."""
    wanted = validation_count(rows, validation)
    if wanted == 0:
        return array("Q")
    import numpy

    units = _units(rows, groups, digests)
    names = _numbered(labels) if labels is not None else numpy.zeros(rows, dtype="i8")
    asked = _Asked(rows, wanted, validation, labels is not None, column if groups is not None else "")
    label_of = numpy.zeros(int(units.max()) + 1, dtype="i8")
    label_of[units] = names
    if groups is not None and (label_of[units] != names).any():
        chosen = _choose_mixed(asked, units, names, random.Random(seed))
    else:
        chosen = _choose(asked, units, label_of, random.Random(seed))
    held = numpy.flatnonzero(chosen[units])
    if asked.column and abs(len(held) - wanted) > max(1, FAR * rows):
        raise ValidationInvalid(
            f"Validation asks for {wanted:,} of {rows:,} rows, and whole groups of the column '{column}' come no nearer than "
            f"{len(held):,}. Ask for about that many, choose another column, or give a validation file."
        )
    return _as_array(held)


def validation_count(rows: int, validation: float | int | str | None) -> int:
    """How many of the rows a validation setting asks for. Raises ValidationInvalid."""
    if validation in (None, "none", 0) and not isinstance(validation, bool):
        return 0
    if isinstance(validation, bool) or not isinstance(validation, (int, float)):
        raise ValidationInvalid(f"Validation is '{validation}'. Give a share such as 0.1, a count of rows, or none.")
    if validation < 0 or (isinstance(validation, float) and not 0 < validation < 1):
        raise ValidationInvalid(
            f"Validation is {validation}. A share lies between 0 and 1; a count of rows is a whole number."
        )
    if rows < 2:
        raise ValidationInvalid(
            "The dataset has one row only, so none can be kept for validation. Add rows, or choose none."
        )
    if isinstance(validation, float):
        return min(max(1, round(rows * validation)), rows - 1)
    if validation >= rows:
        raise ValidationInvalid(
            f"Validation asks for {validation:,} rows, but the dataset has {rows:,}. "
            f"Choose at most {rows - 1:,}, or a share such as 0.1."
        )
    return validation


class _Asked:
    """What was asked for, and the words for what the rows do not allow."""

    def __init__(self, rows: int, wanted: int, validation: float | int, labelled: bool, column: str):
        self.rows, self.wanted, self.labelled, self.column = rows, wanted, labelled, column
        self.is_count = isinstance(validation, int)

    def limited(self, most: int) -> int:
        """How many rows to aim at, where at most so many can be kept back."""
        if most == 0:
            raise self.impossible()
        if self.wanted <= most:
            return self.wanted
        if self.is_count:
            nothing_left = "some labels would have no row left to train on" if self.labelled else "no row is left to train on"
            raise ValidationInvalid(f"Validation asks for {self.wanted:,} rows, but then {nothing_left}. "
                                    f"Choose at most {most:,}, or a share such as 0.1.")
        return most

    def impossible(self) -> ValidationInvalid:
        """Nothing at all can be kept back."""
        advice = "Choose another column, or none." if self.column else "Add rows, or choose none."
        return ValidationInvalid(f"{self._reason()}, so none can be kept for validation. {advice}")

    def _reason(self) -> str:
        if self.column and self.labelled:
            return f"Every group of the column '{self.column}' has all rows of some label"
        if self.column:
            return f"All rows belong to one group of the column '{self.column}' (groups with the same row count as one)"
        return "Every label has one row only (repeated rows count as one)" if self.labelled else "All rows are the same"


# ---- what stays together


def _units(rows: int, groups: Sequence | None, digests: Sequence | None):
    """For each row the number of what it stays together with, numbered from 0 by first appearance."""
    import numpy

    if groups is None:
        return numpy.arange(rows) if digests is None else _numbered(digests)
    grouped = _numbered(groups)
    return grouped if digests is None else _numbered_array(_linked(grouped, _numbered(digests))[grouped])


def _linked(grouped, repeated):
    """For each group the number of its root: groups that share a repeated row have the same."""
    import numpy

    count = int(grouped.max()) + 1
    pairs = numpy.unique(repeated * count + grouped)
    same_row = numpy.flatnonzero(numpy.diff(pairs // count) == 0)
    roots = list(range(count))

    def root(group: int) -> int:
        while roots[group] != group:
            roots[group] = group = roots[roots[group]]
        return group

    for first, second in zip((pairs[same_row] % count).tolist(), (pairs[same_row + 1] % count).tolist(), strict=True):
        roots[root(second)] = root(first)
    return numpy.fromiter((root(group) for group in range(count)), dtype="i8", count=count)


def _numbered(values: Sequence):
    """Each value's number, counted from 0 by first appearance."""
    import numpy

    if isinstance(values, array):
        return _numbered_array(numpy.frombuffer(values, dtype="u8"))
    known: dict = {}
    return numpy.fromiter((known.setdefault(value, len(known)) for value in values), dtype="i8", count=len(values))


def _numbered_array(values):
    import numpy

    _, first, inverse = numpy.unique(values, return_index=True, return_inverse=True)
    ranks = numpy.empty(len(first), dtype="i8")
    ranks[numpy.argsort(first)] = numpy.arange(len(first))
    return ranks[inverse]


# ---- choosing where every unit has one label, or there are none


def _choose(asked: _Asked, units, label_of, chance: random.Random):
    """Which units are kept back: from every label its share, by largest remainder; what one label misses, the next makes up for."""
    import numpy

    sizes = numpy.bincount(units)
    by_label = numpy.argsort(label_of, kind="stable")
    counts = numpy.bincount(label_of)
    starts = numpy.concatenate(([0], numpy.cumsum(counts)))
    rows = numpy.add.reduceat(sizes[by_label], starts[:-1])
    limits = rows - numpy.minimum.reduceat(sizes[by_label], starts[:-1])  # a unit of every label stays
    wanted = asked.limited(int(limits.sum()))

    chosen = numpy.zeros(len(sizes), dtype=bool)
    missing = 0
    for number, share in enumerate(_shares(wanted, rows.tolist(), limits.tolist())):
        members = by_label[starts[number]:starts[number + 1]]
        drawn = members[_draw(chance, sizes[members], min(share + missing, int(limits[number])))]
        chosen[drawn] = True
        missing += share - int(sizes[drawn].sum())
    if missing:
        left = counts - numpy.bincount(label_of[chosen], minlength=len(counts))
        _fill_up(chosen, sizes, label_of, left, missing)
    off = abs(int(sizes[chosen].sum()) - wanted)
    if off > (0 if len(counts) == 1 else max(1, FAR * asked.rows)) and len(sizes) * asked.rows <= MOST_SUMS:
        nearest = _nearest(sizes, label_of, wanted, chance)
        if abs(int(sizes[nearest].sum()) - wanted) < off:
            chosen[:] = False
            chosen[nearest] = True
    return chosen


def _shares(wanted: int, sizes: list[int], limits: list[int]) -> list[int]:
    """How many rows to take of each label: in proportion, by largest remainder, and never more than its limit."""
    exact = [wanted * size / sum(sizes) for size in sizes]
    counts = [min(int(share), limit) for share, limit in zip(exact, limits, strict=True)]
    while (missing := wanted - sum(counts)) > 0:
        open_labels = [index for index, limit in enumerate(limits) if counts[index] < limit]
        open_labels.sort(key=lambda index: counts[index] - exact[index])
        for index in open_labels[:missing]:
            counts[index] += 1
    return counts


def _draw(chance: random.Random, sizes, target: int):
    """Places of units drawn at random whose sizes add up to the target, or as near below it as the draw allows."""
    import numpy

    drawn = numpy.frombuffer(_sample(chance, len(sizes), min(target, len(sizes) - 1)), dtype="u8").astype("i8")
    if len(sizes) == 0 or sizes.max() == 1:
        return drawn
    taken, room = _first_fitting(drawn, sizes, target)
    if room:
        unseen = numpy.ones(len(sizes), dtype=bool)
        unseen[drawn] = False
        others = numpy.flatnonzero(unseen & (sizes <= room))
        order = numpy.frombuffer(_sample(chance, len(others), min(room, len(others))), dtype="u8").astype("i8")
        taken += _first_fitting(others[order], sizes, room)[0]
    return numpy.array(taken, dtype="i8")


def _first_fitting(places, sizes, room: int) -> tuple[list[int], int]:
    taken = []
    for place, size in zip(places.tolist(), sizes[places].tolist(), strict=True):
        if size <= room:
            taken.append(place)
            room -= size
            if not room:
                break
    return taken, room


def _sample(chance: random.Random, size: int, count: int) -> array:
    """What chance.sample(range(size), count) gives, in a fifth of its memory: its own way for many needs a list of all."""
    if count and size <= 21 + (4 ** math.ceil(math.log(count * 3, 4)) if count > 5 else 0):
        pool, drawn = array("Q", range(size)), array("Q")
        for taken in range(count):
            place = chance.randrange(size - taken)
            drawn.append(pool[place])
            pool[place] = pool[size - taken - 1]
        return drawn
    return array("Q", chance.sample(range(size), count))


def _fill_up(chosen, sizes, label_of, left, missing: int) -> None:
    """Take more units, the largest that fit first; then larger ones in the place of others; then one that goes beyond where that
    is nearer or nothing is taken."""
    import numpy

    def free(most: int):
        """Units of at most that size of labels that keep another one; the largest first."""
        places = numpy.flatnonzero(~chosen & (left[label_of] > 1) & (sizes <= most))
        return places[numpy.argsort(-sizes[places], kind="stable")]

    for place in free(missing).tolist():
        if sizes[place] <= missing and left[label_of[place]] > 1:
            chosen[place] = True
            left[label_of[place]] -= 1
            missing -= int(sizes[place])
    for label in numpy.unique(label_of[chosen]).tolist() if missing else ():
        missing -= _exchange(chosen, sizes, numpy.flatnonzero(label_of == label), missing)
    beyond = free(int(sizes.max()) if not chosen.any() else 2 * missing - 1)
    if missing and len(beyond):
        chosen[beyond[-1]] = True


def _nearest(sizes, label_of, wanted: int, chance: random.Random) -> list[int]:
    """Some units, not all, whose rows come as near to what is wanted as any do; the labels' shares are not looked at.

    Where there are several labels, the smallest unit of each stays.
    """
    order = [int(place) for place in _sample(chance, len(sizes), len(sizes))]
    if label_of.any():
        left = {int(label_of[place]): place for place in sorted(order, key=lambda place: -sizes[place])}
        order = [place for place in order if left[int(label_of[place])] != place]
    sums = [1]  # a bit for each sum that the units so far can make
    for place in order:
        sums.append(sums[-1] | sums[-1] << int(sizes[place]))
    near = (total for off in range(int(sizes.sum())) for total in (wanted - off, wanted + off))
    target = next(total for total in near if 0 < total < sizes.sum() and sums[-1] >> total & 1)
    taken = []
    for number, place in reversed(list(enumerate(order))):
        if not sums[number] >> target & 1:
            taken.append(place)
            target -= int(sizes[place])
    return taken


def _exchange(chosen, sizes, members, missing: int) -> int:
    """Take larger units of a label in the place of smaller ones; returns by how many rows that is more."""
    import numpy

    gained = 0
    while True:
        taken, others = members[chosen[members]], members[~chosen[members]]
        (small, taken_at), (large, others_at) = (numpy.unique(sizes[units], return_index=True) for units in (taken, others))
        more = large[:, None] - small
        fitting = more[(more > 0) & (more <= missing - gained)]
        if not len(fitting):
            return gained
        place, instead_of = numpy.argwhere(more == fitting.max())[0]
        chosen[others[others_at[place]]], chosen[taken[taken_at[instead_of]]] = True, False
        gained += int(fitting.max())


# ---- choosing where some groups have rows of several labels


def _choose_mixed(asked: _Asked, units, names, chance: random.Random):
    """Which groups are kept back, so that their number of rows and the share of each label come near to what is asked for.

    Greedy: in random order, a group is taken where that brings both nearer; then, where rows are missing, those that do the
    labels the least harm. A group with all rows that a label has left is never taken.
    """
    import numpy

    kinds = int(names.max()) + 1
    pairs, counts = numpy.unique(units * kinds + names, return_counts=True)
    owners, labels = pairs // kinds, pairs % kinds
    sizes = numpy.bincount(units)
    starts = numpy.concatenate((numpy.flatnonzero(numpy.diff(owners, prepend=-1)), [len(pairs)])).tolist()
    of_label = numpy.bincount(names)
    state = _Mixture(asked.wanted, labels.tolist(), counts.tolist(), starts, sizes.tolist(), of_label.tolist(), asked.rows)
    for unit in _sample(chance, len(sizes), len(sizes)):
        if state.is_nearer(unit) and state.harm(unit) < 0 and state.is_free(unit):
            state.take(unit)
    if state.held < asked.wanted:
        rest = [unit for unit in range(len(sizes)) if unit not in state.taken and state.is_nearer(unit)]
        for unit in sorted(rest, key=state.harm):
            if state.is_nearer(unit) and state.is_free(unit):
                state.take(unit)
    if not state.taken:
        free = [unit for unit in range(len(sizes)) if state.is_free(unit)]
        if not free:
            raise asked.impossible()
        state.take(min(free, key=lambda unit: (state.sizes[unit], state.harm(unit))))
    chosen = numpy.zeros(len(sizes), dtype=bool)
    chosen[list(state.taken)] = True
    return chosen


class _Mixture:
    """What is kept back so far, by label; a unit's labels and their counts lie between two starts."""

    def __init__(self, wanted: int, labels: list[int], counts: list[int], starts: list[int], sizes: list[int],
                 of_label: list[int], rows: int):
        self.wanted, self.labels, self.counts, self.starts, self.sizes = wanted, labels, counts, starts, sizes
        self.of_label = of_label
        self.missing = [wanted * count / rows for count in of_label]  # of each label
        self.left = list(of_label)  # rows to train on
        self.held = 0
        self.taken: set[int] = set()

    def take(self, unit: int) -> None:
        self.taken.add(unit)
        self.held += self.sizes[unit]
        for place in range(self.starts[unit], self.starts[unit + 1]):
            self.missing[self.labels[place]] -= self.counts[place]
            self.left[self.labels[place]] -= self.counts[place]

    def is_nearer(self, unit: int) -> bool:
        """Whether the number of rows comes nearer to what is wanted."""
        return self.sizes[unit] < 2 * (self.wanted - self.held)

    def is_free(self, unit: int) -> bool:
        """Whether every label keeps a row to train on."""
        return all(self.left[self.labels[place]] > self.counts[place] for place in range(self.starts[unit], self.starts[unit + 1]))

    def harm(self, unit: int) -> float:
        """How much farther the labels' shares are from what they should be; below 0 they come nearer."""
        total = 0.0
        for place in range(self.starts[unit], self.starts[unit + 1]):
            label, count = self.labels[place], self.counts[place]
            total += count * (count - 2 * self.missing[label]) / self.of_label[label]
        return total


def _others(held: array, rows: int) -> array:
    """The numbers that are not held."""
    import numpy

    mask = numpy.ones(rows, dtype=bool)
    mask[numpy.frombuffer(held, dtype="u8").astype("i8")] = False
    return _as_array(numpy.flatnonzero(mask))


def _as_array(numbers) -> array:
    return array("Q", numbers.astype("u8").tobytes())
