"""What a health report holds. It is stored as JSON and shown by the page, the command line and the API."""

from typing import Literal

from pydantic import BaseModel

Severity = Literal["problem", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("problem", "warning", "note")  # the worst first
SHOWN_ROWS = 20  # that a finding names one by one


class RowAt(BaseModel):
    """A row to look at: its place in its file, its number among the examples (None where it is left out), and how it begins."""

    file: str
    line: int
    index: int | None = None
    excerpt: str = ""
    note: str = ""  # what stands out in it, such as the row that it repeats


class Finding(BaseModel):
    """One thing that was noticed, as a plain sentence."""

    kind: str  # such as exact_duplicates; the numbers of all its rows lie in the check's folder under this name
    severity: Severity
    sentence: str
    count: int = 0  # rows that it is about
    rows: list[RowAt] = []  # the first of them
    mends: list[str] = []  # names in jobs.mends.MENDS that put it right, the best first


class TokenCounts(BaseModel):
    """How many tokens the examples have for one base model: how many examples have each length, by length."""

    base: str
    lengths: list[tuple[int, int]]

    def cut_share(self, limit: int) -> float:
        """The share of examples that are longer than a limit."""
        return sum(count for length, count in self.lengths if length > limit) / max(1, self.examples)

    def limit_for(self, lost: float = 0.01) -> int:
        """The shortest limit under which less than a share of the examples is cut."""
        seen = 0
        for length, count in self.lengths:
            seen += count
            if seen > (1 - lost) * self.examples or seen == self.examples:
                return length
        return 0

    @property
    def examples(self) -> int:
        return sum(count for _, count in self.lengths)


class Count(BaseModel):
    """A label or a language, and how many examples have it."""

    name: str
    count: int


class Report(BaseModel):
    """The whole report; `findings` has the worst first."""

    rows: int
    kept: int
    left_out: int
    findings: list[Finding]
    tokens: TokenCounts | None = None
    labels: list[Count] = []
    languages: list[Count] = []
    seconds: float = 0
