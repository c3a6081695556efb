"""Examples in batches, with what every check needs to know of them, worked out once."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from jobs.data.health.texts import Parts, parts_of
from jobs.data.health.words import Words
from jobs.data.store import Examples

BATCH_ROWS, BATCH_CHARACTERS = 2000, 500_000


@dataclass
class Batch:
    """Some examples that follow each other; `first` is the number of the first."""

    first: int
    examples: list[dict]
    parts: list[Parts]

    @cached_property
    def words(self) -> Words:
        """Of each example's whole text."""
        return Words([parts.whole for parts in self.parts])


def batches(examples: Examples) -> Iterator[Batch]:
    """All examples; a batch has so many that numpy is worth its while, and so few that they fit any memory."""
    first, waiting, parts, characters = 0, [], [], 0
    for example in examples:
        waiting.append(example)
        parts.append(parts_of(example))
        characters += len(parts[-1].whole)
        if len(waiting) >= BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield Batch(first, waiting, parts)
            first, waiting, parts, characters = first + len(waiting), [], [], 0
    if waiting:
        yield Batch(first, waiting, parts)
