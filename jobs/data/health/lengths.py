"""Rows that are much shorter or much longer than the others, or that say nothing at all."""

from array import array

import numpy as np

from jobs.data.health.batches import Batch
from jobs.data.health.found import Findings

TIMES = 20            # longer or shorter than the middle row
LONG, SHORT = 2000, 200  # characters: what is shorter is not long, and what has a middle below says nothing about short ones
FEW = 0.01            # share of the rows up to which they are outliers
FEWEST_ROWS = 20


class Lengths:
    """Characters of each row."""

    def __init__(self):
        self.characters = array("Q")
        self.silent = array("Q")

    def see(self, batch: Batch) -> None:
        self.characters.extend([len(parts.whole) for parts in batch.parts])
        self.silent.extend((np.flatnonzero(batch.words.in_row == 0) + batch.first).tolist())

    def report(self, findings: Findings) -> None:
        if count := len(self.silent):
            findings.add("no_words", "note", f"{findings.rows(count, 'has', 'have')} no letter and no digit.",
                         self.silent, ("drop",))
        lengths = np.array(self.characters)
        if len(lengths) < FEWEST_ROWS:
            return
        middle = int(np.median(lengths))
        lengths[list(self.silent)] = middle  # these are told already
        for kind, rows, word in (
            ("very_long", np.flatnonzero((lengths > TIMES * middle) & (lengths > LONG)), "longer"),
            ("very_short", np.flatnonzero((lengths < middle / TIMES) & (middle >= SHORT)), "shorter"),
        ):
            if 0 < len(rows) <= max(1, FEW * len(lengths)):
                findings.add(kind, "note",
                             f"{findings.rows(len(rows), 'is', 'are')} over {TIMES} times {word} than the middle row, "
                             f"which has {middle:,} characters. Look whether they belong here.", rows, ("drop",),
                             note=lambda row: f"{lengths[row]:,} characters")
