"""Files in, examples on the disk out, with a plain sentence for everything that was noticed on the way."""

import json
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from jobs.data.archives import unpacked
from jobs.data.counting import different, number_of, shared, sort_labels
from jobs.data.examples import LeaveOut
from jobs.data.findings import changed_finding, label_findings, left_out_finding, listed, places, repeated_rows_finding, rows_have
from jobs.data.formats import CLASSIFICATION, find_format
from jobs.data.looking import Look, find_files, look
from jobs.data.problems import ColumnMissing, LabelsEmpty, LabelsTooMany, NoUsableRows, OneClass
from jobs.data.reading import hash_of, rows_of
from jobs.data.store import Examples, ExampleWriter
from jobs.data.tables import cell_reader, is_empty

RECORD, LEFT_OUT = "data.json", "left_out.jsonl"
PROGRESS_ROWS = 5000  # between two reports of progress
MOST_REASONS = 200  # that are told apart; more are counted as one
LONGEST_REASON = 300  # characters; it may name a value
MOST_NAMES = 10_000  # of columns that are remembered: rows that all have other names are no table
MOST_LABELS = 100_000
NAMED_PLACES = 4

OnProgress = Callable[[int], None]  # is told how many rows were read


@dataclass(frozen=True)
class LeftOut:
    """A row that is not used, where it stands (line of a text file, else row, from 1), and what it has or lacks."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True)
class LoadedData:
    """A dataset that is ready to train on: what is known about it, and a folder with its examples.

    The shapes of examples are in jobs/data/examples. `columns` goes from part to column; `labels` has the labels, or the tags of
    words, sorted, by value where all are whole numbers; `preview` has the first rows as the file has them; `group_by` is the column
    of Examples.groups, or empty.
    """

    folder: Path
    task: str
    format: str
    columns: dict[str, str]
    column_names: list[str]
    reason: str
    rows: int
    kept: int
    labels: list[str]
    findings: list[str]
    preview: list[dict]
    sha256: str
    files: list[str]
    group_by: str = ""
    _temporary: object = field(default=None, repr=False, compare=False)

    @property
    def examples(self) -> Examples:
        return Examples(self.folder, holder=self._temporary)

    @property
    def left_out_count(self) -> int:
        return self.rows - self.kept

    @property
    def left_out(self) -> Iterator[LeftOut]:
        """Every row that is not used, in the files' order."""
        with (self.folder / LEFT_OUT).open(encoding="utf-8") as stream:
            for line in stream:
                yield LeftOut(**json.loads(line))


def load_dataset(files: Sequence[Path], format: str = "auto", columns: dict[str, str] | None = None, task: str | None = None,
                 ) -> LoadedData:
    """Read, recognise and check files (or folders or archives of them) as one dataset, in a temporary folder while it is used.

    `columns` goes from part to column; parts left out are recognised, and so is the task where None is given.
    Raises DataInvalid, with everything that is wrong with the files in one message.
    """
    def read(folder: Path) -> LoadedData:
        with _opened(files) as (paths, notes):
            seen = look(paths, format, columns, task)
            return import_rows(replace(seen, findings=[*notes, *seen.findings]), folder)

    return _in_temporary_folder(read)


def load_validation(files: Sequence[Path], like: LoadedData) -> LoadedData:
    """Read files to measure with, as the training data was read, into a temporary folder; see import_validation."""
    def read(folder: Path) -> LoadedData:
        with _opened(files) as (paths, _):
            return import_validation(paths, like, folder)

    return _in_temporary_folder(read)


def import_validation(files: Sequence[Path], like: LoadedData, folder: Path) -> LoadedData:
    """Read files to measure with, as the training data was read; rows with a label never trained are left out."""
    data = import_rows(look(files, like.format, like.columns, like.task), folder, known_labels=like.labels)
    repeated = shared(data.examples.digests(), like.examples.digests())
    if repeated:
        verb = "is" if repeated == 1 else "are"
        data = replace(data, findings=[
            *data.findings, f"{repeated:,} of {data.kept:,} validation rows {verb} also in the training data, "
                            "so the measured quality will look better than it is."])
        _write_record(data)
    return data


def import_rows(seen: Look, folder: Path, group_by: str = "", known_labels: Sequence[str] = (),
                on_progress: OnProgress = lambda rows: None) -> LoadedData:
    """Make examples of all rows, one at a time, in an empty folder; `group_by` is a column whose values stay with the examples.

    Every row is either an example or listed as left out. With `known_labels`, rows with another label are left out. Raises
    DataInvalid where less than half of the rows can be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    importer = _Importer(seen, group_by, known_labels, on_progress)
    with ExampleWriter(folder, grouped=bool(group_by)) as examples, (folder / LEFT_OUT).open("w", encoding="utf-8") as left_out:
        importer.read_all(examples, left_out)
    data = importer.result(folder)
    _write_record(data)
    return data


def open_imported(folder: Path) -> LoadedData:
    """What import_rows left in a folder."""
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    return LoadedData(folder=folder, **record)


def summary(data: LoadedData) -> dict:
    """What `data FILE… --json` prints."""
    return {
        "format": data.format,
        "columns": data.columns,
        "rows": data.rows,
        "kept": data.kept,
        "left_out": [{"file": row.file, "line": row.line, "reason": row.reason} for row in data.left_out],
        "findings": data.findings,
    }


class _Importer:
    """One pass over the files."""

    def __init__(self, seen: Look, group_by: str, known_labels: Sequence[str], on_progress: OnProgress):
        self.seen, self.found, self.group_by, self.on_progress = seen, seen.found, group_by, on_progress
        self.known_labels = set(known_labels)
        self.build = find_format(self.found.format).build
        self.readers = [(part, cell_reader(column)) for part, column in self.found.columns.items()]
        self.label_reader = cell_reader(self.found.columns["label"]) if "label" in self.found.columns else None
        self.group_reader = cell_reader(group_by) if group_by else None
        self.rows = self.kept = self.labelled = 0
        self.names: dict[str, None] = dict.fromkeys(self.found.column_names)
        self.outer = {name.partition(".")[0] for name in self.names if "." in name}
        self.shapes: set[tuple] = set()
        self.last_shape: tuple = ()
        self.labels: Counter[str] = Counter()
        self.changes: Counter[str] = Counter()
        self.reasons: dict[str, _Reason] = {}

    def read_all(self, examples: ExampleWriter, left_out) -> None:
        for number, source in enumerate(self.seen.sources):
            for row in rows_of(source):
                self.rows += 1
                if self.rows % PROGRESS_ROWS == 0:
                    self.on_progress(self.rows)
                try:
                    if row.values is None:
                        raise LeaveOut(row.complaint)
                    example, group, label = self.example(row.values)
                except LeaveOut as problem:
                    self.leave_out(source, row.line, str(problem), left_out)
                    continue
                examples.add(example, number, row.line, group, label)
                self.kept += 1
        self.on_progress(self.rows)
        if self.group_by and self.group_by not in self.names:
            raise ColumnMissing([self.group_by], list(self.names))

    def example(self, values: dict) -> tuple[dict, int, int]:
        """The example, and the numbers of its group and its label."""
        self.note_names(values)
        if self.label_reader and not self.labelled and not is_empty(self.label_reader(values)):
            self.labelled = 1
        example, change = self.build({part: read(values) for part, read in self.readers})
        label = example.get("label")
        if label is not None:
            if self.known_labels and label not in self.known_labels:
                raise LeaveOut(f"a label that no training row has ('{label}')")
            self.count_labels((label,))
        if tags := example.get("tags"):
            if self.known_labels and (unknown := set(tags) - self.known_labels):
                raise LeaveOut(f"a tag that no training row has ('{min(unknown)}')")
            self.count_labels(tags)
        if change:
            self.changes[change] += 1
        of_label = 0 if label is None else number_of(label)
        if not self.group_reader:
            return example, of_label, of_label
        group = self.group_reader(values)  # a row without a value is a group of its own
        return example, number_of(("row", self.rows) if is_empty(group) else group), of_label

    def note_names(self, values: dict) -> None:
        shape = tuple(values)
        if shape == self.last_shape:
            return
        self.last_shape = shape
        if shape not in self.shapes and len(self.names) < MOST_NAMES:
            self.shapes.add(shape)
            self.names.update((name, None) for name in shape if name not in self.outer)

    def count_labels(self, labels: Iterable[str]) -> None:
        self.labels.update(labels)
        if len(self.labels) > MOST_LABELS:
            raise LabelsTooMany(self.found.columns.get("label") or self.found.columns.get("tags", ""), MOST_LABELS)

    def leave_out(self, source, line: int, why: str, stream) -> None:
        why = printable(why)
        stream.write(json.dumps({"file": source.name, "line": line, "reason": why}, ensure_ascii=False) + "\n")
        general = why.split(" (")[0]
        if general not in self.reasons and len(self.reasons) >= MOST_REASONS:
            general = "another problem"
        reason = self.reasons.setdefault(general, _Reason(why))
        reason.count += 1
        reason.same = reason.same and why == reason.first
        if len(reason.places) < NAMED_PLACES:
            reason.places.append((source.name, source.counts_in, line))

    def result(self, folder: Path) -> LoadedData:
        sources, found = self.seen.sources, self.found
        if found.task == CLASSIFICATION and self.label_reader and not self.labelled:
            raise LabelsEmpty(listed(source.name for source in sources), found.columns["label"])
        reasons = sorted(((reason.first if reason.same else general, reason) for general, reason in self.reasons.items()),
                         key=lambda item: -item[1].count)
        several = len(sources) > 1
        if self.kept < self.rows / 2 or not self.kept:
            whys = listed(f"{rows_have(reason.count, why)} ({places(reason.places, several, reason.count)})"
                          for why, reason in reasons)
            raise NoUsableRows(listed(source.name for source in sources), self.rows, self.rows - self.kept, whys)
        if found.task == CLASSIFICATION and len(self.labels) == 1 and not self.known_labels:
            raise OneClass(next(iter(self.labels)), found.columns["label"])
        findings = list(self.seen.findings)
        findings += [left_out_finding(reason.count, self.rows, why, places(reason.places, several, reason.count))
                     for why, reason in reasons]
        findings += [changed_finding(count, self.rows, change) for change, count in self.changes.items()]
        if self.labels and "label" in found.columns and not self.known_labels:
            findings += label_findings(self.labels, found.columns["label"])
        findings += repeated_rows_finding(self.kept, different(Examples(folder).digests()))
        return LoadedData(
            folder=folder, task=found.task, format=found.format, columns=found.columns, column_names=list(self.names),
            reason=found.reason, rows=self.rows, kept=self.kept,
            labels=list(self.known_labels and sort_labels(list(self.known_labels))) or sort_labels(list(self.labels)),
            findings=findings, preview=self.seen.preview, sha256=hash_of(source.path for source in sources),
            files=[source.name for source in sources], group_by=self.group_by)


@dataclass
class _Reason:
    """Why rows are left out: how many, the first one's words and whether all have the same, and the first places."""

    first: str
    count: int = 0
    same: bool = True
    places: list[tuple[str, str, int]] = field(default_factory=list)


def printable(reason: str) -> str:
    """A reason without half characters, and not longer than anybody reads."""
    text = reason.encode(errors="replace").decode()
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"


def _write_record(data: LoadedData) -> None:
    record = {name: value for name, value in asdict(replace(data, _temporary=None)).items() if name not in ("folder", "_temporary")}
    text = json.dumps(record, ensure_ascii=False, default=str)
    (data.folder / RECORD).write_text(text, encoding="utf-8", errors="surrogatepass")


@contextmanager
def _opened(files: Sequence[Path]) -> Iterator[tuple[list[Path], list[str]]]:
    """The files in folders and archives, and sentences about those that are not read."""
    paths, notes = find_files(files)
    with unpacked(paths) as found:
        yield found.files, notes + found.notes


def _in_temporary_folder(read: Callable[[Path], LoadedData]) -> LoadedData:
    folder = tempfile.mkdtemp(prefix="adapter-studio-data-")
    try:
        data = read(Path(folder))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    holder = _Holder()
    weakref.finalize(holder, shutil.rmtree, folder, ignore_errors=True)
    return replace(data, _temporary=holder)


class _Holder:
    """Its end is the end of a temporary folder."""
