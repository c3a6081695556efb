"""Makes the health report of a dataset: two passes over all of its rows, whatever their number, in bounded memory."""

import time
from collections.abc import Callable
from pathlib import Path

from jobs.data.counting import different
from jobs.data.findings import label_findings, repeated_rows_finding
from jobs.data.health.found import Findings
from jobs.data.health.left_out import report_left_out
from jobs.data.health.report import Finding, Report
from jobs.data.loading import LoadedData

CHECKING, COMPARING, COUNTING = "checking", "comparing", "counting tokens"

OnProgress = Callable[[str, float], None]  # is told the phase, and how much of everything is done, 0 to 1


def check_now(data: LoadedData, validation: LoadedData | None = None, base_path: Path | str = "", chat_template: str = "",
              max_length: int = 0, folder: Path | None = None, work: Path | None = None,
              on_progress: OnProgress = lambda phase, done: None) -> Report:
    """The health report of all rows, with token lengths where a base model's folder is given.

    `folder` is where the rows of each finding go, as KIND.bin; `work` where temporary files go. Raises DataInvalid for a chat
    template that does not come to an end.
    """
    from jobs.data.health.answers import Answers  # here, since all these need numpy
    from jobs.data.health.batches import batches
    from jobs.data.health.contents import Contents
    from jobs.data.health.conversations import Roles
    from jobs.data.health.labels import Labels
    from jobs.data.health.languages import Languages
    from jobs.data.health.lengths import Lengths
    from jobs.data.health.repeats import Repeats
    from jobs.data.health.tokens import count_tokens

    began, findings, seen = time.monotonic(), Findings(data, folder), 0
    checked, compared = (0.35, 0.5) if base_path else (0.7, 1.0)
    repeats = Repeats(data, validation, work)
    labels, languages = Labels(data.format), Languages(data.format)
    others = [Roles(), Answers(data), Contents(data.format), Lengths()]
    for batch in batches(data.examples):
        for check in (repeats, labels, languages, *others):
            check.see(batch)
        seen += len(batch.parts)
        on_progress(CHECKING, checked * seen / max(1, data.kept))
    report_left_out(findings)
    while others:
        others.pop(0).report(findings)  # and let go of its numbers
    label_counts, language_counts = labels.report(findings), languages.report(findings)
    repeats.report(findings, lambda done: on_progress(COMPARING, checked + (compared - checked) * done))
    tokens = count_tokens(findings, Path(base_path), chat_template, max_length,
                          lambda done: on_progress(COUNTING, compared + (1 - compared) * done)) if base_path else None
    _report_reading(findings, {label.name: label.count for label in label_counts})
    return Report(rows=data.rows, kept=data.kept, left_out=data.left_out_count, findings=findings.sorted(), tokens=tokens,
                  labels=label_counts, languages=language_counts, seconds=round(time.monotonic() - began, 2))


def _report_reading(findings: Findings, labels: dict[str, int]) -> None:
    """What was noticed while the files were read, and that no check says in its own words."""
    data = findings.data
    known = set(repeated_rows_finding(data.kept, different(data.examples.digests())))
    if labels and "label" in data.columns:
        known.update(label_findings(labels, data.columns["label"]))
    sentences = [sentence for sentence in data.findings
                 if sentence not in known and " left out (" not in sentence and "differ in upper and lower case" not in sentence]
    for number, sentence in enumerate(sentences, 1):
        findings.keep(Finding(kind=f"reading_{number}", severity="note", sentence=sentence))
