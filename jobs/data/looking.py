"""A first look at files: what they are, and what a sample of their rows reads like. Takes a moment, however large they are."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.data.choosing import choose_columns
from jobs.data.findings import header_finding, listed, places, rows_have
from jobs.data.formats import Recognition, find_format
from jobs.data.problems import ColumnsTooMany, FilesDiffer, NoFiles, NoUsableRows, SeveralProblems, readable_name
from jobs.data.reading import Row, files_in, notes_on
from jobs.data.sampling import PREVIEW_ROWS, Sample, sample_rows
from jobs.data.sniffing import SourceFile, inspect_file
from jobs.data.tables import column_names, describe
from storage.problems import DataInvalid

MOST_COLUMNS = 10_000
MOST_CELLS = 1_000_000  # that are looked at
LONGEST_PREVIEW = 5000  # characters of a text, and members of a list


@dataclass(frozen=True)
class Look:
    """Files that were inspected, and what they were taken for. `preview` has the first rows as the first file has them."""

    sources: list[SourceFile]
    found: Recognition
    preview: list[dict]
    findings: list[str]


@dataclass(frozen=True)
class _Sampled:
    source: SourceFile
    rows: list[Row]
    names: list[str]


def look(files: Sequence[Path], format: str = "auto", columns: dict[str, str] | None = None, task: str | None = None) -> Look:
    """Inspect files (or folders of them), and settle their format and columns from a sample of their rows.

    `columns` goes from part to column; parts left out are recognised, and so is the task where None is given.
    Raises DataInvalid, with everything that is wrong with the files in one message.
    """
    paths, findings = find_files(files)
    samples = _sample_files(paths)
    found = choose_columns(describe(_thinned(samples[0])), format, columns, task)
    required = [found.columns[part] for part in find_format(found.format).required]
    for sample in samples[1:]:
        if not set(required) <= set(sample.names):
            raise FilesDiffer(sample.source.name, sample.names, samples[0].source.name, samples[0].names)
    for sample in samples:
        findings += _file_findings(sample)
    preview = [shortened(row.values) for row in samples[0].rows[:PREVIEW_ROWS]]
    return Look([sample.source for sample in samples], found, preview, findings)


def shortened(value: object) -> object:
    """A value to show: long texts and lists are cut, and bytes only counted."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST_PREVIEW else f"{value[:LONGEST_PREVIEW]}…"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, dict):
        return {shortened(str(key)): shortened(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shortened(inner) for inner in value[:LONGEST_PREVIEW]]
    return value


def find_files(sources: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The data files among files and folders, and a sentence about those that are named for testing. Raises NoFiles."""
    if not sources:
        raise NoFiles()
    paths, findings = [], []
    for source in sources:
        found, for_testing = files_in(source)
        paths += found
        if for_testing:
            names = listed(readable_name(path) for path in for_testing)
            findings.append(
                f"{names} in the folder {readable_name(source)} {'is' if len(for_testing) == 1 else 'are'} not trained on."
            )
    return paths, findings


def _sample_files(paths: list[Path]) -> list[_Sampled]:
    samples, problems = [], []
    for path in paths:
        try:
            samples.append(_sample(inspect_file(path)))
        except DataInvalid as problem:
            problems.append(problem)
    if len(problems) > 1:
        raise SeveralProblems(problems)
    if problems:
        raise problems[0]
    return samples


def _sample(source: SourceFile) -> _Sampled:
    sample = sample_rows(source)
    good = [row for row in sample.rows if row.values is not None]
    if not good:
        raise _none_usable(source, sample)
    names = column_names(row.values for row in good)
    if len(names) > MOST_COLUMNS:
        raise ColumnsTooMany(source.name, MOST_COLUMNS)
    return _Sampled(source, good, names)


def _none_usable(source: SourceFile, sample: Sample) -> NoUsableRows:
    broken, count = sample.rows, len(sample.rows)
    by_complaint = Counter(row.complaint for row in broken).most_common()
    whys = listed(
        f"{rows_have(many, complaint)} "
        f"({places([(source.name, source.counts_in, row.line) for row in broken if row.complaint == complaint], False, many)})"
        for complaint, many in by_complaint)
    return NoUsableRows(source.name, count, count, whys, all_of_them=sample.whole, broken=True)


def _thinned(sample: _Sampled) -> list[dict]:
    """Fewer rows where there are very many columns, which are all compared."""
    rows = [row.values for row in sample.rows]
    most = max(20, MOST_CELLS // max(1, len(sample.names)))
    return rows if len(rows) <= most else rows[::-(-len(rows) // most)]


def _file_findings(sample: _Sampled) -> list[str]:
    findings = [*sample.source.notes, *notes_on(sample.source)]
    if sample.source.kind == "table":
        repeated = next(((name, row.line) for row in sample.rows if row.line for name in sample.names
                         if row.values.get(name) == name), None)
        findings += [header_finding(sample.source.name, *repeated)] if repeated else []
    return findings
