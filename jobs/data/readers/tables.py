"""Tables in text files: CSV, TSV and their relatives."""

import csv
from collections import deque
from collections.abc import Iterable, Iterator

from jobs.data.layouts import Layout
from jobs.data.problems import ColumnsTooMany, FileEmpty, HeaderInvalid
from jobs.data.readers.lines import LONGEST, MOST_VALUES, BrokenLine, Row, broken_line, text_lines
from jobs.data.sniffing import SourceFile

MOST_COLUMNS = 10_000
LONG = 1_000_000  # characters of a line, from which on it may hold too many values
SWALLOWED = 12  # lines of a value, from which on it is asked whether they are rows by themselves
UNCLOSED = "a quotation mark that is never closed"


def read(source: SourceFile) -> Iterator[Row]:
    """Rows of a whole file. Raises HeaderInvalid, ColumnsTooMany and FileEmpty."""
    lines = _Lines(text_lines(source), source.layout)
    header, _ = read_header(source, lines)
    empty = True
    for row in rows_in(lines, header, source.layout):
        empty = False
        yield row
    if empty:
        raise FileEmpty(source.name, f"has column names ({', '.join(header)[:200]}) but no rows")


def header_of(source: SourceFile) -> tuple[list[str], list[str]]:
    """The names of the columns, and sentences about those that had to be changed."""
    return read_header(source, _Lines(text_lines(source), source.layout))


def rows_in_part(lines: Iterable[str], header: list[str], source: SourceFile) -> Iterator[Row]:
    """The rows of some lines from the middle of a file, as far as they fit."""
    return (row for row in rows_in(_Lines(iter(lines), source.layout), header, source.layout) if row.values is not None)


class _Lines:
    """Lines that csv reads its records from, of which those of the last record can be given back."""

    def __init__(self, lines: Iterator[str], layout: Layout):
        self.lines, self.layout = lines, layout
        self.again: deque[str] = deque()
        self.record: list[str] = []
        self.complaint = ""
        self.number = 0  # of the last line that was taken
        self.start()

    def start(self) -> None:
        self.reader = self.layout.reader(self._feed())

    def next(self) -> list[str] | None:
        """The cells of the next record, None at the end. Raises csv.Error for one that breaks the rules."""
        self.record.clear()
        self.complaint = ""
        return next(self.reader, None)

    def give_back(self) -> None:
        """All lines of the record but the first are read again."""
        self.again.extendleft(reversed(self.record[1:]))
        self.number -= len(self.record) - 1
        self.start()

    def _feed(self) -> Iterator[str]:
        record, separator, size = self.record, self.layout.separator, 0
        while True:
            if not record:
                size = 0
            if size > LONGEST:
                return  # in an open quotation mark: the reader complains that it is not closed
            line = self.again.popleft() if self.again else next(self.lines, None)
            if line is None:
                return
            size += len(line)
            if len(line) > LONG and line.count(separator) > MOST_VALUES:
                line = broken_line("", f"more than {MOST_VALUES:,} values in one row")
            if type(line) is not str and isinstance(line, BrokenLine):
                self.complaint = self.complaint or line.complaint
            record.append(line)
            self.number += 1
            yield line


def rows_in(lines: _Lines, header: list[str], layout: Layout) -> Iterator[Row]:
    """A row for each record that is not blank. A record that swallows rows is left out, and its other lines read by themselves."""
    width, record = len(header), lines.record
    while True:
        try:
            cells, error = lines.next(), ""
            if cells is None:
                return
        except csv.Error as problem:
            cells, error = [], _quote_complaint(problem, len(record))
        line = lines.number - len(record) + 1
        several = len(record) > 1
        if error or lines.complaint:
            if several and error:
                lines.give_back()
            yield Row(line, None, lines.complaint or error)
            if not several and error:
                lines.start()
        elif len(cells) == width and (len(record) < SWALLOWED or width == 1 or not _are_rows(record[1:-1], layout, width, 0.99)):
            yield Row(line, dict(zip(header, cells, strict=True)))
        elif several and _are_rows(record[1:], layout, width, 0.5):
            lines.give_back()
            yield Row(line, None, UNCLOSED)
        elif cells:
            if len(cells) > width and not any(cells[width:]):  # spreadsheets end lines with empty cells
                yield Row(line, dict(zip(header, cells, strict=False)))
            else:
                yield Row(line, None, f"{len(cells):,} value{'s' if len(cells) != 1 else ''} where the header has {width:,}")


def read_header(source: SourceFile, lines: _Lines) -> tuple[list[str], list[str]]:
    """The names of the columns, made distinct, and sentences about those that were not."""
    for _ in range(source.layout.skipped):
        lines.next()
    cells: list[str] | None = []
    while not any(cell.strip() for cell in cells):
        try:
            cells = lines.next()
        except csv.Error as problem:
            line = lines.number - len(lines.record) + 1
            raise HeaderInvalid(source.name, line, _quote_complaint(problem, len(lines.record))) from problem
        if cells is None:
            raise FileEmpty(source.name)
        if lines.complaint:
            raise HeaderInvalid(source.name, lines.number, lines.complaint)
    while len(cells) > 1 and not cells[-1].strip():
        cells.pop()
    if len(cells) > MOST_COLUMNS:
        raise ColumnsTooMany(source.name, MOST_COLUMNS)
    return distinct_names(source.name, [cell.strip().removeprefix("\ufeff") or f"column {number}"
                                        for number, cell in enumerate(cells, start=1)])


def distinct_names(file: str, names: list[str]) -> tuple[list[str], list[str]]:
    """The names, with a number behind those that come again, and a sentence that says so."""
    taken, seen = set(names), set()
    header, repeated = [], []
    for name in names:
        given, number = name, 1
        while given in seen or (number > 1 and given in taken):
            number += 1
            given = f"{name} ({number})"
        if given != name:
            repeated.append(given)
        seen.add(given)
        header.append(given)
    if not repeated:
        return header, []
    shown = ", ".join(f"'{name}'" for name in repeated[:3]) + (f" and {len(repeated) - 3:,} more" if len(repeated) > 3 else "")
    return header, [f"{file} names {'a column' if len(repeated) == 1 else 'columns'} twice; "
                    f"the later {'one is' if len(repeated) == 1 else 'ones are'} called {shown}."]


def _are_rows(lines: list[str], layout: Layout, width: int, share: float) -> bool:
    """Whether lines of one record read as rows of the table, each by itself."""
    lines = lines[:200]
    fitting = sum(_width_of(line, layout) == width for line in lines)
    return bool(lines) and fitting >= share * len(lines)


def _width_of(line: str, layout: Layout) -> int:
    try:
        return len(next(layout.reader([line], strict=False), []))
    except csv.Error:
        return 0


def _quote_complaint(error: csv.Error, lines: int) -> str:
    if "unexpected end" in str(error) or lines > 1:
        return UNCLOSED
    if "new-line" in str(error):
        return "a line end inside a value without quotation marks"
    return "a quotation mark inside a quoted value that is not doubled"
