"""Plain sentences about what was noticed in the data, none of which stops a run."""

from collections import Counter, defaultdict
from collections.abc import Iterable

NAMED = 3  # how many places, labels or reasons a sentence lists before it only counts
FEW_ROWS = 5


def listed(items: Iterable[str], named: int = NAMED) -> str:
    """'a, b and c', or 'a, b, c and 9 more'."""
    items = list(items)
    if len(items) > named:
        return f"{', '.join(items[:named])} and {len(items) - named:,} more"
    return all_of(items)


def all_of(items: Iterable[str]) -> str:
    """'a, b and c'."""
    *others, last = items
    return f"{', '.join(others)} and {last}" if others else last


def places(rows: list[tuple[str, str, int]], several_files: bool) -> str:
    """Where rows stand, from (file, "line" or "row", number): 'lines 3 and 7', or 'b.csv line 3 and c.csv line 8'."""
    if several_files:
        return listed(f"{file} {unit} {number:,}" for file, unit, number in rows)
    unit = rows[0][1] + ("s" if len(rows) > 1 else "")
    return f"{unit} {listed(f'{number:,}' for _, _, number in rows)}"


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


def repeated_rows_finding(examples: list[dict]) -> list[str]:
    """Whether rows are there more than once."""
    repeated = len(examples) - len({key_of(example) for example in examples})
    if not repeated:
        return []
    verbs = ("repeats", "is") if repeated == 1 else ("repeat", "are")
    return [f"{repeated:,} of {len(examples):,} rows {verbs[0]} an earlier row and {verbs[1]} kept."]


def label_findings(labels: list[str], column: str) -> list[str]:
    """What is odd about the labels of a dataset: rare ones, ones that differ in case only, nearly as many as rows."""
    counts = Counter(labels)
    findings = []
    if len(labels) >= 20 and len(counts) > len(labels) / 2:
        return [
            f"Column '{column}' has {len(counts):,} different labels in {len(labels):,} rows. Is it the right column?"
        ]
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


def key_of(example: dict) -> int:
    """A number that equal examples share."""
    return hash(repr(example))
