"""How a table in a text file is laid out: what separates its values, and whether quotation marks wrap them."""

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass

SAMPLE_ROWS = 50
SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}
ONE_COLUMN = "\x1f"  # a separator that no text holds: every line is one value
LARGEST_FIELD = 2**31 - 1
_SEPARATOR_LINE = re.compile(r'"?sep=([^\r\n])"?\r?\n', re.IGNORECASE)
_TAG = re.compile(r"O|[BIESLUM]-\S+|_")


@dataclass(frozen=True)
class Layout:
    """`spaced`: a space after a separator is no part of the value; `skipped`: lines before the column names."""

    separator: str = ","
    quoted: bool = True
    spaced: bool = False
    skipped: int = 0

    def reader(self, lines, strict: bool = True):
        """A csv reader of lines."""
        csv.field_size_limit(LARGEST_FIELD)
        quoting = csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE
        return csv.reader(lines, delimiter=self.separator, strict=strict, quoting=quoting, skipinitialspace=self.spaced)


@dataclass(frozen=True)
class TokenLayout:
    """A file of tokens, one in each line: how many columns, what separates them (None: white space), and which are used."""

    columns: int
    separator: str | None
    token: int = 0
    tag: int = -1


def find_layout(text: str, complete: bool) -> Layout:
    """The layout under which most sampled rows have the header's width.

    `complete` says whether the text is the whole file, so that its last line counts.
    """
    if first := _SEPARATOR_LINE.match(text):  # how spreadsheets are told the separator
        return Layout(first[1], skipped=1)
    best, best_score = Layout(ONE_COLUMN), (0.0, 0)
    for separator in SEPARATORS:
        for layout in _candidates(separator, text):
            rows = sample_rows(text, layout, complete)
            width = len(rows[0]) if rows and rows[0] else 0
            if width > 1:
                agree = sum(row is not None and len(row) == width for row in rows) / len(rows)
                if (agree, width) > best_score:
                    spaced = layout.spaced or all(cell.startswith(" ") for cell in rows[0][1:])
                    best, best_score = Layout(separator, layout.quoted, spaced), (agree, width)
    return best


def sample_rows(text: str, layout: Layout, complete: bool) -> list[list[str] | None]:
    """The first rows of a text, None for one that breaks the rules."""
    lines = list(io.StringIO(text, newline=""))
    if not complete and len(lines) > 1:
        lines.pop()  # cut off by the sample's end
    rows: list[list[str] | None] = []
    reader = layout.reader(lines)
    while len(rows) < SAMPLE_ROWS:
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if complete or "unexpected end" not in str(error):
                rows.append(None)
            continue
        if row:
            rows.append(row)
    return rows


def has_table_header(text: str, separator: str, complete: bool) -> bool:
    """Prose has commas too: a text file is a table only where every row is as wide as a first line of short names."""
    rows = sample_rows(text, Layout(separator), complete)
    names = text.lstrip().splitlines()[0].split(separator)
    return (
        len(rows) > 1
        and len({row and len(row) for row in rows}) == 1
        and all(re.fullmatch(r'\s*"?[A-Za-z_]\w{0,30}"?\s*', name) for name in names)
    )


def find_token_layout(text: str, complete: bool, certain: bool) -> TokenLayout | None:
    """How the tokens of a CoNLL file stand, or None where it reads as something else. `certain`: its name says that it is one."""
    lines = text.splitlines()[: None if complete else -1][:5000]
    blank = any(not line.strip() for line in lines[1:-1])
    filled = [line for line in lines if line.strip() and not line.startswith(("# ", "-DOCSTART-"))]
    separator = "\t" if sum("\t" in line for line in filled) > len(filled) / 2 else None
    rows = [line.rstrip("\r\n").split(separator) for line in filled]
    if not rows:
        return TokenLayout(2, None) if certain else None
    (width, count), *_ = Counter(map(len, rows)).most_common(1)
    if width < 2 or (not certain and count < 0.95 * len(rows)):
        return None
    whole = [row for row in rows if len(row) == width]
    if width == 10 and separator and all(re.fullmatch(r"\d+([-.]\d+)?", row[0]) for row in whole[:50]):
        return TokenLayout(width, separator, 1, 3)  # CoNLL-U: a number, the form, the lemma, the part of speech
    tagged = sum(bool(_TAG.fullmatch(row[-1])) for row in whole)
    return TokenLayout(width, separator) if certain or (blank and tagged >= 0.95 * len(whole)) else None


def _candidates(separator: str, text: str) -> list[Layout]:
    layouts = [Layout(separator)]
    if f'{separator} "' in text:
        layouts.append(Layout(separator, spaced=True))
    if separator == "\t" and not re.search(r'(^|\t)"[^"\t\n]*"(\t|\r?$)', text, re.MULTILINE):
        layouts.append(Layout(separator, quoted=False))
    return layouts
