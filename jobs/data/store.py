"""Examples on the disk: one JSON line each, read when it is asked for, so that a dataset may be larger than the memory."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from operator import index as as_index
from pathlib import Path

from jobs.data.json_text import dumps, loads

EXAMPLES, OFFSETS, PLACES, DIGESTS, GROUPS = "examples.jsonl", "offsets.bin", "places.bin", "digests.bin", "groups.bin"
LABELS = "labels.bin"  # only where the groups are not the labels
BLOCK_ROWS, BLOCK_BYTES = 8192, 1 << 20  # that are written at once
FILE_SHIFT = 48  # a place is the file's number above this bit, and the line below it
_LINE = (1 << FILE_SHIFT) - 1


class Examples(Sequence):
    """The examples of a folder, or some of them in an order; an index reads one line of the file."""

    def __init__(self, folder: Path, order: Sequence[int] | None = None, holder: object = None):
        self.folder = folder
        self.holder = holder  # kept as long as this: a temporary folder's life may hang on it
        self.offsets = _read(folder / OFFSETS)
        self.order: Sequence[int] = range(len(self.offsets)) if order is None else order
        self._stream = None

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        number = self.order[as_index(index)]
        if self._stream is None:
            self._stream = (self.folder / EXAMPLES).open("rb")
        self._stream.seek(self.offsets[number])
        return loads(self._stream.readline())

    def __iter__(self) -> Iterator[dict]:
        with (self.folder / EXAMPLES).open("rb") as stream:  # a stream of its own: several may read at once
            if self.order == range(len(self.offsets)):
                for line in stream:
                    yield loads(line)
                return
            for number in self.order:
                stream.seek(self.offsets[number])
                yield loads(stream.readline())

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_stream": None, "holder": None}  # to other processes

    def take(self, indexes: Iterable[int]) -> "Examples":
        """Those at some indexes of this sequence, in that order."""
        return Examples(self.folder, array("Q", (self.order[index] for index in indexes)), self.holder)

    def places(self) -> list[tuple[int, int]]:
        """For each example the number of its file, from 0, and its line (of a text file, else row), from 1."""
        return [(place >> FILE_SHIFT, place & _LINE) for place in self.packed_places()]

    def packed_places(self) -> array:
        """The same in eight bytes each: the file's number above FILE_SHIFT, the line below it."""
        return self._numbers(PLACES)

    def digests(self) -> array:
        """For each example a number that equal ones share."""
        return self._numbers(DIGESTS)

    def groups(self) -> array:
        """For each example a number for its label, or for its value in the column that the rows are grouped by."""
        return self._numbers(GROUPS)

    def labels(self) -> array:
        """For each example a number for its label, also where the rows are grouped by a column."""
        return self._numbers(LABELS if (self.folder / LABELS).exists() else GROUPS)

    def _numbers(self, name: str) -> array:
        numbers = _read(self.folder / name)
        if self.order == range(len(self.offsets)):
            return numbers
        return array("Q", (numbers[number] for number in self.order))


class ExampleWriter:
    """Writes the files that Examples reads. A context manager."""

    def __init__(self, folder: Path, grouped: bool = False):
        self.folder = folder
        self.count = 0
        self._position = 0
        self._stream = (folder / EXAMPLES).open("wb", buffering=BLOCK_BYTES)
        self._names = [OFFSETS, PLACES, DIGESTS, GROUPS, *([LABELS] if grouped else [])]
        self._files = [(folder / name).open("wb") for name in self._names]
        self._waiting = [array("Q") for _ in self._names]

    def __enter__(self) -> "ExampleWriter":
        return self

    def __exit__(self, *_error) -> None:
        self._flush()
        for stream in (self._stream, *self._files):
            stream.close()

    def add(self, example: dict, file: int, line: int, group: int = 0, label: int = 0) -> None:
        """Keep an example that was made of a line of a file; `group`: see Examples.groups; `label`: kept where rows are grouped."""
        text = dumps(example)
        digest = int.from_bytes(blake2b(text, digest_size=8).digest(), "little")
        numbers = (self._position, file << FILE_SHIFT | line, digest, group, label)
        for waiting, number in zip(self._waiting, numbers, strict=False):
            waiting.append(number)
        self._stream.write(text + b"\n")
        self._position += len(text) + 1
        self.count += 1
        if self.count % BLOCK_ROWS == 0:
            self._flush()

    def _flush(self) -> None:
        for stream, waiting in zip(self._files, self._waiting, strict=True):
            waiting.tofile(stream)
            del waiting[:]


def _read(path: Path) -> array:
    numbers = array("Q")
    with path.open("rb") as stream:
        numbers.fromfile(stream, path.stat().st_size // numbers.itemsize)
    return numbers
