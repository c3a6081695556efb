"""Rows, and the lines of text that they are read from, broken ones with their complaint."""

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from jobs.data.encodings import title
from jobs.data.sniffing import SourceFile

LONGEST = 40_000_000  # characters of a line or a row, so that one row never takes all the memory
MOST_VALUES = 4_000_000  # of a row: each takes many times the memory of its text
BUFFER = 1 << 18
_MARK = re.compile("[\udc80-\udcff]")  # what _keep_place puts where bytes are no text; no encoding decodes to these


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its values by column, and its place (line of a text file, else row), counted from 1.

    A row that cannot be read has no values but a `complaint`, in words that follow "it has".
    """

    line: int
    values: dict | None
    complaint: str = ""


class BrokenLine(str):
    """A line that cannot be read as it is; `complaint` says why, in words that follow "it has"."""

    complaint = ""


def text_lines(source: SourceFile) -> Iterator[str]:
    """The lines of a text file with their ends, by any of the usual ends; those that cannot be read as BrokenLine."""
    with source.path.open("rb", buffering=BUFFER) as stream:
        yield from decoded_lines(stream, source.encoding)


def decoded_lines(stream: io.BufferedIOBase, encoding: str) -> Iterator[str]:
    """The same of an open file."""
    text = io.TextIOWrapper(stream, encoding=encoding, errors=KEEP_PLACE, newline="")
    first = True
    while line := text.readline(LONGEST):
        if first:
            line, first = line.removeprefix("\ufeff"), False
        if len(line) == LONGEST and line[-1] not in "\r\n":
            _skip_line(text)
            yield broken_line("", f"more than {LONGEST:,} characters in one line")
        elif not line.isascii() and (complaint := undecodable(line, encoding)):
            yield broken_line(line, complaint)
        else:
            yield line
    text.detach()


def broken_line(line: str, complaint: str) -> BrokenLine:
    broken = BrokenLine(_MARK.sub("\ufffd", line))
    broken.complaint = complaint
    return broken


def undecodable(text: str, encoding: str, start: int = 0, end: int | None = None) -> str:
    """The complaint about the first bytes that were no text in the encoding, or an empty text."""
    mark = _MARK.search(text, start, len(text) if end is None else end)
    if not mark:
        return ""
    return f"a byte (0x{ord(mark[0]) - 0xDC00:02X}) that is not {title(encoding)}"


def _skip_line(text: io.TextIOWrapper) -> None:
    while (more := text.readline(LONGEST)) and more[-1] not in "\r\n":
        pass


def _keep_place(error: UnicodeError) -> tuple[str, int]:
    """For codecs: half a character in the place of bytes that do not fit, so that only their line is left out."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    byte = error.object[error.start]
    return chr(0xDC00 + (byte if byte > 127 else 0x80)), error.end


KEEP_PLACE = "studio-keep-place"
codecs.register_error(KEEP_PLACE, _keep_place)
