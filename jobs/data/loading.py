"""Files in, examples out, with a plain sentence for everything that was noticed on the way."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jobs.data.choosing import choose_columns
from jobs.data.examples import LeaveOut
from jobs.data.findings import (
    changed_finding,
    header_finding,
    key_of,
    label_findings,
    left_out_finding,
    listed,
    places,
    repeated_rows_finding,
    rows_have,
)
from jobs.data.formats import CLASSIFICATION, Recognition, find_format
from jobs.data.problems import FilesDiffer, LabelsEmpty, NoFiles, NoUsableRows, OneClass, SeveralProblems
from jobs.data.reading import Row, files_in, hash_of, plain_text_note, rows_of
from jobs.data.sniffing import SourceFile, inspect_file
from jobs.data.tables import cell_reader, column_names, describe, is_empty
from storage.problems import DataInvalid

SAMPLED_ROWS = 2000
PREVIEW_ROWS = 5


@dataclass(frozen=True)
class LeftOut:
    """A row that is not used, where it stands (line of a text file, else row, from 1), and what it has or lacks."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True)
class LoadedData:
    """A dataset that is ready to train on.

    Examples are {"messages": [{"role", "content"}, ...]}, {"text"} or {"text", "label"}. `columns` goes from part to
    column; `labels` is sorted, by value where all are whole numbers; `preview` has the first rows as the file has them.
    """

    task: str
    format: str
    columns: dict[str, str]
    column_names: list[str]
    reason: str
    rows: int
    left_out: list[LeftOut]
    examples: list[dict]
    labels: list[str]
    findings: list[str]
    preview: list[dict]
    sha256: str
    files: list[Path]

    @property
    def kept(self) -> int:
        return len(self.examples)


@dataclass(frozen=True)
class _FileRows:
    source: SourceFile
    rows: list[Row]
    names: list[str]


def load_dataset(
    files: Sequence[Path], format: str = "auto", columns: dict[str, str] | None = None, task: str | None = None
) -> LoadedData:
    """Read, recognise and check files (or folders of them) as one dataset.

    `columns` goes from part to column; parts left out are recognised, and so is the task where None is given.
    Raises DataInvalid, with everything that is wrong with the files in one message.
    """
    data = _load(files, format, columns, task)
    if data.task == CLASSIFICATION and len(data.labels) == 1:
        raise OneClass(data.labels[0], data.columns["label"])
    return data


def load_validation(files: Sequence[Path], like: LoadedData) -> LoadedData:
    """Read files to measure with, as the training data was read; rows with a label never trained are left out."""
    data = _load(files, like.format, like.columns, like.task, known_labels=set(like.labels))
    seen = {key_of(example) for example in like.examples}
    repeated = sum(key_of(example) in seen for example in data.examples)
    findings = list(data.findings)
    if repeated:
        verb = "is" if repeated == 1 else "are"
        findings.append(
            f"{repeated:,} of {data.kept:,} validation rows {verb} also in the training data, "
            "so the measured quality will look better than it is."
        )
    return replace(data, labels=like.labels, findings=findings)


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


def _load(files, format, columns, task, known_labels: set[str] | None = None) -> LoadedData:
    paths, findings = _find_files(files)
    tables = _read_files(paths)
    rows = sum(len(table.rows) for table in tables)
    sample = [row.values for row in tables[0].rows[:: len(tables[0].rows) // SAMPLED_ROWS + 1]]
    found = choose_columns(describe(sample), format, columns, task)
    _refuse_other_columns(tables, found)
    if found.task == CLASSIFICATION:
        _refuse_empty_labels(tables, found.columns["label"])
    examples, left_out, changes = _build_examples(tables, found, known_labels)
    reasons = _left_out_by_reason(left_out, tables)
    if len(examples) < rows / 2:
        whys = listed(f"{rows_have(count, reason)} ({where})" for reason, count, where in reasons)
        raise NoUsableRows(listed(table.source.name for table in tables), rows, len(left_out), whys)
    for table in tables:
        findings += _file_findings(table)
    findings += [left_out_finding(count, rows, reason, where) for reason, count, where in reasons]
    findings += [changed_finding(count, rows, change) for change, count in changes.items()]
    labels = [example["label"] for example in examples if "label" in example]
    if labels and known_labels is None:
        findings += label_findings(labels, found.columns["label"])
    return LoadedData(
        task=found.task,
        format=found.format,
        columns=found.columns,
        column_names=list(dict.fromkeys(name for table in tables for name in table.names)),
        reason=found.reason,
        rows=rows,
        left_out=left_out,
        examples=examples,
        labels=sort_labels(labels),
        findings=findings + repeated_rows_finding(examples),
        preview=[row.values for row in tables[0].rows[:PREVIEW_ROWS]],
        sha256=hash_of(paths),
        files=paths,
    )


def sort_labels(labels: Sequence[str]) -> list[str]:
    """The different labels in order: by value where all are whole numbers, so that class 10 does not follow class 1."""
    names = set(labels)
    return sorted(names, key=int) if all(name.lstrip("-").isdecimal() for name in names) else sorted(names)


def _find_files(sources: Sequence[Path]) -> tuple[list[Path], list[str]]:
    if not sources:
        raise NoFiles()
    paths, findings = [], []
    for source in sources:
        found, for_testing = files_in(source)
        paths += found
        if for_testing:
            names = listed(path.name for path in for_testing)
            findings.append(
                f"{names} in the folder {Path(source).name} {'is' if len(for_testing) == 1 else 'are'} not trained on."
            )
    return paths, findings


def _read_files(paths: list[Path]) -> list[_FileRows]:
    tables, problems = [], []
    for path in paths:
        try:
            source = inspect_file(path)
            rows = list(rows_of(source))
            tables.append(_FileRows(source, rows, column_names(row.values for row in rows)))
        except DataInvalid as problem:
            problems.append(problem)
    if len(problems) > 1:
        raise SeveralProblems(problems)
    if problems:
        raise problems[0]
    return tables


def _refuse_other_columns(tables: list[_FileRows], found: Recognition) -> None:
    required = [found.columns[part] for part in find_format(found.format).required]
    first = tables[0]
    for table in tables[1:]:
        if not set(required) <= set(table.names):
            raise FilesDiffer(table.source.name, table.names, first.source.name, first.names)


def _refuse_empty_labels(tables: list[_FileRows], column: str) -> None:
    read = cell_reader(column)
    if all(is_empty(read(row.values)) for table in tables for row in table.rows):
        raise LabelsEmpty(listed(table.source.name for table in tables), column)


def _build_examples(tables: list[_FileRows], found: Recognition, known_labels: set[str] | None):
    build = find_format(found.format).build
    readers = [(part, cell_reader(column)) for part, column in found.columns.items()]
    examples, left_out, changes = [], [], Counter()
    for table in tables:
        for row in table.rows:
            try:
                example, change = build({part: read(row.values) for part, read in readers})
                if known_labels and "label" in example and example["label"] not in known_labels:
                    raise LeaveOut(f"a label that no training row has ('{example['label']}')")
            except LeaveOut as problem:
                left_out.append(LeftOut(table.source.name, row.line, str(problem)))
                continue
            examples.append(example)
            if change:
                changes[change] += 1
    return examples, left_out, changes


def _left_out_by_reason(left_out: list[LeftOut], tables: list[_FileRows]) -> list[tuple[str, int, str]]:
    """Every reason with its count and the first places, the commonest first."""
    units = {table.source.name: table.source.counts_in for table in tables}
    by_reason = defaultdict(list)
    for row in left_out:
        by_reason[row.reason].append((row.file, units[row.file], row.line))
    ordered = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    return [(reason, len(rows), places(rows, len(tables) > 1)) for reason, rows in ordered]


def _file_findings(table: _FileRows) -> list[str]:
    findings = list(table.source.notes)
    if table.source.kind == "text":
        findings.append(plain_text_note(table.source))
    if table.source.kind == "table":
        repeated = next(
            ((name, row.line) for row in table.rows[:SAMPLED_ROWS] for name in table.names if row.values[name] == name),
            None,
        )
        findings += [header_finding(table.source.name, *repeated)] if repeated else []
    return findings
