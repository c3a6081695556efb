"""Plain text: paragraphs where blank lines separate them, else lines."""

from collections.abc import Iterable, Iterator
from itertools import islice

from jobs.data.readers.lines import LONGEST, BrokenLine, Row, text_lines
from jobs.data.sniffing import SourceFile

ASKED_LINES = 100_000  # of the file's beginning, that say how it is cut


def read(source: SourceFile) -> Iterator[Row]:
    """Rows of a whole file."""
    yield from rows_in(text_lines(source), has_paragraphs(source))


def note(source: SourceFile) -> str:
    """How the text was cut into rows."""
    unit = "paragraph (separated by blank lines)" if has_paragraphs(source) else "line"
    return f"{source.name} is plain text: each {unit} is one row."


def rows_in(lines: Iterable[str], by_paragraph: bool) -> Iterator[Row]:
    """Paragraphs or lines, each with the number of its first line."""
    waiting: list[str] = []
    start = size = 0
    complaint = ""
    for number, line in enumerate(lines, start=1):
        is_blank = not line.strip() and not isinstance(line, BrokenLine)
        if not is_blank:
            start = start if waiting else number
            if isinstance(line, BrokenLine):
                complaint = complaint or line.complaint
            if size <= LONGEST:
                waiting.append(line.rstrip("\r\n"))
            size += len(line)
        if waiting and (is_blank or not by_paragraph):
            yield _row(start, waiting, size, complaint)
            waiting, size, complaint = [], 0, ""
    if waiting:
        yield _row(start, waiting, size, complaint)


def has_paragraphs(source: SourceFile) -> bool:
    """Whether a blank line stands between two lines of text, near the file's beginning."""
    seen_text = seen_blank = False
    for line in islice(text_lines(source), ASKED_LINES):
        if line.strip() or isinstance(line, BrokenLine):
            if seen_blank:
                return True
            seen_text = True
        elif seen_text:
            seen_blank = True
    return False


def _row(start: int, lines: list[str], size: int, complaint: str) -> Row:
    if size > LONGEST:
        complaint = f"more than {LONGEST:,} characters without a blank line"
    return Row(start, None, complaint) if complaint else Row(start, {"text": "\n".join(lines)})
