"""What the columns of a table hold, seen from a sample of its rows."""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

NO_CONTENT = ("id", "idx", "index", "uuid", "url", "link", "source", "date", "time", "timestamp")


@dataclass(frozen=True)
class Column:
    """One column of the sample: what it `holds` (turns, text, number, other or empty), counts, length in characters."""

    name: str
    holds: str
    filled: int
    distinct: int
    mean_length: float
    alias: str = ""  # the part that a person chose it for, which counts more than its name

    @property
    def plain_name(self) -> str:
        """The name without its case, its spaces and the object it lies in."""
        return self.alias or self.name.rsplit(".", 1)[-1].strip().lower().replace(" ", "_").replace("-", "_")


@dataclass(frozen=True)
class Table:
    """The sampled columns by name, and how many rows were sampled."""

    columns: dict[str, Column]
    rows: int

    def named(self, names: Iterable[str], holds: tuple[str, ...] = ("text", "number", "empty")) -> str | None:
        """The first column that goes by one of the names, the earlier names first."""
        by_name = {
            column.plain_name: column.name for column in reversed(self.columns.values()) if column.holds in holds
        }
        return next((by_name[name] for name in names if name in by_name), None)

    def texts(self) -> list[Column]:
        """Columns of text that somebody may have written, in the table's order."""
        return [
            column for column in self.columns.values() if column.holds == "text" and column.plain_name not in NO_CONTENT
        ]


def describe(rows: list[dict]) -> Table:
    """Describe the columns of sampled rows; objects are opened into dotted names such as 'translation.en'."""
    return Table({name: _describe_column(name, rows) for name in column_names(rows)}, len(rows))


def column_names(rows: Iterable[dict]) -> list[str]:
    """All column names in the order in which they first appear, objects opened one level into dotted names."""
    names: dict[str, None] = {}
    shapes = set()
    for row in rows:
        shape = tuple((name, tuple(value) if isinstance(value, dict) else None) for name, value in row.items())
        if shape in shapes:
            continue
        shapes.add(shape)
        for name, inner in shape:
            names.update(dict.fromkeys([f"{name}.{key}" for key in inner] if inner else [str(name)]))
    return list(names)


def cell_reader(column: str) -> Callable[[dict], object]:
    """A function that takes a row and gives the column's value, None where the row has none."""
    outer, _, inner = column.partition(".")

    def read(row: dict) -> object:
        if column in row or not inner:
            return row.get(column)
        value = row.get(outer)
        return value.get(inner) if isinstance(value, dict) else None

    return read


def is_empty(value) -> bool:
    """Whether a cell holds nothing: null, blank text, an empty list, or not-a-number."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or value == [] or (isinstance(value, float) and math.isnan(value))


def turns_of(value) -> list[dict] | None:
    """The turns of a conversation: a list of {role, content} or {from, value}, or JSON text of one. Else None."""
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if (
        isinstance(value, list)
        and value
        and all(isinstance(turn, dict) and {"role", "from"} & turn.keys() for turn in value)
    ):
        return value
    return None


def _describe_column(name: str, rows: list[dict]) -> Column:
    read = cell_reader(name)
    values = [value for value in map(read, rows) if not is_empty(value)]
    texts = [str(value) for value in values if isinstance(value, (str, int, float, bool))]
    length = sum(map(len, texts)) / len(texts) if texts else 0.0
    return Column(name, _what_it_holds(values, texts), len(values), len({text.strip() for text in texts}), length)


def _what_it_holds(values: list, texts: list[str]) -> str:
    if not values:
        return "empty"
    if sum(turns_of(value) is not None for value in values) > len(values) / 2:
        return "turns"
    if len(texts) <= len(values) / 2:
        return "other"
    return "number" if all(map(_is_number, texts)) else "text"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in ("True", "False")
    return True
