"""Plain sentences about what was noticed in the data, none of which stops a run."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

NAMED = 3  # how many places, labels or reasons a sentence lists before it only counts
FEW_ROWS = 5


def listed(items: Iterable[str], named: int = NAMED, total: int | None = None) -> str:
    """'a, b and c', or 'a, b, c and 9 more'; `total` where there are more than the items that are given."""
    items = list(items)
    total = total or len(items)
    if total > named:
        return f"{', '.join(items[:named])} and {total - named:,} more"
    return all_of(items)


def all_of(items: Iterable[str]) -> str:
    """'a, b and c'."""
    *others, last = items
    return f"{', '.join(others)} and {last}" if others else last


def places(rows: list[tuple[str, str, int]], several_files: bool, total: int | None = None) -> str:
    """Where rows stand, from (file, "line" or "row", number): 'lines 3 and 7', or 'b.csv line 3 and c.csv line 8'.

    `total` where there are more rows than the first ones that are given.
    """
    if several_files:
        return listed((f"{file} {unit} {number:,}" for file, unit, number in rows), total=total)
    unit = rows[0][1] + ("s" if len(rows) > 1 else "")
    return f"{unit} {listed((f'{number:,}' for _, _, number in rows), total=total)}"


def rows_have(count: int, what: str) -> str:
    """'1 has no answer', '12 have no answer'."""
    return f"{count:,} {'has' if count == 1 else 'have'} {what}"


def left_out_finding(count: int, rows: int, reason: str, where: str) -> str:
    """How many rows are not used, why, and where the first of them stand."""
    verbs = ("has", "is") if count == 1 else ("have", "are")
    return f"{count:,} of {rows:,} rows {verbs[0]} {reason} and {verbs[1]} left out ({where})."


def changed_finding(count: int, rows: int, what: str) -> str:
    """How many rows are used otherwise than they stand in the file."""
    return f"{count:,} of {rows:,} rows {'has' if count == 1 else 'have'} {what}."


def header_finding(file: str, column: str, line: int) -> str:
    """A first line that may be data."""
    return (
        f"{file} names a column '{column}', and line {line:,} has that as its value. "
        "If the first line is data, add a line of column names above it."
    )


def repeated_rows_finding(rows: int, different: int) -> list[str]:
    """Whether rows are there more than once."""
    repeated = rows - different
    if not repeated:
        return []
    verbs = ("repeats", "is") if repeated == 1 else ("repeat", "are")
    return [f"{repeated:,} of {rows:,} rows {verbs[0]} an earlier row and {verbs[1]} kept."]


def label_findings(counts: Mapping[str, int], column: str) -> list[str]:
    """What is odd about labels, from how often each is there: rare ones, ones that differ in case only, nearly one for each row."""
    findings, rows = [], sum(counts.values())
    if rows >= 20 and len(counts) > rows / 2:
        return [f"Column '{column}' has {len(counts):,} different labels in {rows:,} rows. Is it the right column?"]
    if rare := [label for label, count in counts.items() if count < FEW_ROWS]:
        named = listed(f"'{label}' ({counts[label]})" for label in sorted(rare, key=counts.get))
        verb = "has" if len(rare) == 1 else "have"
        findings.append(
            f"{len(rare):,} of {len(counts):,} labels {verb} fewer than {FEW_ROWS} rows to learn from: {named}."
        )
    spellings = defaultdict(list)
    for label in counts:
        spellings[label.casefold()].append(label)
    for variants in spellings.values():
        if len(variants) > 1:
            names = listed(f"'{label}'" for label in sorted(variants))
            findings.append(f"The labels {names} differ in upper and lower case only and count as different.")
    return findings
