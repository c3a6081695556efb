"""What a file is, by its content: kind, encoding, layout. The name only decides where the content does not."""

import codecs
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from jobs.data.encodings import find_encoding
from jobs.data.layouts import (
    ONE_COLUMN,
    SEPARATORS,
    Layout,
    TokenLayout,
    find_layout,
    find_token_layout,
    has_table_header,
)
from jobs.data.marks import refuse_markup, refuse_other_kinds
from jobs.data.problems import ColumnarDamaged, FileEmpty, FileMissing, WrongFileKind, readable_name

HEAD_BYTES = 1 << 18
LONGEST_FIRST_LINE = 1 << 22  # of JSON, that is read to tell lines from one document
JSON_SUFFIXES = {".json", ".jsonl", ".ndjson"}
TABLE_SUFFIXES = {".csv", ".tsv", ".tab"}
TEXT_SUFFIXES = {".txt", ".text", ".md"}
TOKEN_SUFFIXES = {".conll", ".conllu", ".bio", ".iob", ".iob2", ".ner"}
COLUMNAR_SUFFIXES = {".parquet", ".arrow", ".feather", ".ipc"}
DATA_SUFFIXES = JSON_SUFFIXES | TABLE_SUFFIXES | TOKEN_SUFFIXES | COLUMNAR_SUFFIXES
ARCHIVE_SUFFIXES = {".zip", ".gz"}
SUFFIXES = DATA_SUFFIXES | TEXT_SUFFIXES | ARCHIVE_SUFFIXES
COLUMNAR_TITLES = {"parquet": "Parquet", "arrow": "Arrow"}


@dataclass(frozen=True)
class SourceFile:
    """A data file whose kind is known. `kind` is table, json, jsonl, parquet, arrow, conll or text."""

    path: Path
    kind: str
    encoding: str = "utf-8"
    layout: Layout = Layout()
    tokens: TokenLayout | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return readable_name(self.path)

    @property
    def separator(self) -> str:
        return self.layout.separator

    @property
    def counts_in(self) -> str:
        """What the numbers of its rows count: lines of the file, or rows."""
        return "row" if self.kind in ("json", "parquet", "arrow") else "line"


def inspect_file(path: Path) -> SourceFile:
    """Find out what a file is. Raises DataInvalid for a missing, empty, binary or undecodable file."""
    path = Path(path)
    if not path.is_file():
        raise FileMissing(path)
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if not head.strip():
        raise FileEmpty(readable_name(path))
    suffix = path.suffix.lower()
    if kind := _columnar_kind(head):
        usual = {".parquet"} if kind == "parquet" else COLUMNAR_SUFFIXES - {".parquet"}
        article = "a" if kind == "parquet" else "an"
        return SourceFile(path, kind, notes=_name_note(path, usual, f"is {article} {COLUMNAR_TITLES[kind]} file"))
    refuse_other_kinds(path, head)
    encoding, notes = find_encoding(path, head)
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head).removeprefix("\ufeff")
    if not text.strip():
        raise FileEmpty(readable_name(path))
    refuse_markup(path, text)
    if suffix in COLUMNAR_SUFFIXES:
        kind, mark = ("parquet", "PAR1") if suffix == ".parquet" else ("arrow", "ARROW1")
        raise ColumnarDamaged(readable_name(path), COLUMNAR_TITLES[kind], f"it does not begin with {mark}")
    return _find_kind(path, text, len(head) < HEAD_BYTES, encoding, notes)


def lists_of_rows(document: dict) -> list[str]:
    """The keys of a document such as {"data": [...]} that hold lists of objects; a list of turns or of tools is none."""
    return [key for key, value in document.items() if isinstance(value, list) and value and holds_rows(key, value[0])]


def holds_rows(key: str, first: object) -> bool:
    """Whether a list in a document, of which the first element is known, holds its rows."""
    return isinstance(first, dict) and not {"role", "from"} & first.keys() and key not in ("tools", "functions", "tool_calls")


def _columnar_kind(head: bytes) -> str:
    if head.startswith(b"PAR1"):
        return "parquet"
    is_stream = head.startswith(b"\xff\xff\xff\xff") and len(head) > 16 and head[6:8] == b"\0\0"
    return "arrow" if head.startswith(b"ARROW1") or is_stream else ""


def _find_kind(path: Path, text: str, complete: bool, encoding: str, notes: list[str]) -> SourceFile:
    suffix = path.suffix.lower()
    looks_like_json = re.match(r'\s*(\[\s*)?\{\s*["}]', text) or (suffix in JSON_SUFFIXES and text.lstrip()[0] in "[{")
    if looks_like_json:
        kind = _json_kind(path, text, complete, encoding)
        notes = notes + _name_note(path, JSON_SUFFIXES, f"holds {'JSON lines' if kind == 'jsonl' else 'JSON'}")
        return SourceFile(path, kind, encoding, notes=notes)
    if tokens := find_token_layout(text, complete, suffix in TOKEN_SUFFIXES):
        return SourceFile(path, "conll", encoding, tokens=tokens, notes=notes + _name_note(
            path, TOKEN_SUFFIXES, "has a token and its tag in every line"))
    layout = find_layout(text, complete)
    reads_as_table = layout.separator != ONE_COLUMN and (layout.skipped or has_table_header(text, layout.separator, complete))
    if suffix in TEXT_SUFFIXES | TOKEN_SUFFIXES:
        if suffix != ".md" and reads_as_table:
            note = f"{readable_name(path)} holds a table separated by {SEPARATORS[layout.separator]} and was read as one."
            return SourceFile(path, "table", encoding, layout, notes=[*notes, note])
        return SourceFile(path, "text", encoding, notes=notes)
    if suffix in JSON_SUFFIXES and not reads_as_table:
        kind = "jsonl" if suffix != ".json" else "json"
        return SourceFile(path, kind, encoding, notes=notes)  # reading it names the line
    if suffix not in SUFFIXES and suffix:
        raise WrongFileKind(readable_name(path), f"a '{suffix}' file")
    usual = {".csv": ",;|", ".tsv": "\t", ".tab": "\t"}.get(suffix, "")
    if layout.separator not in usual and layout.separator != ONE_COLUMN:
        name = SEPARATORS.get(layout.separator, f"'{layout.separator}'")
        notes = [*notes, f"{readable_name(path)} is separated by {name} and was read so."]
    return SourceFile(path, "table", encoding, layout, notes=notes)


def _json_kind(path: Path, text: str, complete: bool, encoding: str) -> str:
    if text.lstrip().startswith("["):
        return "json"
    if not complete and "\n" not in text.strip() and "\r" not in text.strip():
        with path.open("rb") as stream:
            text = codecs.getincrementaldecoder(encoding)("replace").decode(stream.read(LONGEST_FIRST_LINE))
    first, *others = (line for line in text.removeprefix("\ufeff").splitlines() if line.strip())
    second = others[0].strip() if others else ""
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        if second:
            return "jsonl" if second.startswith("{") else "json"
        begins_list = re.match(r'\s*\{\s*"[^"]*"\s*:\s*\[\s*\{', first)
        return "json" if begins_list or path.suffix.lower() == ".json" else "jsonl"
    if second:
        return "jsonl"
    wraps_rows = isinstance(value, dict) and len(value) == 1 and lists_of_rows(value)
    return "json" if wraps_rows or path.suffix.lower() == ".json" else "jsonl"


def _name_note(path: Path, suffixes: set[str], what: str) -> list[str]:
    return [] if path.suffix.lower() in suffixes else [f"{readable_name(path)} {what} and was read so."]
