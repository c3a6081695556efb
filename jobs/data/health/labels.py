"""The balance of labels: rare ones, one that dominates, and ones that differ in spelling only."""

import re
from array import array
from collections import Counter, defaultdict

from jobs.data.findings import FEW_ROWS, listed
from jobs.data.health.batches import Batch
from jobs.data.health.found import Findings, verb
from jobs.data.health.report import Count

DOMINATES = 0.8       # share of the rows
FEWEST_ROWS = 20      # from which shares say something
MOST_LABELS = 10_000  # that are counted; more are no labels
JUDGEMENTS = "binary-preference"


class Labels:
    """For labelled texts, tags and judged answers."""

    def __init__(self, format: str):
        self.format = format
        self.counts: Counter[str] = Counter()
        self.numbers: dict[str, int] = {}
        self.of_row = array("q")

    def see(self, batch: Batch) -> None:
        if self.format == "tokens":
            for example in batch.examples:
                self.counts.update(example["tags"])
        elif self.format in ("classification", JUDGEMENTS):
            for parts in batch.parts:
                self.of_row.append(self.numbers.setdefault(parts.label, len(self.numbers)))

    def report(self, findings: Findings) -> list[Count]:
        """The findings, and how many rows each label has, the most frequent first (for tags: how many words)."""
        if self.of_row:
            names, counts = list(self.numbers), Counter(self.of_row)
            self.counts = Counter({names[number]: count for number, count in counts.items()})
            self._report_balance(findings)
        if self.format == "classification" and len(self.counts) <= max(FEWEST_ROWS, findings.total) / 2:
            self._report_rare(findings)
            self._report_spellings(findings)
        elif self.format == "classification":
            findings.add("many_labels", "problem",
                         f"There are {len(self.counts):,} different labels in {findings.total:,} rows, nearly one for each. Is "
                         f"'{findings.data.columns.get('label', 'label')}' the right column?")
        elif self.format == "tokens" and set(self.counts) <= {"O"} and self.counts:
            findings.add("no_tags", "problem", "Every word has the tag 'O', so there is nothing to find.")
        return [Count(name=name, count=count) for name, count in self.counts.most_common(MOST_LABELS)]

    def _rows_with(self, labels: list[str]) -> list[int]:
        wanted = {self.numbers[label] for label in labels}
        return [row for row, number in enumerate(self.of_row) if number in wanted]

    def _report_balance(self, findings: Findings) -> None:
        [(label, count)] = self.counts.most_common(1)
        if findings.total >= FEWEST_ROWS and len(self.counts) > 1 and count > DOMINATES * findings.total:
            what = "are judged" if self.format == JUDGEMENTS else "have the label"
            findings.add("dominant_label", "warning",
                         f"{findings.of(count)} {what} '{label}' ({count / findings.total:.0%}). A model that always says so is "
                         "right that often without having learnt anything. Add rows of the others, or look at a score that counts "
                         "every label alike, such as macro F1.")

    def _report_rare(self, findings: Findings) -> None:
        rare = sorted((label for label, count in self.counts.items() if count < FEW_ROWS), key=self.counts.get)
        if rare:
            named = listed(f"'{label}' ({self.counts[label]})" for label in rare)
            findings.add("rare_labels", "warning",
                         f"{len(rare):,} of {len(self.counts):,} labels {verb(len(rare), 'has', 'have')} fewer than {FEW_ROWS} "
                         f"rows to learn from: {named}. Add rows, or drop them.",
                         self._rows_with(rare), ("drop",), note=self._label_of)

    def _report_spellings(self, findings: Findings) -> None:
        spellings = defaultdict(list)
        for label in self.counts:
            spellings[re.sub(r"[\s_-]+", " ", label.casefold()).strip()].append(label)
        for_each = [sorted(variants, key=self.counts.get, reverse=True) for variants in spellings.values() if len(variants) > 1]
        if not for_each:
            return
        named = listed(" and ".join(f"'{label}' ({self.counts[label]:,})" for label in variants) for variants in for_each)
        rows = self._rows_with([label for variants in for_each for label in variants[1:]])
        findings.add("label_spellings", "warning",
                     f"Labels that differ only in upper and lower case or in spaces count as different: {named}. Write them "
                     "alike in the file.", rows, ("drop",), note=self._label_of)

    def _label_of(self, row: int) -> str:
        return list(self.numbers)[self.of_row[row]]
