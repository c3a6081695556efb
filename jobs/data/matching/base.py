"""What all matches share: how sure one is, optional parts, and words for the reason."""

from dataclasses import dataclass

from jobs.data.cells import objects_of
from jobs.data.findings import all_of
from jobs.data.tables import Column, Table

SYSTEM_NAMES = "system system_prompt system_message".split()
TOOLS_NAMES = "tools functions available_tools".split()


@dataclass(frozen=True)
class Match:
    """How surely a table is of a format (0 to 1), which column plays which part, and why."""

    score: float
    columns: dict[str, str]
    reason: str


def optional_text(table: Table, **parts: list[str]) -> dict[str, str]:
    """Optional parts whose columns are there by name, hold text and are not empty."""
    found = {part: table.named([part, *names], ("text",)) for part, names in parts.items()}
    return {part: column for part, column in found.items() if column}


def system_and_tools(table: Table) -> dict[str, str]:
    """The optional parts that go with a conversation."""
    columns = optional_text(table, system=SYSTEM_NAMES)
    tools = table.named(TOOLS_NAMES, ("other", "text"))
    if tools and table.columns[tools].mostly(lambda value: objects_of(value) is not None):
        columns["tools"] = tools
    return columns


def longest(columns: list[Column]) -> Column:
    """The column with the longest texts."""
    return max(columns, key=lambda column: column.mean_length)


def quoted(names) -> str:
    """'a', 'b' and 'c' with quotation marks."""
    return all_of([f"'{name}'" for name in names])


def first_free(table: Table, names: list[str], *parts: str) -> dict[str, str] | None:
    """The parts with the columns that a person chose for them, else the first of the named ones that are free; None for too few."""
    chosen = {column.alias: column.name for column in table.columns.values() if column.alias}
    free = iter([name for name in names if not table.columns[name].alias])
    found = {part: chosen.get(part) or next(free, "") for part in parts}
    return found if all(found.values()) else None


def in_order(parts: dict[str, str], what: str) -> str:
    """The reason where nothing but the order of the columns speaks for a reading."""
    first, *others = parts.values()
    numbers = ["second", "third"]
    rest = all_of([f"'{name}' the {number}" for name, number in zip(others, numbers, strict=False)])
    return f"Column '{first}' is the first with text, {rest}: read as {what}."
