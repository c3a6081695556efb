"""Rows that are there twice: exactly, nearly, and in the validation data as well."""

import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from jobs.data.health.batches import Batch, batches
from jobs.data.health.found import Findings
from jobs.data.health.near import MOST_COMPARED, SAMPLED_ROWS, Sketches, Texts, common_pairs
from jobs.data.health.texts import Parts, parts_of
from jobs.data.health.words import Words
from jobs.data.loading import LoadedData
from jobs.data.store import Examples

Progress = Callable[[float], None]
SAMPLED_CHARACTERS = 2000  # of a row, in the search for templates
SAMPLED_BYTES, FEWEST_SAMPLED = 50_000_000, 1000  # that are read for it, and rows all the same


class Repeats:
    """Sees every row, and compares them in the end. Files of 120 bytes for a row lie in a temporary folder meanwhile."""

    def __init__(self, data: LoadedData, validation: LoadedData | None, work: Path | None = None):
        self.data, self.validation = data, validation
        self._holder = tempfile.TemporaryDirectory(prefix="adapter-studio-check-", dir=work)
        self.common = common_pairs(_sample(data.examples))
        self.sketches = self._sketches("rows")

    def see(self, batch: Batch) -> None:
        self.sketches.add(batch.words, _labels(batch.parts))

    def report(self, findings: Findings, on_progress: Progress) -> None:
        """Compare, and say what was found; `on_progress` is told how far it is, 0 to 1."""
        share = 0.5 if self.validation else 1.0
        self._report_exact(findings)
        self._report_near(findings, lambda done: on_progress(done * share))
        if self.validation:
            self._report_overlap(findings, lambda done: on_progress(share + done * (1 - share)))
        self._holder.cleanup()

    @cached_property
    def repeated(self) -> np.ndarray:
        """Whether each row equals an earlier one."""
        digests = _numbers(self.data)
        repeated = np.ones(len(digests), dtype=bool)
        repeated[np.unique(digests, return_index=True)[1]] = False
        return repeated

    def _report_exact(self, findings: Findings) -> None:
        rows = np.flatnonzero(self.repeated)
        if not len(rows):
            return
        digests = _numbers(self.data)

        def first_of(row: int) -> str:
            return _same_as(findings, int(np.flatnonzero(digests == digests[row])[0]))

        count = len(rows)
        findings.add("exact_duplicates", "warning",
                     f"{findings.rows(count, 'repeats', 'repeat')} an earlier row exactly. Repeated rows count more often "
                     "than others in training and are learnt by heart first.", rows, ("deduplicate",), note=first_of)

    def _report_near(self, findings: Findings, on_progress: Progress) -> None:
        examples = self.data.examples
        texts = Texts(lambda rows: [parts_of(example).whole for example in examples.take(rows)], _sizes(self.data))
        copy_of = self.sketches.near_copies(texts, self.repeated, on_progress=on_progress)
        rows = np.flatnonzero(copy_of >= 0)
        if not len(rows):
            return
        count = len(rows)
        by_sketch = (f" The first {MOST_COMPARED:,} pairs were compared word by word, the others by sketches of their words."
                     if self.sketches.estimated else "")
        findings.add("near_duplicates", "warning",
                     f"{findings.rows(count, 'is', 'are')} nearly the same as an earlier row: the same words but for "
                     "case, punctuation and a few changes. Where rows are kept for validation by chance, such copies land on both "
                     f"sides, and the measured quality looks better than it is.{by_sketch}",
                     rows, ("deduplicate",), note=lambda row: _same_as(findings, int(copy_of[row]), "nearly "))

    def _report_overlap(self, findings: Findings, on_progress: Progress) -> None:
        """Training rows that stand in the validation data too: they are the ones to drop, so that the measure stays as it is."""
        exact = np.isin(_numbers(self.data), _numbers(self.validation))
        near, copy_of = self._near_overlap(exact, on_progress)
        for kind, found, how in (("validation_overlap", exact, "also"), ("near_validation_overlap", near, "nearly word for word")):
            rows = np.flatnonzero(found)
            count = len(rows)
            if not count:
                continue
            notes = {} if found is exact else {int(row): int(copy_of[row]) for row in rows}
            findings.add(kind, "problem",
                         f"{findings.rows(count, 'stands', 'stand')} {how} in the validation data, so the measured "
                         "quality will look better than it is.", rows, ("drop",),
                         note=lambda row, notes=notes: _place_of(self.validation, notes[row]) if row in notes else "")

    def _near_overlap(self, exact: np.ndarray, on_progress: Progress) -> tuple[np.ndarray, np.ndarray]:
        held_out, examples = self.validation.examples, self.data.examples
        heads = len(held_out)
        both = self._sketches("both")
        for part in (held_out, examples):
            for batch in batches(part):
                both.add(batch.words, _labels(batch.parts))

        def read(rows) -> list[str]:
            return [parts_of(held_out[row] if row < heads else examples[row - heads]).whole for row in rows]

        sizes = np.concatenate((_sizes(self.validation), _sizes(self.data)))
        unwanted = np.concatenate((np.zeros(heads, dtype=bool), exact))
        copy_of = both.near_copies(Texts(read, sizes), unwanted, heads, on_progress)[heads:]
        return copy_of >= 0, copy_of

    def _sketches(self, name: str) -> Sketches:
        folder = Path(self._holder.name) / name
        folder.mkdir()
        return Sketches(folder, self.common)


def _sample(examples: Examples) -> Iterator[Words]:
    bytes_each = 1 + (examples.offsets[-1] // len(examples) if len(examples) else 0)
    count = min(len(examples), SAMPLED_ROWS, max(FEWEST_SAMPLED, SAMPLED_BYTES // bytes_each))
    spread = examples if count == len(examples) else examples.take(
        np.linspace(0, len(examples) - 1, count).astype(int).tolist())
    for batch in batches(spread):
        yield Words([parts.whole[:SAMPLED_CHARACTERS] for parts in batch.parts])


def _labels(parts: list[Parts]) -> np.ndarray:
    """A number for each row's label, 0 where it has none."""
    return np.fromiter((hash(part.label) & 0xFFFFFFFFFFFF if part.label is not None else 0 for part in parts), dtype=np.uint64,
                       count=len(parts))


def _numbers(data: LoadedData) -> np.ndarray:
    return np.array(data.examples.digests(), dtype=np.uint64)


def _sizes(data: LoadedData) -> np.ndarray:
    """Bytes of each example."""
    offsets = np.array(data.examples.offsets, dtype=np.int64)
    return np.diff(offsets, append=offsets[-1] + 1 if len(offsets) else 0)


def _same_as(findings: Findings, row: int, how: str = "") -> str:
    [(file, line)] = findings.places([row])
    return f"{how}the same as {f'{file} ' if len(findings.data.files) > 1 else ''}line {line:,}"


def _place_of(data: LoadedData, row: int) -> str:
    [(file, line)] = data.examples.take([row]).places()
    return f"nearly the same as {data.files[file]} line {line:,}"
