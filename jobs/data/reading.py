"""Rows of a data file, one at a time, each with the place where it stands."""

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.data.problems import (
    BadLine,
    BrokenJson,
    BrokenJsonLines,
    BrokenTableLines,
    FileEmpty,
    HeaderInvalid,
    NoFiles,
    ParquetDamaged,
)
from jobs.data.sniffing import (
    JSON_SUFFIXES,
    TABLE_SUFFIXES,
    TEXT_SUFFIXES,
    SourceFile,
    inspect_file,
    lists_of_rows,
)
from jobs.data.tables import turns_of

NAMED_LINES = 3  # how many broken lines a message names
LARGEST_FIELD = 2**31 - 1
NOT_FOR_TRAINING = {"test", "tests", "testing", "val", "valid", "validation", "dev", "eval", "evaluation", "heldout"}


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its values by column, and its place (line of a text file, else row), both counted from 1."""

    line: int
    values: dict


def read_rows(path: Path) -> Iterator[Row]:
    """Stream a file's rows. Broken lines are collected and raised together, as DataInvalid, after the last good row."""
    yield from rows_of(inspect_file(path))


def rows_of(source: SourceFile) -> Iterator[Row]:
    """Stream the rows of a file whose kind is known; see read_rows."""
    yield from READERS[source.kind](source)


def plain_text_note(source: SourceFile) -> str:
    """How a plain text file was cut into rows."""
    unit = "paragraph (separated by blank lines)" if _has_paragraphs(source) else "line"
    return f"{source.name} is plain text: each {unit} is one row."


def hash_of(files: Iterable[Path]) -> str:
    """SHA-256 over the bytes of the files, in order."""
    digest = hashlib.sha256()
    for path in files:
        with Path(path).open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def files_in(source: Path) -> tuple[list[Path], list[Path]]:
    """A file, or a folder's data files: those to train on, and those whose names say that they are for testing."""
    source = Path(source)
    if not source.is_dir():
        return [source], []
    files = sorted(path for path in source.iterdir() if path.is_file() and not path.name.startswith("."))
    tables = [path for path in files if path.suffix.lower() in JSON_SUFFIXES | TABLE_SUFFIXES | {".parquet"}]
    texts = [
        path
        for path in files
        if path.suffix.lower() in TEXT_SUFFIXES and path.stem.lower() not in ("readme", "license")
    ]
    found = tables or texts
    if not found:
        raise NoFiles(source)
    for_training = [path for path in found if not _name_words(path) & NOT_FOR_TRAINING]
    if not for_training:
        return found, []
    return for_training, [path for path in found if path not in for_training]


def _name_words(path: Path) -> set[str]:
    return set("".join(letter if letter.isalpha() else " " for letter in path.stem.lower()).split())


def _read_json_lines(source: SourceFile) -> Iterator[Row]:
    first_bad, bad_count, empty = [], 0, True
    with source.path.open(encoding=source.encoding) as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            empty = False
            try:
                values = json.loads(line)
                complaint = (
                    None
                    if isinstance(values, dict)
                    else f"{_kind_name(values)} where an object with named values belongs"
                )
            except (ValueError, RecursionError) as error:
                complaint = _json_complaint(error)
            if complaint is None:
                yield Row(number, values)
                continue
            bad_count += 1
            if len(first_bad) < NAMED_LINES:
                first_bad.append(BadLine(number, complaint))
    if bad_count:
        raise BrokenJsonLines(source.name, first_bad, bad_count)
    if empty:
        raise FileEmpty(source.name)


def _read_json(source: SourceFile) -> Iterator[Row]:
    with source.path.open(encoding=source.encoding) as stream:
        text = stream.read()
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise BrokenJson(
            f"{source.name}, line {error.lineno:,}: this is not valid JSON ({error.msg} at character {error.colno:,}). "
            "Mend that line, then upload again."
        ) from error
    except (ValueError, RecursionError) as error:
        raise BrokenJson(
            f"{source.name} is not valid JSON ({_json_complaint(error)}). Mend it, then upload again."
        ) from error
    rows = _list_of_rows(source, document)
    wrong = [BadLine(number, _kind_name(row)) for number, row in enumerate(rows, start=1) if not isinstance(row, dict)]
    if wrong:
        raise BrokenJson(
            f"{source.name}, row {wrong[0].line:,} is {wrong[0].complaint}, not an object with named values"
            + (f" ({len(wrong):,} rows are like that)" if len(wrong) > 1 else "")
            + '. Write every row as an object such as {"question": "…", "answer": "…"}, then upload again.'
        )
    if not rows:
        raise FileEmpty(source.name, "holds an empty list")
    for number, row in enumerate(rows, start=1):
        yield Row(number, row)


def _list_of_rows(source: SourceFile, document) -> list:
    if isinstance(document, list):
        return document
    lists = lists_of_rows(document) if isinstance(document, dict) else []
    if len(lists) == 1:
        return document[lists[0]]
    if lists:
        raise BrokenJson(
            f"{source.name} holds several lists ({', '.join(lists)}). "
            "Keep the one to train on in a file of its own, then upload that."
        )
    if isinstance(document, dict) and any(
        not isinstance(value, list) or turns_of(value) for value in document.values()
    ):
        return [document]
    raise BrokenJson(
        f"{source.name} holds {_kind_name(document)} without a list of rows. "
        "Write it as a list of objects, one for each row, then upload again."
    )


def _read_table(source: SourceFile) -> Iterator[Row]:
    csv.field_size_limit(LARGEST_FIELD)
    quoting = csv.QUOTE_MINIMAL if source.quoted else csv.QUOTE_NONE
    first_bad, bad_count, empty = [], 0, True

    with source.path.open(encoding=source.encoding, newline="") as stream:
        lines = csv.reader(stream, delimiter=source.separator, strict=True, quoting=quoting)
        header = _read_header(source, lines)
        width, line = len(header), lines.line_num + 1
        while True:
            complaint = None
            try:
                cells = next(lines)
            except StopIteration:
                break
            except csv.Error as error:
                complaint = _quote_complaint(error)
            if complaint is None and not cells:
                line = lines.line_num + 1
                continue
            empty = False
            if complaint is None and len(cells) > width and not any(cells[width:]):
                cells = cells[:width]  # spreadsheets end lines with empty cells
            if complaint is None and len(cells) != width:
                complaint = f"it has {len(cells)} value{'s' if len(cells) != 1 else ''}"
            if complaint is None:
                yield Row(line, dict(zip(header, cells, strict=True)))
            else:
                bad_count += 1
                if len(first_bad) < NAMED_LINES:
                    first_bad.append(BadLine(line, complaint))
            line = lines.line_num + 1
    if bad_count:
        raise BrokenTableLines(source.name, header, first_bad, bad_count)
    if empty:
        raise FileEmpty(source.name, f"has column names ({', '.join(header)}) but no rows")


def _read_header(source: SourceFile, lines) -> list[str]:
    try:
        cells = next(cells for cells in lines if any(cell.strip() for cell in cells))
    except csv.Error as error:
        raise BrokenTableLines(source.name, ["?"], [BadLine(lines.line_num, _quote_complaint(error))], 1) from error
    while len(cells) > 1 and not cells[-1].strip():
        cells.pop()
    header = [cell.strip() or f"column {number}" for number, cell in enumerate(cells, start=1)]
    for name in header:
        if header.count(name) > 1:
            raise HeaderInvalid(source.name, name)
    return header


def _read_parquet(source: SourceFile) -> Iterator[Row]:
    from pyarrow import ArrowException, parquet  # here: a third of a second that other files need not wait

    try:
        with parquet.ParquetFile(source.path) as table:
            if table.metadata.num_rows == 0:
                raise FileEmpty(source.name, "has columns but no rows")
            number = 0
            for batch in table.iter_batches(batch_size=1000):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(number, values)
    except (ArrowException, OSError) as error:
        raise ParquetDamaged(source.name, str(error).splitlines()[0].rstrip(".")) from error


def _read_text(source: SourceFile) -> Iterator[Row]:
    by_paragraph = _has_paragraphs(source)
    lines, start = [], 0
    with source.path.open(encoding=source.encoding) as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                start = start if lines else number
                lines.append(line.rstrip("\n"))
            if lines and (not line.strip() or not by_paragraph):
                yield Row(start, {"text": "\n".join(lines)})
                lines = []
    if lines:
        yield Row(start, {"text": "\n".join(lines)})


def _has_paragraphs(source: SourceFile) -> bool:
    """Whether a blank line stands between two lines of text."""
    seen_text = seen_blank = False
    with source.path.open(encoding=source.encoding) as stream:
        for line in stream:
            if line.strip():
                if seen_blank:
                    return True
                seen_text = True
            elif seen_text:
                seen_blank = True
    return False


def _json_complaint(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.colno:,}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _quote_complaint(error: csv.Error) -> str:
    if "unexpected end" in str(error):
        return "a quotation mark opens here and is never closed"
    return "a quotation mark inside a quoted value is not doubled"


def _kind_name(value) -> str:
    names = {
        list: "a list",
        dict: "an object",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "nothing")


READERS = {
    "jsonl": _read_json_lines,
    "json": _read_json,
    "table": _read_table,
    "parquet": _read_parquet,
    "text": _read_text,
}
