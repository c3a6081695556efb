"""Prompts and their answers: the same answer everywhere, none at all, contradictions, and answers that stand in the prompt."""

from array import array

import numpy as np

from jobs.data.health.batches import Batch
from jobs.data.health.found import Findings, shortened, verb
from jobs.data.health.texts import parts_of
from jobs.data.loading import LoadedData

NOTHING = {"nan", "null", "n/a", "#n/a", "undefined", "none provided", "todo", "tbd", "-", "--", "...", "…", "?", "[deleted]",
           "[removed]"}
LONG_ANSWER = 80  # characters from which an answer that stands in its prompt is said
FEWEST_ROWS = 10  # from which equal answers say something
MOST_ROWS = 0.5   # share of the rows


class Answers:
    """For every format that has prompts: chats, preferences, labelled texts, tags, pairs."""

    def __init__(self, data: LoadedData):
        self.data = data
        self.by_label = data.format in ("classification", "regression", "tokens", "binary-preference")
        self.prompts, self.answers = array("q"), array("q")
        self.wanted, self.unwanted = array("q"), array("q")
        self.empty, self.copied, self.equal = array("Q"), array("Q"), array("Q")

    def see(self, batch: Batch) -> None:
        for row, parts in enumerate(batch.parts, batch.first):
            prompt, answer, against = parts.prompt, parts.answer, parts.against
            if prompt is None:
                continue
            if self.by_label:
                self.prompts.append(hash((parts.whole if answer is not None else prompt).strip().casefold()))
                self.answers.append(hash(parts.label))
            if answer is None:
                continue
            if not self.by_label:
                self.prompts.append(hash((parts.system, prompt)))
                self.answers.append(hash(answer))
            if against is not None:
                self.wanted.append(hash((prompt, answer)))
                self.unwanted.append(hash((prompt, against)))
                if answer.strip() == against.strip():
                    self.equal.append(row)
            if len(answer) < 20:
                if answer.strip().casefold() in NOTHING:
                    self.empty.append(row)
            elif len(answer) >= LONG_ANSWER and answer.strip() in prompt:
                self.copied.append(row)

    def report(self, findings: Findings) -> None:
        self._report_empty(findings)
        self._report_same(findings)
        if self.by_label:
            self._report_contradictions(findings)
        self._report_preferences(findings)
        if self.copied:
            count = len(self.copied)
            findings.add("answer_in_prompt", "note",
                         f"In {findings.of(count)} the answer, {LONG_ANSWER} characters or more, stands word for word in the "
                         "prompt. That is right where passages are to be found; anywhere else the model learns to copy.",
                         self.copied, ("drop",))

    def _report_empty(self, findings: Findings) -> None:
        if count := len(self.empty):
            findings.add("no_answer", "warning",
                         f"{findings.rows(count, 'has', 'have')} a placeholder such as 'null', 'N/A' or '…' for an answer.",
                         self.empty, ("drop",), note=lambda row: f"answer: {parts_of(self.data.examples[row]).answer}")

    def _report_same(self, findings: Findings) -> None:
        """One answer in most rows, to different prompts."""
        if self.by_label or len(self.answers) < FEWEST_ROWS:
            return
        answers, prompts = np.array(self.answers), np.array(self.prompts)
        values, counts = np.unique(answers, return_counts=True)
        most = counts.argmax()
        rows = np.flatnonzero(answers == values[most])
        if counts[most] < max(FEWEST_ROWS, MOST_ROWS * len(answers)) or len(np.unique(prompts[rows])) < 2:
            return
        answer = shortened(parts_of(self.data.examples[int(rows[0])]).answer, 60)
        findings.add("same_answer", "warning",
                     f"The same answer, '{answer}', stands in {findings.of(len(rows))}. A model that always says it "
                     "looks good without having learnt anything.", rows, ("drop",))

    def _report_contradictions(self, findings: Findings) -> None:
        prompts, answers = np.array(self.prompts), np.array(self.answers)
        order = np.lexsort((np.arange(len(prompts)), answers, prompts))
        prompts, answers = prompts[order], answers[order]
        is_same = prompts[1:] == prompts[:-1]
        group = np.cumsum(np.concatenate(([0], ~is_same)))
        groups = np.unique(group[1:][is_same & (answers[1:] != answers[:-1])])
        if not len(groups):
            return
        rows = order[np.isin(group, groups)]  # those of one text together, for the report
        texts = len(groups)
        what = {"classification": "labels", "regression": "scores", "tokens": "tags"}.get(self.data.format, "judgements")
        findings.add("contradictions", "warning",
                     f"{texts:,} {verb(texts, 'text has', 'texts have')} different {what} in different rows ({len(rows):,} rows). "
                     "At most one of them can be right.", rows, ("drop",), note=self._label_of)

    def _label_of(self, row: int) -> str:
        label = parts_of(self.data.examples[row]).label or ""
        return label if len(label) < 60 else ""

    def _report_preferences(self, findings: Findings) -> None:
        if not self.wanted:
            return
        positive, negative = ("chosen", "rejected") if self.data.format == "preference" else ("positive", "negative")
        if count := len(self.equal):
            findings.add("equal_answers", "problem",
                         f"In {findings.of(count)} the {positive} and the {negative} text are the same, so there is nothing to "
                         "tell apart.", self.equal, ("drop",))
        wanted, unwanted = np.array(self.wanted), np.array(self.unwanted)
        is_equal = wanted == unwanted
        rows = np.flatnonzero(np.isin(wanted, unwanted[~is_equal]) & ~is_equal)
        if len(rows):
            findings.add("contradictions", "warning",
                         f"In {findings.of(len(rows))} the {positive} text is the {negative} one of another row with the same "
                         "prompt.",
                         rows, ("drop",))
