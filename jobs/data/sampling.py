"""A sample of a file's rows: all of a small one, and of a large one rows from all over it without reading it."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import dropwhile, islice

from jobs.data.encodings import UNIT_BYTES
from jobs.data.readers import columnar, conll, json_lines, tables, text
from jobs.data.readers.lines import BrokenLine, Row, decoded_lines
from jobs.data.reading import rows_of
from jobs.data.sniffing import SourceFile

SAMPLED_ROWS = 2000
SAMPLED_WEIGHT = 32_000_000  # characters, about, and VALUE_WEIGHT for each value
VALUE_WEIGHT = 64
READ_ROWS = 200_000  # that a sample is spread over
PREVIEW_ROWS = 5
LARGE = 32 << 20  # bytes of a file of which only parts are read
HEAD_ROWS, PARTS, PART_ROWS, PART_BYTES = 200, 40, 50, 1 << 18


@dataclass(frozen=True)
class Sample:
    """Sampled rows; those from the middle of a large file do not know their line, which is 0. `whole`: there are no others."""

    rows: list[Row]
    whole: bool


def sample_rows(source: SourceFile) -> Sample:
    """The first PREVIEW_ROWS rows and about SAMPLED_ROWS of the others, evenly over what is read."""
    if source.path.stat().st_size <= LARGE:
        return spread(rows_of(source))
    if source.kind in ("parquet", "arrow"):
        rows = columnar.read_spread(source, PARTS, PART_ROWS)
    elif source.kind == "json":
        rows = _light(rows_of(source), 2 * SAMPLED_WEIGHT)
    else:
        rows = _head_and_parts(source)
    return replace(spread(rows), whole=False)


def spread(rows: Iterable[Row], count: int = SAMPLED_ROWS) -> Sample:
    """The first PREVIEW_ROWS rows and at least `count` of the others (if there are as many, and they are not heavy)."""
    kept: list[Row] = []
    weights: list[int] = []
    stride, total, whole = 1, 0, True
    for number, row in enumerate(rows):
        whole = number < READ_ROWS
        if not whole:
            break
        if number >= PREVIEW_ROWS and number % stride:
            continue
        kept.append(row)
        weights.append(weight_of(row.values))
        total += weights[-1]
        if len(kept) > 2 * count or (total > SAMPLED_WEIGHT and len(kept) > 4 * PREVIEW_ROWS):
            del kept[PREVIEW_ROWS + 1::2], weights[PREVIEW_ROWS + 1::2]
            stride *= 2
            total = sum(weights)
        if total > SAMPLED_WEIGHT:
            whole = False
            break
    return Sample(kept, whole and stride == 1)


def weight_of(value: object) -> int:
    """About how much memory a value takes: its characters, and something for each part of it."""
    if isinstance(value, (str, bytes)):
        return VALUE_WEIGHT + len(value)
    if isinstance(value, dict):
        return VALUE_WEIGHT + sum(VALUE_WEIGHT + len(str(key)) + weight_of(inner) for key, inner in value.items())
    if isinstance(value, list):
        return VALUE_WEIGHT + sum(map(weight_of, value))
    return VALUE_WEIGHT


def _light(rows: Iterator[Row], most: int) -> Iterator[Row]:
    """Rows until they weigh so much together."""
    for row in rows:
        yield row
        most -= weight_of(row.values)
        if most < 0:
            return


def _head_and_parts(source: SourceFile) -> Iterator[Row]:
    yield from islice(rows_of(source), HEAD_ROWS)
    read = _part_reader(source)
    size = source.path.stat().st_size
    for part in range(1, PARTS):
        for row in islice(read(_lines_at(source, part * size // PARTS)), PART_ROWS):
            if row.values is not None:  # where a part begins and ends is chance: broken rows are found when all are read
                yield Row(0, row.values)


def _part_reader(source: SourceFile):
    """A function from lines to the rows in them."""
    if source.kind == "jsonl":
        return lambda lines: json_lines.rows_in(line if isinstance(line, BrokenLine) else line.encode() for line in lines)
    if source.kind == "table":
        header, _ = tables.header_of(source)
        return lambda lines: tables.rows_in_part(lines, header, source)
    if source.kind == "conll":
        return lambda lines: conll.rows_in(_from_blank(lines), source.tokens)
    by_paragraph = text.has_paragraphs(source)
    return lambda lines: text.rows_in(_from_blank(lines) if by_paragraph else lines, by_paragraph)


def _lines_at(source: SourceFile, offset: int) -> list[str]:
    """The whole lines of a few that stand there."""
    offset -= offset % UNIT_BYTES.get(source.encoding, 1)
    with source.path.open("rb") as stream:
        stream.seek(offset)
        block = stream.read(PART_BYTES)
    return list(decoded_lines(io.BytesIO(block), source.encoding))[1:-1]


def _from_blank(lines: list[str]) -> list[str]:
    """Without the rest of a paragraph, of which the beginning was not read, and without the last, whose end was not."""
    lines = list(dropwhile(lambda line: line.strip(), lines))
    while lines and lines[-1].strip():
        lines.pop()
    return lines
