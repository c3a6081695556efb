"""What the columns of a table hold, seen from a sample of its rows."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from jobs.data.cells import is_empty, items_of, lone, number_of, truth_of, turns_of

# names of columns that say where a text comes from, not what to learn
NO_CONTENT = set(
    "id ids idx index uuid guid uid hash url link source date time timestamp created split subset dump dataset path "
    "file_path filename file license repo_name".split()
)
NO_CONTENT_ENDS = ("_id", "_url", "_idx", "_hash", "_at", "_date", "_path")
DESCRIBED_CELLS = 400_000  # about; of very wide tables fewer rows are described, but not under FEWEST_ROWS
FEWEST_ROWS = 100
COMPARED_ROWS = 300  # in which columns are compared with each other
COUNTED_CHARACTERS = 20_000  # of a text whose words are counted
MOST = 0.9  # of the values, for what a column holds to be clear
SHORTEST_KEY = 12  # characters of a text that may be an identifier
_NAMELESS = re.compile(r"[a-z]?\d*|(?:column|col|field|feature|var|value|unnamed:?)_?\d*")


@dataclass(frozen=True)
class Column:
    """One column of the sample: what it `holds` (turns, list, text, number, other or empty), counts, length in characters."""

    name: str
    holds: str
    filled: int
    distinct: int
    mean_length: float
    alias: str = ""  # the part that a person chose it for, which counts more than its name
    sample: tuple = field(default=(), repr=False, compare=False)  # values of some rows, the same ones in all columns

    @property
    def plain_name(self) -> str:
        """The name without its case, its spaces and the object it lies in."""
        return self.alias or self.own_name

    @property
    def own_name(self) -> str:
        """The same, whatever a person chose it for."""
        return self.name.rsplit(".", 1)[-1].strip().lower().replace(" ", "_").replace("-", "_")

    @cached_property
    def values(self) -> list:
        """The values of the sample that are there."""
        return [value for value in self.sample if not is_empty(value)]

    def mostly(self, test: Callable[[object], bool]) -> bool:
        """Whether something is true of nearly all its values: some cells of real data are always wrong."""
        values = self.values
        return bool(values) and sum(map(test, values)) >= MOST * len(values)

    @cached_property
    def words(self) -> float:
        """Words in a text, on average."""
        texts = [value[:COUNTED_CHARACTERS] for value in self.values if isinstance(value, str)]
        return sum(len(text.split()) for text in texts) / len(texts) if texts else 0.0

    @cached_property
    def lists(self) -> list[list | None]:
        """The values of the sample as lists, None where one is none."""
        return [items_of(value) for value in self.sample]

    @cached_property
    def is_whole(self) -> bool:
        """Whether all its numbers are whole."""
        return all((number := number_of(value)) is None or number.is_integer() for value in self.values)

    @cached_property
    def is_truth(self) -> bool:
        """Whether it holds true and false, and nothing else."""
        words = {str(value).strip().lower() for value in self.values}
        return {"true", "false"} <= words and self.mostly(lambda value: str(value).strip().lower() in ("true", "false"))

    @cached_property
    def reads_as_truth(self) -> bool:
        """Whether it holds true and false in any way of writing them."""
        found = {truth_of(value) for value in self.values}
        return {True, False} <= found and self.mostly(lambda value: truth_of(value) is not None)

    @cached_property
    def counts_up(self) -> bool:
        """Whether its numbers grow by the same step from row to row, as numbers of rows do."""
        numbers = [number for value in self.values if (number := number_of(value)) is not None]
        return len(numbers) > 2 and len({second - first for first, second in pairwise(numbers)}) == 1

    @property
    def is_nameless(self) -> bool:
        """Whether its name says nothing at all, such as 'b' or 'column 2'."""
        return not self.alias and _NAMELESS.fullmatch(self.plain_name) is not None

    @cached_property
    def says_nothing(self) -> bool:
        """Whether its name or its values are those of identifiers, places or times."""
        if self.alias:
            return False
        name = self.plain_name
        if name in NO_CONTENT or name.endswith(NO_CONTENT_ENDS) or (self.holds == "number" and self.counts_up):
            return True
        return (
            self.holds == "text" and self.mean_length >= SHORTEST_KEY and self.distinct == self.filled >= 5
            and all(isinstance(value, str) and _is_key(value) for value in self.values)
        )


@dataclass(frozen=True)
class Table:
    """The sampled columns by name, and how many rows were sampled."""

    columns: dict[str, Column]
    rows: int

    def named(self, names: Iterable[str], holds: tuple[str, ...] = ("text", "number", "empty")) -> str | None:
        """The column that a person chose for one of the names, else the first that goes by one, the earlier names first."""
        fitting = [column for column in self.columns.values() if column.holds in holds]
        names = list(names)
        by_name = {column.plain_name: column.name for column in reversed(fitting) if not column.alias}
        chosen = (column.name for column in fitting if column.alias in names)
        return next(chosen, None) or next((by_name[name] for name in names if name in by_name), None)

    def texts(self, part: str | None = None) -> list[Column]:
        """Columns of text that somebody may have written, in the table's order; with a part, none that was chosen for another."""
        return [column for column in self.holding("text", part=part) if not column.says_nothing]

    def holding(self, *kinds: str, part: str | None = None) -> list[Column]:
        """Columns that hold one of the kinds, in the table's order; with a part, none that was chosen for another."""
        fitting = [column for column in self.columns.values() if column.holds in kinds]
        return fitting if part is None else [column for column in fitting if column.alias in ("", part)]

    @property
    def is_untouched(self) -> bool:
        """Whether a person chose nothing, so that the content alone may decide."""
        return not any(column.alias for column in self.columns.values())


def describe(rows: list[dict]) -> Table:
    """Describe the columns of sampled rows; objects are opened into dotted names such as 'translation.en'."""
    names = column_names(rows)
    most = max(FEWEST_ROWS, DESCRIBED_CELLS // max(1, len(names)))
    rows = rows[:: len(rows) // most + 1]
    return Table({name: _describe_column(name, rows) for name in names}, len(rows))


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


def _describe_column(name: str, rows: list[dict]) -> Column:
    every = list(map(cell_reader(name), rows))
    values = [value for value in every if not is_empty(value)]
    texts = [str(value) for value in map(lone, values) if isinstance(value, (str, int, float, bool))]
    length = sum(map(len, texts)) / len(texts) if texts else 0.0
    holds = _what_it_holds(values, texts)
    sample = every[:: max(1, len(every) // COMPARED_ROWS)][:COMPARED_ROWS]
    if holds in ("text", "number"):
        sample = map(lone, sample)
    return Column(name, holds, len(values), len({text.strip() for text in texts}), length, sample=tuple(sample))


def _what_it_holds(values: list, texts: list[str]) -> str:
    if not values:
        return "empty"
    half = len(values) / 2
    if sum(turns_of(value) is not None for value in values) > half:
        return "turns"
    if len(texts) < len(values) or any(text.lstrip().startswith("[") for text in texts):
        lengths = [len(items) for value in values if (items := items_of(value)) is not None]
        if len(lengths) > half and any(length != 1 for length in lengths):
            return "list"
    if len(texts) <= half:
        return "other"
    return "number" if sum(map(_is_number, texts)) >= MOST * len(texts) else "text"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in ("True", "False")
    return True


def _is_key(text: str) -> bool:
    """One word with digits in it, such as a hash: no sentence and no name."""
    plain = text.replace("-", "").replace("_", "").replace(":", "")
    return plain.isascii() and plain.isalnum() and any(letter.isdigit() for letter in plain)
