"""The best state of a run so far, by a score of its evaluations, and for how long none was better."""

import math
from dataclasses import asdict, dataclass

from jobs.recipe import SMALLER_IS_BETTER


@dataclass
class Best:
    """`by` is one of jobs.recipe.Score; `step` and `score` are None before the first evaluation."""

    by: str
    step: int | None = None
    score: float | None = None
    waited: int = 0  # evaluations since then

    @classmethod
    def from_notes(cls, notes: dict, by: str) -> "Best":
        """Go on from a checkpoint's notes, unless another score decides now."""
        noted = notes.get("best") or {}
        return cls(**noted) if noted.get("by") == by else cls(by)

    def judge(self, step: int, metrics: dict[str, float]) -> bool:
        """Take in what an evaluation gave; returns whether it is the best so far."""
        score = metrics.get(f"eval_{self.by.removeprefix('eval_')}", math.nan)
        if not math.isfinite(score) or (self.score is not None and not self._is_better(score)):
            self.waited += 1
            return False
        self.step, self.score, self.waited = step, score, 0
        return True

    def _is_better(self, score: float) -> bool:
        return score < self.score if self.by in SMALLER_IS_BETTER else score > self.score

    def in_words(self) -> str:
        return f"step {self.step} ({self.by.replace('_', ' ')} {self.score:.4f})"

    def as_notes(self) -> dict:
        return asdict(self)
