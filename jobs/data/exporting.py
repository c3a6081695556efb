"""Rows out again, as they are: JSON lines, CSV or Parquet, a part at a time."""

import base64
import csv
import io
import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from pathlib import Path

from jobs.data.json_text import dumps
from jobs.data.reading import rows_of
from jobs.data.sniffing import SourceFile, inspect_file
from storage.problems import DataInvalid

MEDIA_TYPES = {"jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
PART_BYTES = 1 << 18
ROW_GROUP_BYTES = 32 << 20
BATCH_ROWS = 1000
SAME_COLUMNS = ("table", "text", "parquet", "arrow", "conll")  # kinds of files whose rows all have the columns of the first one

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class ExportInvalid(DataInvalid):
    """A form in which data cannot be exported, or a place to which it cannot go."""


class Export:
    """The rows of files in another form. `rows` and `unreadable` count while `parts` goes on.

    A broken line of the files cannot be written, and is only counted.
    """

    def __init__(self, files: Sequence[Path], format: str):
        if format not in MEDIA_TYPES:
            raise ExportInvalid(f"Data can be exported as {', '.join(MEDIA_TYPES)}, not as '{format}'. Choose one of these.")
        self.format = format
        self.sources = [inspect_file(path) for path in files]
        self.rows = self.unreadable = 0

    def parts(self) -> Iterator[bytes]:
        """The bytes of the file, one part after the other. Raises DataInvalid."""
        return {"jsonl": self._json_lines, "csv": self._csv, "parquet": self._parquet}[self.format]()

    def write(self, path: Path) -> None:
        """Write the file whole or not at all."""
        if any(path.exists() and path.samefile(source.path) for source in self.sources):
            raise ExportInvalid(f"'{path}' is one of the files that are exported. Choose another name.")
        partial = path.with_name(f".{path.name}.part")
        try:
            with partial.open("wb") as stream:
                stream.writelines(self.parts())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    # ---- forms

    def _json_lines(self) -> Iterator[bytes]:
        waiting, size = [], 0
        for values in self._values():
            waiting.append(json_line(values))
            size += len(waiting[-1])
            if size > PART_BYTES:
                yield b"".join(waiting)
                waiting, size = [], 0
        yield b"".join(waiting)

    def _csv(self) -> Iterator[bytes]:
        names = column_names(self.sources)
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        writer.writerow([harmless(name) for name in names])
        for values in self._values():
            writer.writerow([csv_cell(values.get(name)) for name in names])
            if buffer.tell() > PART_BYTES:
                yield _taken(buffer)
        yield _taken(buffer)

    def _parquet(self) -> Iterator[bytes]:
        import pyarrow
        from pyarrow import parquet

        schema = _schema(self.sources)
        sink = _Sink()
        with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
            waiting = []
            for rows in _batches(self._values()):
                waiting.append(pyarrow.record_batch([_arrow_column(rows, field) for field in schema], schema))
                if sum(batch.nbytes for batch in waiting) > ROW_GROUP_BYTES:
                    writer.write_table(pyarrow.Table.from_batches(waiting))
                    waiting = []
                    yield sink.taken()
            if waiting:
                writer.write_table(pyarrow.Table.from_batches(waiting))
        yield sink.taken()

    def _values(self) -> Iterator[dict]:
        for source in self.sources:
            for row in rows_of(source):
                if row.values is None:
                    self.unreadable += 1
                else:
                    self.rows += 1
                    yield row.values


def json_line(values: object) -> bytes:
    """One line of JSON with its end. What JSON does not know becomes text; not-a-number and infinity become null."""
    try:
        return dumps(values) + b"\n"
    except (TypeError, UnicodeEncodeError):
        return json.dumps(plain(values), separators=(",", ":")).encode() + b"\n"


def plain(value: object) -> object:
    """The value in the types of JSON: times as ISO 8601, bytes as their text, or as Base64 where they are none."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    return value.isoformat() if isinstance(value, (datetime, date, time)) else str(value)


def csv_cell(value: object) -> str:
    """A value as the text of a CSV cell: lists and objects as JSON, text so that no spreadsheet runs it."""
    value = plain(value)
    if value is None:
        return ""
    return harmless(as_text(value)) if isinstance(value, str) else as_text(value)


def as_text(value: object) -> str:
    """Text as it is (half characters, which have no bytes, as question marks), anything else as JSON."""
    value = plain(value)
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="replace").decode()
    return json_line(value).decode().rstrip("\n")


def harmless(text: str) -> str:
    """Text that a spreadsheet would run as a formula gets an apostrophe in front; numbers such as -5 stay.

    Text that already has apostrophes before a formula gets one more, so that taking one away always gives the text back.
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def column_names(sources: Sequence[SourceFile]) -> list[str]:
    """The columns of all rows, in the order in which they first appear; objects are one column."""
    names: dict[str, None] = {}
    for source in sources:
        for row in rows_of(source):
            if row.values is not None:
                names.update(dict.fromkeys(row.values))
                if source.kind in SAME_COLUMNS:
                    break
    return list(names)


# ---- Parquet


class _Sink(io.RawIOBase):
    """Takes what is written, until somebody takes it away."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.position = 0

    def writable(self) -> bool:
        return True

    def write(self, piece) -> int:
        self.pieces.append(bytes(piece))
        self.position += len(self.pieces[-1])
        return len(self.pieces[-1])

    def tell(self) -> int:
        return self.position

    def taken(self) -> bytes:
        pieces, self.pieces = self.pieces, []
        return b"".join(pieces)


def _schema(sources: Sequence[SourceFile]):
    """The types that hold every value of each column. A column whose values have no common type is text, of JSON where need be."""
    import pyarrow

    types: dict[str, pyarrow.DataType] = {}
    for source in sources:
        for rows in _batches(row.values for row in rows_of(source) if row.values is not None):
            for name in dict.fromkeys(name for values in rows for name in values):
                types[name] = _common_type(types.get(name, pyarrow.null()), [values.get(name) for values in rows])
    return pyarrow.schema([(name, pyarrow.string() if pyarrow.types.is_null(type) else type) for name, type in types.items()])


def _common_type(known, values: list):
    import pyarrow

    try:
        found = pyarrow.array(values).type
        fields = [pyarrow.schema([("column", type)]) for type in (known, found)]
        both = pyarrow.unify_schemas(fields, promote_options="permissive").field("column").type
    except (pyarrow.ArrowException, OverflowError, ValueError):
        return pyarrow.string()
    return both if _can_be_written(both) else pyarrow.string()


def _can_be_written(type) -> bool:
    """Parquet has no objects without a field."""
    import pyarrow

    if type.num_fields:
        return all(_can_be_written(type.field(number).type) for number in range(type.num_fields))
    return not pyarrow.types.is_struct(type)


def _arrow_column(rows: list[dict], field):
    import pyarrow

    values = [values.get(field.name) for values in rows]
    if pyarrow.types.is_string(field.type):
        values = [None if value is None else as_text(value) for value in values]
    elif pyarrow.types.is_floating(field.type):
        values = [float(value) if isinstance(value, int) else value for value in values]
    try:
        return pyarrow.array(values, field.type)
    except (pyarrow.ArrowException, OverflowError, ValueError) as error:
        raise ExportInvalid(f"The column '{field.name}' has values that do not fit one type of Parquet ({field.type}): {error}. "
                            "Export JSON lines instead.") from error


def _batches(values: Iterator[dict]) -> Iterator[list[dict]]:
    rows: list[dict] = []
    for row in values:
        rows.append(row)
        if len(rows) == BATCH_ROWS:
            yield rows
            rows = []
    if rows:
        yield rows


def _taken(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()
