"""Rows that no example could be made of: empty ones, broken ones, and prompts without an answer."""

from collections import Counter

from jobs.data.findings import rows_have
from jobs.data.health.found import Findings, shortened, verb
from jobs.data.health.report import SHOWN_ROWS, Finding, RowAt
from jobs.data.loading import LeftOut

NAMED_REASONS = 3
UNANSWERED = ("no answer", "an empty answer", "no completion", "no output")


def report_left_out(findings: Findings) -> None:
    """Two findings at most: prompts without an answer, and all others."""
    unanswered, others = _Group(), _Group()
    for row in findings.data.left_out:
        (unanswered if row.reason.startswith(UNANSWERED) else others).add(row)
    rows = findings.data.rows
    if count := unanswered.count:
        findings.keep(unanswered.finding("unanswered", "warning", (
            f"{findings.of(count, rows)} {verb(count, 'has', 'have')} a prompt without an answer and "
            f"{verb(count, 'is', 'are')} left out.")))
    if count := others.count:
        whys = [rows_have(number, reason) for reason, number in others.reasons.most_common(NAMED_REASONS)]
        more = count - sum(number for _, number in others.reasons.most_common(NAMED_REASONS))
        why = "; ".join([*whys, f"{more:,} more for other reasons"] if more else whys)
        findings.keep(others.finding("left_out", "problem" if count > 0.05 * rows else "warning", (
            f"{findings.of(count, rows)} cannot be used and {verb(count, 'is', 'are')} left out: {why}.")))


class _Group:
    def __init__(self):
        self.count, self.reasons, self.first = 0, Counter(), []

    def add(self, row: LeftOut) -> None:
        self.count += 1
        reason = row.reason.split(" (")[0]
        if reason in self.reasons or len(self.reasons) < 1000:
            self.reasons[reason] += 1
        if len(self.first) < SHOWN_ROWS:
            self.first.append(row)

    def finding(self, kind: str, severity: str, sentence: str) -> Finding:
        rows = [RowAt(file=row.file, line=row.line, note=shortened(row.reason)) for row in self.first]
        return Finding(kind=kind, severity=severity, sentence=sentence, count=self.count, rows=rows, mends=["keep_usable"])
