"""Near duplicates among millions of rows: MinHash sketches of the rows' word pairs, compared only where a part of them is equal.

A row is a set of word pairs. Two rows are nearly the same where 80 % of the pairs that either has are in both. A sketch keeps the
smallest of each of 40 hashes of a row's pairs; rows like that agree in 10 groups of 4 of them nearly always once (99.5 %), and only
such rows are compared pair by pair. Sketches lie on the disk: 120 bytes for a row.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jobs.data.health.words import Words, mixed

SIMILAR = 0.8
BANDS, BAND_HASHES = 10, 4
HASHES = BANDS * BAND_HASHES
PROMISING = 0.6      # share of equal hashes from which two rows are compared pair by pair
MOST_COMPARED = 1_000_000  # pairs of rows; of any more their sketches decide
ROUNDS = 4           # rows of one group that others are compared with
SAMPLED_ROWS = 20_000
BATCH_CHARACTERS = 500_000

_chance = np.random.default_rng(20260101)
_FACTORS = _chance.integers(1, 1 << 63, HASHES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_ADDED = _chance.integers(0, 1 << 63, HASHES, dtype=np.uint64)


def common_pairs(batches: Iterable[Words]) -> np.ndarray:
    """Word pairs that so many of these rows share that they belong to a template; sorted. Two rows are not alike by them alone."""
    found, count = [np.empty(0, dtype=np.uint64)], 0
    for words in batches:
        rows, pairs = words.shingles
        order = np.lexsort((pairs, rows))
        rows, pairs = rows[order], pairs[order]
        first = np.ones(len(pairs), dtype=bool)
        first[1:] = (pairs[1:] != pairs[:-1]) | (rows[1:] != rows[:-1])
        found.append(pairs[first])
        count += words.count
    values, counts = np.unique(np.concatenate(found), return_counts=True)
    return values[counts > max(10, 0.05 * count, min(100, 0.5 * count))]


@dataclass(frozen=True)
class Texts:
    """The texts of rows by their numbers, and about how many bytes each has."""

    read: Callable[[Sequence[int]], list[str]]
    sizes: np.ndarray


class Sketches:
    """The sketches of rows, in a folder of its own while they are used; rows are added in their order."""

    def __init__(self, folder: Path, common: np.ndarray):
        self.folder, self.common = folder, common
        self.count = 0
        self.estimated = False  # whether there were so many pairs that sketches had to decide
        self._streams = [(folder / f"band-{band}").open("wb") for band in range(BANDS)]
        self._small = (folder / "hashes").open("wb")

    def add(self, words: Words, labels: np.ndarray) -> None:
        """The rows of a batch; only rows with the same label are ever near duplicates."""
        rows, pairs = words.shingles
        if len(self.common):
            own = ~np.isin(pairs, self.common)
            own |= np.bincount(rows, own, words.count)[rows] == 0  # a row of nothing else keeps all
            rows, pairs = rows[own], pairs[own]
        filled, first = np.unique(rows, return_index=True)
        smallest = np.zeros((HASHES, len(filled)), dtype=np.uint64)
        for number in range(HASHES if len(filled) else 0):
            smallest[number] = np.minimum.reduceat((pairs * _FACTORS[number] + _ADDED[number]) >> np.uint64(32), first)
        for band, stream in enumerate(self._streams):
            key = labels[filled] ^ np.uint64(band)
            for hashes in smallest[band * BAND_HASHES:(band + 1) * BAND_HASHES]:
                key = mixed(key * np.uint64(5) + hashes)
            keys = np.zeros(words.count, dtype=np.uint64)  # 0: a row without words is like no other
            keys[filled] = key | np.uint64(1)
            keys.tofile(stream)
        small = np.zeros((words.count, HASHES), dtype=np.uint8)
        small[filled] = smallest.T.astype(np.uint8)
        small.tofile(self._small)
        self.count += words.count

    def close(self) -> None:
        for stream in (*self._streams, self._small):
            stream.close()

    def near_copies(self, texts: "Texts", left_out: np.ndarray, heads: int | None = None,
                    on_progress: Callable[[float], None] = lambda done: None) -> np.ndarray:
        """For each row an earlier one that it is nearly the same as, else -1.

        Rows that are `left_out` are not looked at. With `heads`, only the first so many rows are
        compared with, and only the others compared.
        """
        self.close()
        if not self.count:
            return np.empty(0, dtype=np.int64)
        self._hashes = np.memmap(self.folder / "hashes", dtype=np.uint8, mode="r").reshape(-1, HASHES)
        found = np.full(self.count, -1, dtype=np.int64)
        compare = _Comparison(texts, self.common)
        for band in range(BANDS):
            keys = np.fromfile(self.folder / f"band-{band}", dtype=np.uint64)
            for head, row in self._pairs(keys, ~left_out & (found < 0), heads, compare):
                found[row] = head
            on_progress((band + 1) / BANDS)
        self.estimated = compare.done >= MOST_COMPARED
        return found

    def _pairs(self, keys: np.ndarray, open_rows: np.ndarray, heads: int | None, compare: "_Comparison") -> Iterator:
        """Similar (earlier, later) rows among those with the same key: each is compared with the first, the rest with the next."""
        rows = np.flatnonzero(open_rows & (keys != 0))
        rows = rows[np.argsort(keys[rows], kind="stable")]
        for _ in range(ROUNDS):
            keys_here = keys[rows]
            begins = np.ones(len(rows), dtype=bool)
            begins[1:] = keys_here[1:] != keys_here[:-1]
            head = rows[np.maximum.accumulate(np.where(begins, np.arange(len(rows)), 0))] if len(rows) else rows
            compared = ~begins if heads is None else ~begins & (head < heads) & (rows >= heads)
            if not compared.any():
                return
            places = np.flatnonzero(compared)
            likeness = self._likeness(head[places], rows[places])
            promising = places[likeness >= PROMISING]
            is_similar = np.zeros(len(rows), dtype=bool)
            is_similar[promising] = compare.similar(head[promising], rows[promising], likeness[likeness >= PROMISING])
            yield head[is_similar], rows[is_similar]
            rows = rows[~begins & ~is_similar]

    def _likeness(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        shares = np.empty(len(first))
        for start in range(0, len(first), 100_000):
            part = slice(start, start + 100_000)
            shares[part] = (self._hashes[first[part]] == self._hashes[second[part]]).mean(axis=1)
        return shares


class _Comparison:
    """Compares rows pair by pair, as long as that is not too much."""

    def __init__(self, texts: Texts, common: np.ndarray):
        self.texts, self.common = texts, set(common.tolist())
        self.done = 0
        self.different: set[tuple[int, int]] = set()

    def similar(self, first: np.ndarray, second: np.ndarray, likeness: np.ndarray) -> np.ndarray:
        result = likeness >= SIMILAR
        waiting, size = [], 0
        for number, pair in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
            if pair in self.different:
                result[number] = False
            elif self.done < MOST_COMPARED:
                self.done += 1
                waiting.append(number)
                size += int(self.texts.sizes[pair[1]])
                if size >= BATCH_CHARACTERS or len(waiting) >= 2000:
                    self._compare(waiting, first, second, result)
                    waiting, size = [], 0
        self._compare(waiting, first, second, result)
        return result

    def _compare(self, waiting: list[int], first: np.ndarray, second: np.ndarray, result: np.ndarray) -> None:
        rows = sorted({int(row) for number in waiting for row in (first[number], second[number])})
        sets = self._sets(rows)
        for number in waiting:
            pair = int(first[number]), int(second[number])
            result[number] = _alike(sets[pair[0]], sets[pair[1]], self.common)
            if not result[number]:
                self.different.add(pair)

    def _sets(self, rows: list[int]) -> dict[int, set[int]]:
        if not rows:
            return {}
        words = Words(self.texts.read(rows))
        owners, pairs = words.shingles
        ends = np.searchsorted(owners, np.arange(len(rows) + 1))
        return {row: set(pairs[ends[number]:ends[number + 1]].tolist()) for number, row in enumerate(rows)}


def _alike(one: set[int], other: set[int], common: set[int]) -> bool:
    """Whether 80 % of the pairs are in both, and so of those that are no template."""
    if len(one & other) < SIMILAR * len(one | other):
        return False
    if not common:
        return True
    one, other = one - common or one, other - common or other
    return len(one & other) >= SIMILAR * len(one | other)
