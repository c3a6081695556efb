"""What a file is, by its content: kind, encoding, separator. The name only decides where the content does not."""

import codecs
import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from jobs.data.problems import EncodingUnmarked, FileEmpty, FileMissing, ParquetDamaged, TextUnreadable, WrongFileKind

HEAD_BYTES = 65536
SAMPLE_ROWS = 50
JSON_SUFFIXES = {".json", ".jsonl", ".ndjson"}
TABLE_SUFFIXES = {".csv", ".tsv", ".tab"}
TEXT_SUFFIXES = {".txt", ".text", ".md"}
SUFFIXES = JSON_SUFFIXES | TABLE_SUFFIXES | TEXT_SUFFIXES | {".parquet"}
SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}
ONE_COLUMN = "\x1f"  # a separator that no text holds: every line is one value
UNPACK = "Unpack it and upload the table inside."

# the beginning of a file, what it is, and whether it must also hold a zero byte (short marks may begin honest text)
MARKS = [
    (b"\x89PNG\r\n\x1a\n", "a PNG image", False),
    (b"\xff\xd8\xff", "a JPEG image", False),
    (b"GIF87a", "a GIF image", False),
    (b"GIF89a", "a GIF image", False),
    (b"BM", "a BMP image", True),
    (b"II*\x00", "a TIFF image", False),
    (b"MM\x00*", "a TIFF image", False),
    (b"%PDF-", "a PDF document", False),
    (b"{\\rtf", "an RTF document", False),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document", False),
    (b"\x1f\x8b", "a gzip archive", False),
    (b"BZh", "a bzip2 archive", True),
    (b"\xfd7zXZ\x00", "an xz archive", False),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", False),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", False),
    (b"Rar!\x1a\x07", "a RAR archive", False),
    (b"\x7fELF", "a program", False),
    (b"MZ", "a program", True),
    (b"SQLite format 3\x00", "an SQLite database", False),
    (b"ARROW1", "an Arrow file", False),
    (b"ID3", "an MP3 recording", True),
    (b"OggS", "an Ogg recording", True),
    (b"fLaC", "a FLAC recording", True),
]


@dataclass(frozen=True)
class SourceFile:
    """A data file whose kind is known. `kind` is table, json, jsonl, parquet or text."""

    path: Path
    kind: str
    encoding: str = "utf-8"
    separator: str = ","
    quoted: bool = True
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def counts_in(self) -> str:
        """What the numbers of its rows count: lines of the file, or rows."""
        return "row" if self.kind in ("json", "parquet") else "line"


def inspect_file(path: Path) -> SourceFile:
    """Find out what a file is. Raises DataInvalid for a missing, empty, binary or undecodable file."""
    path = Path(path)
    if not path.is_file():
        raise FileMissing(path)
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if not head.strip():
        raise FileEmpty(path.name)
    if head.startswith(b"PAR1"):
        return SourceFile(path, "parquet", notes=_name_note(path, {".parquet"}, "is a Parquet file"))
    _refuse_binary(path, head)
    encoding, notes = _find_encoding(path, head)
    with path.open(encoding=encoding, errors="replace") as stream:  # the head may end inside a character
        text = stream.read(HEAD_BYTES)
    if not text.strip():
        raise FileEmpty(path.name)
    _refuse_markup(path, text)
    if path.suffix.lower() == ".parquet":
        raise ParquetDamaged(path.name, "it does not begin with PAR1")
    return _find_layout(path, text, encoding, notes)


def _refuse_binary(path: Path, head: bytes) -> None:
    is_wide_text = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    has_zero = b"\0" in head and not is_wide_text
    for mark, kind, needs_zero in MARKS:
        if head.startswith(mark) and (has_zero or not needs_zero):
            raise WrongFileKind(path.name, kind, *([UNPACK] if kind.endswith("archive") else []))
    if head.startswith(b"PK\x03\x04"):
        if b"xl/" in head or path.suffix.lower() in (".xlsx", ".xlsm"):
            raise WrongFileKind(path.name, "an Excel workbook", "Save the sheet as CSV and upload that.")
        raise WrongFileKind(path.name, "a zip archive", UNPACK)
    if head.startswith(b"RIFF") and has_zero:
        raise WrongFileKind(
            path.name, {b"WEBP": "a WebP image", b"WAVE": "a WAV recording"}.get(head[8:12], "a media file")
        )
    if head[4:8] == b"ftyp" and has_zero:
        raise WrongFileKind(path.name, "a video or an image")
    if head[257:262] == b"ustar":
        raise WrongFileKind(path.name, "a tar archive", UNPACK)
    if has_zero:
        zeros = head.count(b"\0") / len(head)
        if 0.4 < zeros < 0.6 and len({head[i] == 0 for i in range(0, min(len(head), 200), 2)}) == 1:
            raise EncodingUnmarked(path.name)
        raise WrongFileKind(path.name, "a binary file")


def _refuse_markup(path: Path, text: str) -> None:
    start = text.lstrip()[:200].lower()
    if start.startswith(("<!doctype html", "<html")):
        raise WrongFileKind(path.name, "a web page", "Download the data itself, not the page that shows it.")
    if start.startswith("<?xml"):
        raise WrongFileKind(path.name, "an XML file")


def _find_encoding(path: Path, head: bytes) -> tuple[str, list[str]]:
    """The encoding that decodes the whole file, and a note where it had to be guessed."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        _first_undecodable(path, "utf-16", raises=True)
        return "utf-16", []
    if (bad := _first_undecodable(path, "utf-8")) is None:
        return ("utf-8-sig" if head.startswith(codecs.BOM_UTF8) else "utf-8"), []
    if bad.seen_other_letters:
        raise TextUnreadable(path.name, bad.line, bad.byte, "UTF-8, as the rest of the file is")
    _first_undecodable(path, "cp1252", raises=True)
    return "cp1252", [
        f"{path.name} is not UTF-8 and was read as Windows-1252. If letters look wrong, save it as UTF-8."
    ]


@dataclass(frozen=True)
class _Undecodable:
    line: int
    byte: int
    seen_other_letters: bool


def _first_undecodable(path: Path, encoding: str, raises: bool = False) -> _Undecodable | None:
    decoder = codecs.getincrementaldecoder(encoding)()
    line, seen = 1, False
    with path.open("rb") as stream:
        while True:
            chunk = stream.read(1 << 20)
            pending = decoder.getstate()[0]
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                data = pending + chunk
                good = data[: error.start].decode(encoding, errors="ignore")
                line += good.count("\n")
                seen = seen or not good.isascii()
                if raises:
                    name = "UTF-16" if encoding == "utf-16" else "UTF-8 or Windows-1252"
                    raise TextUnreadable(path.name, line, data[error.start], name) from error
                return _Undecodable(line, data[error.start], seen)
            line += text.count("\n")
            seen = seen or not text.lstrip("\ufeff").isascii()
            if not chunk:
                return None


def _find_layout(path: Path, text: str, encoding: str, notes: list[str]) -> SourceFile:
    suffix = path.suffix.lower()
    looks_like_json = re.match(r'\s*(\[\s*)?\{\s*"', text) or (suffix in JSON_SUFFIXES and text.lstrip()[0] in "[{")
    if looks_like_json:
        kind = _json_kind(path, encoding)
        notes = notes + _name_note(path, JSON_SUFFIXES, f"holds {'JSON lines' if kind == 'jsonl' else 'JSON'}")
        return SourceFile(path, kind, encoding, notes=notes)
    complete = len(text) < HEAD_BYTES
    separator, quoted = find_separator(text, complete)
    reads_as_table = separator != ONE_COLUMN and _has_table_header(text, separator, complete)
    if suffix in TEXT_SUFFIXES:
        if suffix != ".md" and reads_as_table:
            note = f"{path.name} holds a table separated by {SEPARATORS[separator]} and was read as one."
            return SourceFile(path, "table", encoding, separator, quoted, [*notes, note])
        return SourceFile(path, "text", encoding, notes=notes)
    if suffix in JSON_SUFFIXES and not reads_as_table:
        return SourceFile(
            path, "jsonl" if suffix != ".json" else "json", encoding, notes=notes
        )  # reading it names the line
    if suffix not in SUFFIXES and suffix:
        raise WrongFileKind(path.name, f"a '{suffix}' file")
    usual = {".csv": ",;|", ".tsv": "\t", ".tab": "\t"}.get(suffix, "")
    if separator not in usual and separator != ONE_COLUMN:
        notes = [*notes, f"{path.name} is separated by {SEPARATORS[separator]} and was read so."]
    return SourceFile(path, "table", encoding, separator, quoted, notes)


def find_separator(text: str, complete: bool) -> tuple[str, bool]:
    """The separator under which most sampled rows have the header's width, and whether quotation marks wrap values.

    `complete` says whether the text is the whole file, so that its last line counts.
    """
    best, best_score = (ONE_COLUMN, True), (0.0, 0)
    for separator in SEPARATORS:
        for quoted in (True, False) if separator == "\t" else (True,):
            widths = _widths(text, separator, quoted, complete)
            if len(widths) and widths[0] > 1:
                agree = sum(width == widths[0] for width in widths) / len(widths)
                if (agree, widths[0]) > best_score:
                    best, best_score = (separator, quoted), (agree, widths[0])
    return best


def _widths(text: str, separator: str, quoted: bool, complete: bool) -> list[int]:
    lines = text.splitlines(keepends=True)
    if not complete and len(lines) > 1:
        lines.pop()  # cut off by the sample's end
    widths = []
    rows = csv.reader(lines, delimiter=separator, strict=True, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
    while len(widths) < SAMPLE_ROWS:
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error:
            widths.append(-1)
            continue
        if row:
            widths.append(len(row))
    return widths


def _has_table_header(text: str, separator: str, complete: bool) -> bool:
    """Prose has commas too: a text file is a table only where every row is as wide as a first line of short names."""
    widths = _widths(text, separator, True, complete)
    names = text.lstrip().splitlines()[0].split(separator)
    return (
        len(widths) > 1
        and len(set(widths)) == 1
        and all(re.fullmatch(r'\s*"?[A-Za-z_]\w{0,30}"?\s*', name) for name in names)
    )


def _json_kind(path: Path, encoding: str) -> str:
    with path.open(encoding=encoding) as stream:
        first, second = _first_two_lines(stream)
    if first.startswith("["):
        return "json"
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        return "jsonl" if second.startswith("{") else "json"
    if second:
        return "jsonl"
    wraps_rows = isinstance(value, dict) and len(value) == 1 and lists_of_rows(value)
    return "json" if wraps_rows or path.suffix.lower() == ".json" else "jsonl"


def _first_two_lines(stream: Iterator[str]) -> tuple[str, str]:
    filled = (line.strip() for line in stream if line.strip())
    return next(filled, ""), next(filled, "")


def lists_of_rows(document: dict) -> list[str]:
    """The keys of a document such as {"data": [...]} that hold lists of objects; a list of turns is none."""
    return [key for key, value in document.items() if _is_list_of_rows(value)]


def _is_list_of_rows(value) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], dict)
        and not {"role", "from"} & value[0].keys()
    )


def _name_note(path: Path, suffixes: set[str], what: str) -> list[str]:
    return [] if path.suffix.lower() in suffixes else [f"{path.name} {what} and was read so."]
