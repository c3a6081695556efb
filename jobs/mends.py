"""Mends: what puts data right. Each writes a new version and never changes the old one, so that going back undoes it."""

import json
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jobs.checks import rows_of as numbers_of_finding
from jobs.data import LoadedData, Row, look
from jobs.data.cells import parsed, turns_of
from jobs.data.health.characters import cleaned
from jobs.data.health.secrets import KINDS, masked
from jobs.data.loading import PROGRESS_ROWS, OnProgress
from jobs.data.reading import rows_of
from jobs.data.splits import held_out
from jobs.data.store import FILE_SHIFT
from jobs.data.tables import cell_reader
from jobs.imports import read_dataset
from jobs.recipe import Recipe
from jobs.services import Services
from jobs.uploads import check_free_space, checked_paths
from jobs.versions import NewVersion
from storage.problems import NotFound, StudioError
from storage.records import DataCheck, Dataset

SEED = Recipe.model_fields["seed"].default
NO_TEXT = ("role", "from", "name", "id", "tool_call_id", "type")  # keys of a turn, and of what is in it, that are no text

Change = Callable[[dict, int | None], bool]  # changes a row's values in place, by its number; whether it did


@dataclass(frozen=True)
class Mend:
    """One entry of the catalogue. `title` stands on a button."""

    name: str
    title: str
    help: str


MENDS = {mend.name: mend for mend in (
    Mend("drop", "Drop these rows", "A new version without the rows of this finding."),
    Mend("deduplicate", "Keep one of each", "A new version that has every row once: the first of those that are the same."),
    Mend("trim", "Trim", "A new version without white space at the beginning and the end of each text."),
    Mend("clean", "Remove characters", "A new version without characters that cannot be seen. Line ends and tabs stay."),
    Mend("mask", "Mask", "A new version with a word such as [e-mail] or [key] in the place of each secret."),
    Mend("keep_usable", "Drop rows left out", "A new version with only the rows that are learnt from."),
    Mend("split", "Split", "Two new versions: a part to train on, and a part to measure with that it has no row of."),
)}


class NothingToMend(StudioError):
    """A mend after which all would be as it was."""

    def __init__(self, dataset: Dataset, mend: Mend):
        super().__init__(f"'{mend.title}' would change nothing in '{dataset.name}' (version {dataset.version}), so no new version "
                         "was made. Look at its newest version and at a new report.")


class NothingLeft(StudioError):
    """A mend that would drop every row."""

    def __init__(self, dataset: Dataset, mend: Mend):
        super().__init__(f"'{mend.title}' would leave no row of '{dataset.name}' (version {dataset.version}), so no new version "
                         "was made. Mend the files themselves, or choose other columns, and upload them again.")


class ReportNeeded(StudioError):
    """A mend for the rows of a finding, without a report that has them."""

    def __init__(self, dataset: Dataset, mend: Mend):
        super().__init__(f"'{mend.title}' is for the rows of a finding, and there is no report of '{dataset.name}' (version "
                         f"{dataset.version}) that has them. Ask for a new report on the page of the data, then try again.")


def find_mend(name: str) -> Mend:
    """The entry of the catalogue; raises NotFound."""
    if name not in MENDS:
        raise NotFound(f"There is no mend '{name}'. Choose one of {', '.join(MENDS)}.")
    return MENDS[name]


def mend(services: Services, dataset: Dataset, check: DataCheck | None, kind: str, name: str, validation: float | int = 0.1,
         seed: int = SEED, group_by: str = "", on_progress: OnProgress = lambda rows: None) -> Dataset:
    """Mend a dataset; returns the new version (of a split, the part to train on).

    `check` and `kind` are the report and the finding that it is for; without a report the whole dataset is mended, read as it is
    noted. `validation`, `seed` and `group_by` are for a split, as in a recipe. A broken line of the files is in no new version, and
    counted in its origin. Raises StudioError, NothingToMend among others, and DataInvalid.
    """
    entry = find_mend(name)
    source = _Source(services, dataset, check, group_by if name == "split" else "", on_progress)
    check_free_space(services, dataset.bytes)
    if name == "split":
        return _split(source, validation, seed)
    drops = _drops(source, entry, kind)
    change = _changer(source, entry, kind)
    with NewVersion(services, dataset) as version:
        changed = 0
        for values, number in source.rows():
            if drops(number):
                changed += 1
            else:
                changed += change(values, number)
                version.add(values)
        if name == "keep_usable":
            changed += source.unreadable
        if not changed:
            raise NothingToMend(dataset, entry)
        if not version.rows:
            raise NothingLeft(dataset, entry)
        origin = {"kind": "mend", "mend": name, "finding": kind, **source.counts(version), "changed": changed}
        return version.keep(origin, source.data, dataset.validation_id)


class _Source:
    """The rows of a dataset's files together with the numbers of the examples that were made of them."""

    def __init__(self, services: Services, dataset: Dataset, check: DataCheck | None, group_by: str, on_progress: OnProgress):
        self.services, self.dataset, self.check, self.on_progress = services, dataset, check, on_progress
        way = check.wanted if check else vars(dataset)
        reading = (way.get("format") or "auto", way.get("columns") or None, way.get("task") or None)
        self.paths = checked_paths(services, dataset)
        self.data: LoadedData = read_dataset(services, dataset, *reading, group_by)
        self.read = self.unreadable = 0

    def rows(self) -> Iterator[tuple[dict, int | None]]:
        """Each row's values, and its number among the examples: None where it is left out."""
        places = self.data.examples.packed_places()
        number = 0
        for place, row in self._placed():
            self.read += 1
            if self.read % PROGRESS_ROWS == 0:
                self.on_progress(self.read)
            is_example = number < len(places) and places[number] == place
            if row.values is None:
                self.unreadable += 1
            else:
                yield row.values, number if is_example else None
            number += is_example
        assert number == len(places), f"{len(places) - number} examples of {self.dataset.id} are of no row"
        self.on_progress(self.read)

    def counts(self, version: NewVersion) -> dict:
        return {"rows_before": self.read, "rows_after": version.rows, "unreadable": self.unreadable}

    def marks(self, mend: Mend, kind: str) -> bytearray:
        """A mark for each example that the finding is about; raises ReportNeeded."""
        marked = bytearray(self.data.kept)
        numbers = numbers_of_finding(self.services.settings, self.check.id, kind) if self.check else array("Q")
        if not numbers or numbers[-1] >= self.data.kept:  # the files are read otherwise since an update
            raise ReportNeeded(self.dataset, mend)
        for number in numbers:
            marked[number] = 1
        return marked

    def _placed(self) -> Iterator[tuple[int, Row]]:
        seen = look(self.paths, self.data.format, self.data.columns, self.data.task)
        for file, source in enumerate(seen.sources):
            for row in rows_of(source):
                yield file << FILE_SHIFT | row.line, row


# ---- dropping rows


def _drops(source: _Source, mend: Mend, kind: str) -> Callable[[int | None], bool]:
    """Whether a row goes, by its number among the examples."""
    if mend.name == "keep_usable":
        return lambda number: number is None
    if mend.name == "deduplicate" and kind in ("", "exact_duplicates"):
        marked = _repeats(source.data)
    elif mend.name in ("drop", "deduplicate"):
        marked = source.marks(mend, kind)
        if kind == "near_duplicates":
            marked = _with_repeats(source.data, marked)
    else:
        return lambda number: False
    return lambda number: number is not None and bool(marked[number])


def _repeats(data: LoadedData) -> bytearray:
    """A mark for each example that is the same as an earlier one."""
    import numpy

    marked = numpy.ones(data.kept, dtype="u1")
    marked[numpy.unique(numpy.frombuffer(data.examples.digests(), dtype="u8"), return_index=True)[1]] = 0
    return bytearray(marked.tobytes())


def _with_repeats(data: LoadedData, marked: bytearray) -> bytearray:
    """The marks, and one for each example that is the same as a marked one: what is like a row, its copies are like too."""
    import numpy

    digests = numpy.frombuffer(data.examples.digests(), dtype="u8")
    same = numpy.isin(digests, digests[numpy.frombuffer(marked, dtype="u1") == 1])
    return bytearray(same.astype("u1").tobytes())


# ---- changing texts


def _changer(source: _Source, mend: Mend, kind: str) -> Change:
    """What is done to the mapped columns of each row: of the finding's rows (and those left out) where there is a report."""
    kinds = (kind,) if kind in KINDS else KINDS
    edits: dict[str, Callable[[str], str]] = {"trim": str.strip, "clean": cleaned, "mask": lambda text: masked(text, kinds)}
    if mend.name not in edits:
        return lambda values, number: False
    edit = edits[mend.name]
    columns = [(column, cell_reader(column)) for column in dict.fromkeys(source.data.columns.values())]
    marked = source.marks(mend, kind) if source.check else None

    def change(values: dict, number: int | None) -> bool:
        changed = False
        if marked and number is not None and not marked[number]:
            return changed
        for column, read in columns:
            before = read(values)
            after = _edited(before, edit)
            if after is not before:
                _put(values, column, after)
                changed = True
        return changed

    return change


def _edited(value, edit: Callable[[str], str]):
    """The value with all its texts edited; the same object where nothing changes."""
    if isinstance(value, str):
        if (turns := _turns_as_json(value)) is not None:
            after = _edited(turns, edit)
            return value if after is turns else json.dumps(after, ensure_ascii=False)
        after = edit(value)
        return value if after == value else after
    if isinstance(value, list):
        items = [_edited(item, edit) for item in value]
        return value if all(after is before for after, before in zip(items, value, strict=True)) else items
    if isinstance(value, dict):
        items = {key: inner if key in NO_TEXT else _edited(inner, edit) for key, inner in value.items()}
        return value if all(items[key] is inner for key, inner in value.items()) else items
    return value


def _turns_as_json(text: str) -> list | None:
    """The turns of a cell that has them as JSON text, or as pandas writes them."""
    if not text.lstrip().startswith("[") or turns_of(text) is None:
        return None
    return parsed(text)


def _put(values: dict, column: str, value) -> None:
    """Set what cell_reader(column) reads."""
    outer, _, inner = column.partition(".")
    if column in values or not inner:
        values[column] = value
    else:
        values[outer] = {**values[outer], inner: value}


# ---- splitting


def _split(source: _Source, validation: float | int, seed: int) -> Dataset:
    data, dataset, services = source.data, source.dataset, source.services
    examples = data.examples
    held = held_out(data.kept, validation, seed, examples.labels() if data.labels else None,
                    examples.groups() if data.group_by else None, examples.digests(), data.group_by)
    if not held:
        raise NothingToMend(dataset, MENDS["split"])
    marked = bytearray(data.kept)
    for number in held:
        marked[number] = 1
    with NewVersion(services, dataset) as train, NewVersion(services, dataset, "validation") as measure:
        for values, number in source.rows():
            (measure if number is not None and marked[number] else train).add(values)
        origin = {"kind": "split", "mend": "split", "validation": validation, "seed": seed, "group_by": data.group_by}
        part = measure.keep({**origin, "part": "validation", **source.counts(measure)}, data)
        return train.keep({**origin, "part": "training", **source.counts(train)}, data, part.id)
