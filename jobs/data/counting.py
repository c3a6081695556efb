"""Labels in order, and numbers of 64 bits that stand for values: how many there are, and how many are in two places."""

import re
from array import array
from collections.abc import Sequence
from hashlib import blake2b

_WHOLE_NUMBER = re.compile(r"-?\d{1,18}")


def sort_labels(labels: Sequence[str]) -> list[str]:
    """The different labels in order: by value where all are whole numbers, so that class 10 does not follow class 1."""
    names = set(labels)
    return sorted(names, key=int) if all(map(_WHOLE_NUMBER.fullmatch, names)) else sorted(names)


def number_of(value: object) -> int:
    """A number of 64 bits for a label or a group, the same in every process."""
    return int.from_bytes(blake2b(str(value).encode(errors="surrogatepass"), digest_size=8).digest(), "little")


def different(digests: array) -> int:
    """How many different numbers there are."""
    import numpy  # here and below: a tenth of the memory of a set, and a tenth of a second that small commands need not wait

    return len(numpy.unique(numpy.frombuffer(digests, dtype="u8"))) if digests else 0


def shared(digests: array, others: array) -> int:
    """How many of the numbers are among the others."""
    import numpy

    if not digests or not others:
        return 0
    return int(numpy.isin(numpy.frombuffer(digests, dtype="u8"), numpy.frombuffer(others, dtype="u8")).sum())
