"""How much two columns have in common, row by row."""

import os
import re
from collections.abc import Callable

from jobs.data.cells import is_empty, turns_of
from jobs.data.tables import Column

SHORTEST_BEGINNING = 30  # characters that two texts must share for a common prompt
_WORD = re.compile(r"\w+")


def word_overlap(one: Column, other: Column) -> float:
    """The share of the words of two texts that both have, on average over the rows: near 1 for a text and its paraphrase."""
    return _mean(one, other, lambda first, second: len(first & second) / len(first | second) if first | second else 0.0)


def containment(part: Column, whole: Column) -> float:
    """The share of the words of one text that the other has too: high for a summary in its document."""
    return _mean(part, whole, lambda first, second: len(first & second) / len(first) if first else 0.0)


def length_ratio(one: Column, other: Column) -> float:
    """How many times longer the longer column is, on average."""
    shorter, longer = sorted((one.mean_length, other.mean_length))
    return longer / shorter if shorter else float("inf")


def share_of_rows(one: Column, other: Column, test: Callable[[object, object], bool]) -> float:
    """In how many of the rows where both are filled something is true of the two values, 0 to 1."""
    rows = [(first, second) for first, second in zip(one.sample, other.sample, strict=True)
            if not is_empty(first) and not is_empty(second)]
    return sum(test(first, second) for first, second in rows) / len(rows) if rows else 0.0


def begin_alike(first, second) -> bool:
    """Whether two conversations have their first turns in common, and then part."""
    one, other = turns_of(first), turns_of(second)
    return bool(one and other) and one[0] == other[0] and one != other


def texts_begin_alike(first, second) -> bool:
    """Whether two texts share a long beginning, and then part."""
    if not isinstance(first, str) or not isinstance(second, str) or first == second:
        return False
    shared = len(os.path.commonprefix([first, second]))
    return shared >= SHORTEST_BEGINNING and shared >= min(len(first), len(second)) / 4


def _mean(one: Column, other: Column, measure: Callable[[set, set], float]) -> float:
    found = [measure(_words(first), _words(second)) for first, second in zip(one.sample, other.sample, strict=True)
             if isinstance(first, str) and isinstance(second, str) and first.strip() and second.strip()]
    return sum(found) / len(found) if found else 0.0


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text[:20_000].lower()))
