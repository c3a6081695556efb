"""One JSON document: a list of objects, an object around such a list, or objects one after the other."""

import json
import re
from collections.abc import Iterator

from jobs.data.cells import turns_of
from jobs.data.json_text import HalfCharacter, refuse_half_characters
from jobs.data.problems import BrokenJson, FileEmpty
from jobs.data.readers.json_lines import LONG, Complaint, json_complaint, kind_name, row_values
from jobs.data.readers.lines import KEEP_PLACE, LONGEST, MOST_VALUES, Row, undecodable
from jobs.data.sniffing import SourceFile, holds_rows

CHUNK = 1 << 19  # characters that are read at once
NEAR_END = 16  # characters before the text's end, where a mistake may only mean that there is more to read
_SPACE = re.compile(r"[ \t\n\r]*")
_HALF = re.compile(r"\\u[dD][89abAB]")


def read(source: SourceFile) -> Iterator[Row]:
    """Rows of a whole file. Raises BrokenJson, with the line, where it does not go on as JSON does."""
    with source.path.open(encoding=source.encoding, errors=KEEP_PLACE) as stream:
        text = _Text(stream, source)
        if text.peek() == "[":
            rows = _rows_in_list(text)
        elif text.peek() == "{":
            rows = _rows_in_objects(text)
        else:
            raise text.problem(f"it holds {kind_name(text.value())} without a list of rows", advise=_ROWS)
        empty = True
        for row in rows:
            empty = False
            yield row
        if empty:
            raise FileEmpty(source.name, "holds an empty list")
        if text.peek():
            raise text.problem("this is not valid JSON (more text after the document's end)")


_ROWS = 'Write it as a list of objects, one for each row, such as {"question": "…", "answer": "…"}, then upload again.'


class _Text:
    """The document's text, of which only the part that is being read is held."""

    def __init__(self, stream, source: SourceFile):
        self.stream, self.source = stream, source
        self.buffer, self.at, self.ended = "", 0, False
        self.line, self.column = 1, 0  # of the buffer's first character: its line, and characters before it there
        self.decoder = json.JSONDecoder()
        self.fill()
        self.at = 1 if self.buffer.startswith("\ufeff") else 0

    def fill(self) -> None:
        """Read on, as much again as is not used yet."""
        self.line += self.buffer.count("\n", 0, self.at)
        end = self.buffer.rfind("\n", 0, self.at)
        self.column = self.at - end - 1 if end >= 0 else self.column + self.at
        rest = self.buffer[self.at:]
        more = self.stream.read(max(CHUNK, len(rest)))
        self.ended = not more
        self.buffer, self.at = rest + more, 0
        self.may_be_broken = not self.buffer.isascii() and bool(undecodable(self.buffer, self.source.encoding))
        self.may_be_half = "\\ud" in self.buffer or "\\uD" in self.buffer

    def peek(self) -> str:
        """The next character that is no white space; an empty text at the end."""
        while True:
            self.at = _SPACE.match(self.buffer, self.at).end()
            if self.at < len(self.buffer) or self.ended:
                return self.buffer[self.at:self.at + 1]
            self.fill()

    def take(self, wanted: str) -> str:
        """The next character, which must be one of those wanted."""
        found = self.peek()
        if not found or found not in wanted:
            named = " or ".join(f"'{letter}'" for letter in wanted)
            raise self.problem(f"this is not valid JSON (expecting {named})" if found else _CUT)
        self.at += 1
        return found

    def value(self) -> object:
        """The next value. Raises Complaint where it is whole but cannot be used."""
        self.peek()
        while True:
            size = len(self.buffer) - self.at
            if size > LONG and self._values_ahead() > MOST_VALUES:
                raise self.problem(f"more than {MOST_VALUES:,} values in one row")
            try:
                value, end = self.decoder.raw_decode(self.buffer, self.at)
                if end < len(self.buffer) or self.ended:
                    break
            except json.JSONDecodeError as error:
                if self.ended or not self._may_go_on(error):
                    raise self._broken(error) from error
            except (ValueError, RecursionError) as error:
                raise self.problem(f"this is not valid JSON ({json_complaint(error)})") from error
            if size > LONGEST:
                raise self.problem(f"more than {LONGEST:,} characters in one row")
            self.fill()
        start, self.at = self.at, end
        if self.may_be_broken and (complaint := undecodable(self.buffer, self.source.encoding, start, end)):
            raise Complaint(complaint)
        if self.may_be_half and _HALF.search(self.buffer, start, end):
            try:
                refuse_half_characters(value)
            except HalfCharacter as problem:
                raise Complaint(str(problem)) from problem
        return value

    def problem(self, what: str, at: int | None = None, advise: str = "Mend that line, then upload again.") -> BrokenJson:
        """What is wrong here, with the line."""
        line = self.line + self.buffer.count("\n", 0, self.at if at is None else at)
        return BrokenJson(f"{self.source.name}, line {line:,}: {what}. {advise}")

    def _broken(self, error: json.JSONDecodeError) -> BrokenJson:
        if self._may_go_on(error):
            return self.problem(_CUT, error.pos)
        end = self.buffer.rfind("\n", 0, error.pos)
        column = error.pos - end if end >= 0 else self.column + error.pos + 1
        return self.problem(f"this is not valid JSON ({error.msg.removesuffix(' at')} at character {column:,})", error.pos)

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        end = len(self.buffer.rstrip()) if self.ended else len(self.buffer) - NEAR_END
        return error.msg.startswith("Unterminated string") or error.pos >= end

    def _values_ahead(self) -> int:
        return sum(self.buffer.count(letter, self.at) for letter in ",[{")


_CUT = "the document breaks off here, in the middle of a value"


def _rows_in_list(text: _Text, first: list | None = None, number: int = 0) -> Iterator[Row]:
    """The elements of a list; `first` has those that were already taken, with the opening bracket."""
    if first is None:
        text.take("[")
        if text.peek() == "]":
            text.take("]")
            return
    for value in first or ():
        number += 1
        yield Row(number, value)
    while not first or text.take(",]") == ",":
        first = True
        number += 1
        try:
            yield Row(number, row_values(text.value()))
        except Complaint as problem:
            yield Row(number, None, str(problem))


def _rows_in_objects(text: _Text) -> Iterator[Row]:
    """The rows of an object's list, or the object itself as one row, and those that follow it."""
    number, streamed = 1, ""
    fields: dict = {}
    text.take("{")
    while text.peek() != "}":
        if fields or streamed:
            text.take(",")
        if text.peek() != '"':
            raise text.problem("this is not valid JSON (expecting a name in quotation marks)" if text.peek() else _CUT)
        key = _whole(text)
        text.take(":")
        first = _first_of_rows(text, key) if text.peek() == "[" and not any(map(turns_of, fields.values())) else None
        if isinstance(first, list):
            if streamed:
                raise BrokenJson(f"{text.source.name} holds several lists ({streamed}, {key}). "
                                 "Keep the one to train on in a file of its own, then upload that.")
            streamed = key
            yield from _rows_in_list(text, first)
        else:
            fields[key] = first.value if first else _whole(text)
    text.take("}")
    if streamed:
        return
    _refuse_columns(text.source, fields)
    yield Row(1, fields)
    while text.peek() == "{":
        number += 1
        try:
            yield Row(number, row_values(text.value()))
        except Complaint as problem:
            yield Row(number, None, str(problem))


class _Value:
    """A list that is no list of rows."""

    def __init__(self, value: list):
        self.value = value


def _first_of_rows(text: _Text, key: str) -> "list | _Value":
    """The first row of the list that follows, or the whole list where it holds no rows."""
    text.take("[")
    values: list = []
    if text.peek() == "]":
        text.take("]")
        return _Value(values)
    values.append(_whole(text))
    if holds_rows(key, values[0]):
        return values
    while text.take(",]") == ",":
        values.append(_whole(text))
        if len(values) > MOST_VALUES:
            raise text.problem(f"more than {MOST_VALUES:,} values in one row")
    return _Value(values)


def _whole(text: _Text) -> object:
    try:
        return text.value()
    except Complaint as problem:
        raise text.problem(f"it has {problem}") from problem


def _refuse_columns(source: SourceFile, fields: dict) -> None:
    """A document of columns: lists of values, or objects from the rows' numbers to values, is no row."""
    by_number = [value for value in fields.values() if isinstance(value, dict) and "0" in value]
    if len(by_number) == len(fields) and fields:
        names = ", ".join(list(fields)[:3])
        raise BrokenJson(f"{source.name} holds columns, not rows ({names}, each from row number to value). {_ROWS}")
    if not any(not isinstance(value, list) or turns_of(value) for value in fields.values()):
        raise BrokenJson(f"{source.name} holds an object without a list of rows. {_ROWS}")
