"""Words of many texts at once, as numbers: numpy looks at a batch's bytes together, a hundred times quicker than a loop.

A word is a run of letters and digits in any script; of Chinese, Japanese and Korean, which need no spaces, each character.
Upper and lower case, punctuation and spaces make no difference.
"""

from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np

MOST_CHARACTERS = 100_000  # of a text that are looked at
HAS_INVISIBLE, HAS_DAMAGED, HAS_AT, HAS_MARKUP = 1, 2, 4, 8
_STEP = 0x9E3779B97F4A7C15  # odd, so that it has an inverse among numbers of 64 bits


class Words:
    """The words of some texts: `rows` says which text each is of, `hashes` which word it is."""

    def __init__(self, texts: Sequence[str]):
        encoded = [text[:MOST_CHARACTERS].casefold().encode() for text in texts]
        self.count = len(encoded)
        self.bytes = np.frombuffer(b"\n".join(encoded) + b"\n", dtype=np.uint8)
        sizes = np.fromiter((len(text) + 1 for text in encoded), dtype=np.int64, count=self.count)
        self.starts = np.cumsum(sizes) - sizes
        self.rows, self.hashes = self._find()
        self.in_row = np.bincount(self.rows, minlength=self.count)

    def _find(self) -> tuple[np.ndarray, np.ndarray]:
        letters = self.bytes
        is_word = _IS_WORD[letters]
        self._take_out_punctuation(is_word)
        begins = is_word.copy()
        begins[1:] &= ~is_word[:-1] | _STANDS_ALONE[letters[1:]]
        ends = is_word.copy()
        ends[:-1] &= ~is_word[1:] | begins[1:]
        first, last = np.flatnonzero(begins), np.flatnonzero(ends)
        powers, inverses = _powers(1 << max(18, (len(letters) - 1).bit_length()))
        sums = np.cumsum(letters * powers[:len(letters)], dtype=np.uint64)  # a word is a difference of two sums
        hashes = (sums[last] - sums[first] + letters[first] * powers[first]) * inverses[first]
        return np.searchsorted(self.starts, first, side="right") - 1, mixed(hashes)

    def _take_out_punctuation(self, is_word: np.ndarray) -> None:
        """Quotation marks, dashes and the like of two or three bytes: U+00A0 to U+00BF, U+2000 to U+207F, U+3000 to U+303F."""
        letters = self.bytes
        leads = np.flatnonzero((letters == 0xC2) | (letters == 0xE2) | (letters == 0xE3))
        if len(leads):
            second = letters[leads + 1]
            plain = leads[(letters[leads] == 0xC2) | (second == 0x80) | ((letters[leads] == 0xE2) & (second == 0x81))]
            is_word[plain] = is_word[plain + 1] = False
            is_word[plain[letters[plain] != 0xC2] + 2] = False

    @cached_property
    def shingles(self) -> tuple[np.ndarray, np.ndarray]:
        """(row, hash) of each two words that follow each other, and of a word that is a text by itself; in the rows' order."""
        if not len(self.rows):
            return self.rows, self.hashes
        follows = np.append(self.rows[1:] == self.rows[:-1], False)
        pairs = mixed(self.hashes * np.uint64(3) + np.append(self.hashes[1:], np.uint64(0)) * np.uint64(0x632BE59BD9B4E019))
        alone = self.in_row[self.rows] == 1
        kept = follows | alone
        return self.rows[kept], np.where(alone, self.hashes, pairs)[kept]

    @cached_property
    def signs(self) -> np.ndarray:
        """For each text the HAS_… bits of what may be in it: a closer look is worth while."""
        return np.bitwise_or.reduceat(_SIGNS[self.bytes], self.starts)

    @cached_property
    def digits(self) -> np.ndarray:
        """How many digits each text has."""
        return np.add.reduceat(_IS_DIGIT[self.bytes], self.starts, dtype=np.int64)

    def with_run(self, kind: str, length: int) -> np.ndarray:
        """Whether each text has so many characters in a row that may be of a "key" or a "number", which may have spaces in it."""
        in_run = np.concatenate(([False], _RUNS[kind][self.bytes], [False]))
        edges = np.flatnonzero(in_run[1:] != in_run[:-1])
        first, end = edges[::2], edges[1::2]
        found = np.zeros(self.count, dtype=bool)
        found[np.searchsorted(self.starts, first[end - first >= length], side="right") - 1] = True
        return found


def mixed(numbers: np.ndarray) -> np.ndarray:
    """The same for the same number, and any bit of it as good as chance."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


@lru_cache(maxsize=2)
def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    steps = np.full(count, _STEP, dtype=np.uint64)
    back = np.full(count, pow(_STEP, -1, 1 << 64), dtype=np.uint64)
    return np.multiply.accumulate(steps), np.multiply.accumulate(back)


def _table(letters: bytes, kind=bool, value=True) -> np.ndarray:
    table = np.zeros(256, dtype=kind)
    table[np.frombuffer(letters, dtype=np.uint8)] = value
    return table


_DIGITS, _LETTERS = b"0123456789", b"abcdefghijklmnopqrstuvwxyz"
_IS_DIGIT = _table(_DIGITS)
_RUNS = {"key": _table(_DIGITS + _LETTERS + b"_-"), "number": _table(_DIGITS + b" -.()+")}
_IS_WORD = _table(_DIGITS + _LETTERS + b"_" + bytes(range(0x80, 0x100)))
_STANDS_ALONE = _table(bytes(range(0xE3, 0xEE)))  # the first byte of U+3000 to U+DFFF
_SIGNS = (_table(bytes(set(range(32)) - {9, 10, 13}) + b"\x7f\xc2\xe2\xef\xf3", np.uint8, HAS_INVISIBLE)
          | _table(bytes(range(0xC2, 0xF1)), np.uint8, HAS_DAMAGED)
          | _table(b"@", np.uint8, HAS_AT) | _table(b"<&", np.uint8, HAS_MARKUP))
