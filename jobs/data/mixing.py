"""Several sources as one: each was read on its own, and its training rows are used as often as its weight says."""

import copy
import hashlib
import json
import random
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, chain
from operator import add, xor
from operator import index as as_index

from jobs.data.counting import number_of, shared, sort_labels
from jobs.data.loading import LeftOut, LoadedData
from jobs.data.looking import PREVIEW_ROWS
from jobs.data.splits import split
from jobs.data.store import FILE_SHIFT, Examples
from storage.problems import DataInvalid

CHATS = ("messages", "instruction", "prompt-completion", "translation", "summarisation")  # whose examples have one shape


class SourcesDiffer(DataInvalid):
    """Sources that one model cannot learn from together."""

    def __init__(self, name: str, format: str, other: str, its: str):
        super().__init__(f"{name} was read as {format} and {other} as {its}, and these cannot be mixed: only chats, instructions, "
                         "questions with answers, translations and summaries can, and data of one format. Leave one of them out, "
                         "or choose another format.")


class MixedExamples(Sequence):
    """The examples of several sources, one source after another, or some of them in an order; else as Examples.

    `files` says how many files each source has, so that all of them are counted through.
    """

    def __init__(self, parts: Sequence[Examples], files: Sequence[int], order: Sequence[int] | None = None):
        self.parts, self.files = tuple(parts), tuple(files)
        self.starts, total = [], 0
        for part in self.parts:
            self.starts.append(total)
            total += len(part)
        self.order: Sequence[int] = range(total) if order is None else order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        part, place = self._locate(self.order[as_index(index)])
        return self.parts[part][place]

    def __iter__(self) -> Iterator[dict]:
        parts = [copy.copy(part) for part in self.parts]  # with streams of their own: several may read at once
        for number in self.order:
            part, place = self._locate(number)
            yield parts[part][place]

    def take(self, indexes: Iterable[int]) -> "MixedExamples":
        """Those at some indexes of this sequence, in that order."""
        return MixedExamples(self.parts, self.files, array("Q", (self.order[index] for index in indexes)))

    def places(self) -> list[tuple[int, int]]:
        """For each example the number of its file, from 0, and its line (of a text file, else row), from 1."""
        return [(place >> FILE_SHIFT, place & (1 << FILE_SHIFT) - 1) for place in self.packed_places()]

    def packed_places(self) -> array:
        """The same in eight bytes each, as Examples has them."""
        before = accumulate(self.files, initial=0)
        return self._in_order(_each(part.packed_places(), partial(add, files << FILE_SHIFT))
                              for part, files in zip(self.parts, before, strict=False))

    def digests(self) -> array:
        """For each example a number that equal ones share, also those of different sources."""
        return self._in_order(part.digests() for part in self.parts)

    def groups(self) -> array:
        """For each example a number for its label, or for its value in the column that the rows are grouped by."""
        return self._in_order(part.groups() for part in self.parts)

    def labels(self) -> array:
        """For each example a number for its source and its label: a split keeps the share of both."""
        return self._in_order(_each(part.labels(), partial(xor, number_of(("source", number))))
                              for number, part in enumerate(self.parts))

    def sources(self) -> array:
        """For each example the number of its source, from 0."""
        return array("Q", (self._locate(number)[0] for number in self.order))

    def _locate(self, number: int) -> tuple[int, int]:
        part = bisect_right(self.starts, number) - 1
        while not len(self.parts[part]):  # sources without a row begin at the same number as the next
            part -= 1
        return part, number - self.starts[part]

    def _in_order(self, numbers: Iterable[Iterable[int]]) -> array:
        everything = array("Q", chain.from_iterable(numbers))
        return everything if self.order == range(len(everything)) else array("Q", (everything[number] for number in self.order))


@dataclass(frozen=True)
class MixedData(LoadedData):
    """Several sources that are trained on together. `parts` have what is known about each; `folder` is the first one's."""

    parts: tuple[LoadedData, ...] = ()
    names: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()

    @property
    def examples(self) -> MixedExamples:
        return MixedExamples([part.examples for part in self.parts], [len(part.files) for part in self.parts])

    @property
    def left_out(self) -> Iterator[LeftOut]:
        return chain.from_iterable(part.left_out for part in self.parts)


def mix(parts: Sequence[LoadedData], names: Sequence[str], weights: Sequence[float]) -> MixedData:
    """Put sources together, each with its name and weight. Raises SourcesDiffer where one model cannot learn from all of them."""
    first = parts[0]
    refuse_to_mix(zip(names, parts, strict=True))
    way = [[part.sha256, part.format, sorted(part.columns.items()), weight] for part, weight in zip(parts, weights, strict=True)]
    formats = {part.format for part in parts}
    kept = sum(part.kept for part in parts)
    return MixedData(
        folder=first.folder, task=first.task, format=first.format if len(formats) == 1 else "messages",
        columns=first.columns if all(part.columns == first.columns for part in parts) else {},
        column_names=list(dict.fromkeys(name for part in parts for name in part.column_names)),
        reason=" ".join(f"{name}: {part.reason}" for part, name in zip(parts, names, strict=True)),
        rows=sum(part.rows for part in parts), kept=kept, labels=sort_labels([label for part in parts for label in part.labels]),
        findings=_findings(parts, names, weights, kept),
        preview=[row for part in parts for row in part.preview[:max(1, PREVIEW_ROWS // len(parts))]],
        sha256=hashlib.sha256(json.dumps(way).encode()).hexdigest(), files=[file for part in parts for file in part.files],
        group_by=first.group_by, parts=tuple(parts), names=tuple(names), weights=tuple(weights))


def split_mixed(data: MixedData, validation: float | int | str | None, seed: int) -> tuple[MixedExamples, MixedExamples]:
    """Keep rows of each source back in proportion (see split), and use the others as often as the weights say."""
    examples = data.examples
    train, held = split(examples, validation, seed, examples.labels(), examples.groups() if data.group_by else None, data.group_by)
    return weigh(train, data.weights, seed), held


def weigh(examples: MixedExamples, weights: Sequence[float], seed: int) -> MixedExamples:
    """The rows of an epoch: those of a source as often as its weight says, and of a broken weight's rest some, by the seed."""
    if all(weight == 1 for weight in weights):
        return examples
    indexes: list[array] = [array("Q") for _ in weights]
    for index, source in enumerate(examples.sources()):
        indexes[source].append(index)
    used = array("Q")
    for source, (mine, weight) in enumerate(zip(indexes, weights, strict=True)):
        if not mine:
            continue
        times, more = divmod(max(1, round(weight * len(mine))), len(mine))
        chosen = sorted(random.Random(f"{seed} {source}").sample(range(len(mine)), more))
        used += mine * times + array("Q", (mine[place] for place in chosen))
    return examples.take(used)


def _each(numbers: array, change: Callable[[int], int]) -> array:
    return array("Q", map(change, numbers))


def refuse_to_mix(sources: Iterable[tuple[str, LoadedData]]) -> None:
    """Raise SourcesDiffer where the examples of named sources have different shapes."""
    (first, its), *others = sources
    for name, data in others:
        if _shape(data) != _shape(its):
            raise SourcesDiffer(name, data.format, first, its.format)


def _shape(data: LoadedData) -> tuple[str, str]:
    return data.task, "messages" if data.format in CHATS else data.format


def _findings(parts: Sequence[LoadedData], names: Sequence[str], weights: Sequence[float], kept: int) -> list[str]:
    findings, seen = [], array("Q")
    for part, name, weight in zip(parts, names, weights, strict=True):
        findings.append(f"{part.kept:,} of {kept:,} rows come from {name}{_use(weight)}.")
    for part, name in zip(parts, names, strict=True):
        findings += [f"{name}: {finding}" for finding in part.findings]
        digests = part.examples.digests()
        if repeated := shared(digests, seen):
            findings.append(f"{repeated:,} of the rows of {name} {'is' if repeated == 1 else 'are'} also in the sources before it.")
        seen += digests
    return findings


def _use(weight: float) -> str:
    if weight == 1:
        return ""
    if weight < 1:
        return f", and with the weight {weight:g} an epoch uses {100 * weight:g}% of them"
    return f", and with the weight {weight:g} an epoch uses each {weight:g} times{'' if weight == int(weight) else ' on average'}"
