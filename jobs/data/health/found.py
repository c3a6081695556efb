"""Collects findings: their sentences, the first rows of each for the report, and the numbers of all rows for the mends."""

from array import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from jobs.data.health.report import SEVERITIES, SHOWN_ROWS, Finding, RowAt, Severity
from jobs.data.health.secrets import masked
from jobs.data.health.texts import parts_of
from jobs.data.loading import LoadedData
from jobs.data.store import Examples

EXCERPT_CHARACTERS = 160
MOST_MASKED = 20_000  # characters of a row that its excerpt is made of


class Findings:
    """What is found in one dataset. `folder`: where the numbers of the rows go, a file for each kind; None to keep none."""

    def __init__(self, data: LoadedData, folder: Path | None = None):
        self.data, self.folder, self.total = data, folder, data.kept
        self.examples: Examples = data.examples
        self.found: list[Finding] = []

    def add(self, kind: str, severity: Severity, sentence: str, rows: Sequence[int] = (), mends: Iterable[str] = (),
            excerpt: Callable[[dict], str] | None = None, note: Callable[[int], str] = lambda _row: "") -> None:
        """Keep a finding about some examples, by their numbers; the first are shown.

        `excerpt` makes of an example what is shown of it, `note` of its number what is said to it; both are masked.
        """
        if self.folder:
            with (self.folder / f"{kind}.bin").open("wb") as stream:
                array("Q", sorted(map(int, rows))).tofile(stream)
        shown = [int(row) for row in rows[:SHOWN_ROWS]]
        places = self.places(shown)
        named = [RowAt(file=file, line=line, index=row, note=masked(note(row)),
                       excerpt=shortened((excerpt or whole)(self.examples[row])))
                 for row, (file, line) in zip(shown, places, strict=True)]
        self.keep(Finding(kind=kind, severity=severity, sentence=sentence, count=len(rows), rows=named, mends=list(mends)))

    def keep(self, finding: Finding) -> None:
        self.found.append(finding)

    def places(self, rows: Iterable[int]) -> list[tuple[str, int]]:
        """File and line of examples."""
        return [(self.data.files[file], line) for file, line in self.examples.take(rows).places()]

    def sorted(self) -> list[Finding]:
        """The worst first, otherwise in the order in which they were found."""
        return sorted(self.found, key=lambda finding: SEVERITIES.index(finding.severity))

    def rows(self, count: int, one: str, several: str) -> str:
        """'1 of 1,000 rows has' or '12 of 1,000 rows have', by the verbs that are given."""
        return f"{self.of(count)} {verb(count, one, several)}"

    def of(self, count: int, all_rows: int | None = None) -> str:
        """'12 of 1,000 rows'."""
        return f"{count:,} of {self.total if all_rows is None else all_rows:,} rows"


def whole(example: dict) -> str:
    parts = parts_of(example)
    return f"{parts.whole} → {parts.label}" if parts.label is not None and "tokens" not in example else parts.whole


def shortened(text: str, most: int = EXCERPT_CHARACTERS) -> str:
    """The beginning of a text on one line, without its secrets."""
    text = " ".join(masked(text[:MOST_MASKED]).split())
    return text if len(text) <= most else f"{text[:most - 1]}…"


def verb(count: int, one: str, several: str) -> str:
    return one if count == 1 else several
