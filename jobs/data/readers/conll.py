"""CoNLL files: a token and its tag in every line, a blank line after every sentence."""

import re
from collections.abc import Iterable, Iterator

from jobs.data.layouts import TokenLayout
from jobs.data.problems import FileEmpty
from jobs.data.readers.lines import BrokenLine, Row, text_lines
from jobs.data.sniffing import SourceFile

MOST_TOKENS = 100_000  # of a sentence
_MULTIWORD = re.compile(r"\d+[-.]\d+")


def read(source: SourceFile) -> Iterator[Row]:
    """Sentences of a whole file."""
    empty = True
    for row in rows_in(text_lines(source), source.tokens):
        empty = False
        yield row
    if empty:
        raise FileEmpty(source.name, "holds no sentence")


def rows_in(lines: Iterable[str], layout: TokenLayout) -> Iterator[Row]:
    """A row with the tokens and the tags of each sentence, and the number of its first line."""
    tokens: list[str] = []
    tags: list[str] = []
    start, complaint = 0, ""
    for number, line in enumerate(lines, start=1):
        if isinstance(line, BrokenLine):
            start, complaint = start or number, complaint or f"{line.complaint} in line {number:,}"
            continue
        if not line.strip() or line.startswith("-DOCSTART-"):
            if start:
                yield _row(start, tokens, tags, complaint)
                tokens, tags, start, complaint = [], [], 0, ""
            continue
        cells = line.rstrip("\r\n").split(layout.separator)
        if line[0] == "#" and not start and _is_comment(line, cells, layout):
            continue
        start = start or number
        if layout.token and _MULTIWORD.fullmatch(cells[0]):
            continue  # CoNLL-U: a word that the lines below give part by part
        if len(cells) != layout.columns:
            many = f"{len(cells)} column{'s' if len(cells) != 1 else ''}"
            complaint = complaint or f"{many} in line {number:,} where others have {layout.columns}"
        elif len(tokens) >= MOST_TOKENS:
            complaint = complaint or f"more than {MOST_TOKENS:,} tokens without a blank line"
        elif not cells[layout.token].strip() or not cells[layout.tag].strip():
            complaint = complaint or f"no {'tag' if cells[layout.token].strip() else 'token'} in line {number:,}"
        else:
            tokens.append(cells[layout.token].strip())
            tags.append(cells[layout.tag].strip())
    if start:
        yield _row(start, tokens, tags, complaint)


def _is_comment(line: str, cells: list[str], layout: TokenLayout) -> bool:
    """A line that begins with # is a comment before a sentence's first token, unless it is a token such as #hashtag."""
    if len(cells) != layout.columns:
        return True
    return layout.separator is None and line.startswith("# ") and not re.fullmatch(r"O|[BIESLUM]-\S+", cells[layout.tag])


def _row(start: int, tokens: list[str], tags: list[str], complaint: str) -> Row:
    return Row(start, None, complaint) if complaint else Row(start, {"tokens": tokens, "tags": tags})
