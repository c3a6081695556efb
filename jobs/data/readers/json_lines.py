"""JSON lines: one object in each line."""

import json
from collections.abc import Iterable, Iterator

from jobs.data.json_text import HalfCharacter, loads
from jobs.data.problems import FileEmpty
from jobs.data.readers.lines import BUFFER, LONGEST, MOST_VALUES, BrokenLine, Row, broken_line, text_lines
from jobs.data.sniffing import SourceFile

LONG = 4_000_000  # bytes of a line, from which on it may hold too many values
BOM = b"\xef\xbb\xbf"


def read(source: SourceFile) -> Iterator[Row]:
    """Rows of a whole file."""
    empty = True
    for row in rows_in(json_lines(source)):
        empty = False
        yield row
    if empty:
        raise FileEmpty(source.name)


def json_lines(source: SourceFile) -> Iterator[bytes | BrokenLine]:
    """The lines of a file in UTF-8."""
    if source.encoding == "utf-8" and not _has_other_ends(source):
        yield from _byte_lines(source)
        return
    for line in text_lines(source):
        yield line if isinstance(line, BrokenLine) else line.encode()


def rows_in(lines: Iterable[bytes | BrokenLine]) -> Iterator[Row]:
    """A row for each line that is not blank."""
    for number, line in enumerate(lines, start=1):
        if line.isspace():
            continue
        try:
            values = _values(line)
        except Complaint as problem:
            yield Row(number, None, str(problem))
        else:
            yield Row(number, values)


class Complaint(Exception):
    """A value that is no row, in words that follow "it has"."""


def row_values(value: object) -> dict:
    """The value if it is an object that can be used; else raises Complaint."""
    if type(value) is not dict:
        raise Complaint(f"{kind_name(value)} where an object with named values belongs")
    return value


def json_complaint(error: Exception) -> str:
    """What is wrong with JSON text, and where in it."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.removesuffix(' at')} at character {error.colno:,}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"a byte (0x{error.object[error.start]:02X}) that is not UTF-8"
    return "a whole number of more than 4,300 digits" if "digits" in str(error) else str(error)


def kind_name(value: object) -> str:
    """What a value is, as a person would say it."""
    names = {list: "a list", dict: "an object", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "nothing")


def _values(line: bytes | BrokenLine) -> dict:
    if isinstance(line, BrokenLine):
        raise Complaint(line.complaint)
    if len(line) > LONG and line.count(b",") + line.count(b"[") + line.count(b"{") > MOST_VALUES:
        raise Complaint(f"more than {MOST_VALUES:,} values in one row")
    if line.startswith(BOM):
        line = line[3:]
    try:
        value = loads(line)
    except (UnicodeDecodeError, HalfCharacter) as error:
        raise Complaint(json_complaint(error)) from error
    except (ValueError, RecursionError) as error:
        raise Complaint(f"invalid JSON ({json_complaint(error)})") from error
    return row_values(value)


def _byte_lines(source: SourceFile) -> Iterator[bytes | BrokenLine]:
    with source.path.open("rb", buffering=BUFFER) as stream:
        for line in stream if source.path.stat().st_size <= LONGEST else iter(lambda: stream.readline(LONGEST), b""):
            if len(line) == LONGEST and not line.endswith(b"\n"):
                while line and not line.endswith(b"\n"):
                    line = stream.readline(LONGEST)
                yield broken_line("", f"more than {LONGEST:,} bytes in one line")
            else:
                yield line


def _has_other_ends(source: SourceFile) -> bool:
    with source.path.open("rb") as stream:
        head = stream.read(BUFFER)
    return b"\r" in head and b"\n" not in head
