"""Who wins: what people said of answers side by side, as wins and as a rating with its uncertainty.

A comparison of several answers stands for one between each two of them: the best beats every other, and where all are equally
good, or none is, each two are even. Ratings are Bradley-Terry strengths (Bradley and Terry 1952) on Elo's scale, on which 400
points are odds of ten to one, with intervals by the bootstrap over comparisons (Efron 1979).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from storage.records import Comparison, Verdict

MIDDLE = 1000       # the mean of all ratings
PER_TEN = 400       # points for odds of ten to one
DRAWS = 300         # of the bootstrap
ROUNDS = 200        # of the fit
PRIOR = 0.5         # wins and losses against everyone that nobody has really: one that has only won would be infinitely strong
INTERVAL = (2.5, 97.5)  # percent


@dataclass(frozen=True)
class Standing:
    """One answerer among those that it was compared with. `low` and `high`: between which its rating lies, 95 times in 100."""

    answerer: str  # a run id, or storage.records.BASE
    name: str
    wins: int
    losses: int
    ties: int
    bad: int       # comparisons in which no answer was good
    comparisons: int
    rating: float
    low: float
    high: float


def standings(comparisons: Sequence[Comparison], seed: int = 0) -> list[Standing]:
    """Everyone who was judged, the best first. The same comparisons and seed give the same intervals."""
    judged = [comparison for comparison in comparisons if comparison.verdict and len(_answerers(comparison)) > 1]
    names = {answer["answerer"]: answer["name"] for comparison in reversed(judged) for answer in comparison.answers}
    order = sorted(names)
    if not order:
        return []
    outcomes = np.stack([_outcome(comparison, order) for comparison in judged])
    ratings = _ratings(outcomes.sum(axis=0))
    drawn = np.random.default_rng(seed).multinomial(len(judged), np.full(len(judged), 1 / len(judged)), size=DRAWS)
    draws = _ratings(np.einsum("dc,cij->dij", drawn.astype(float), outcomes, optimize=True))
    low, high = np.percentile(draws, INTERVAL, axis=0)
    counts = {answerer: Counter(_said_of(answerer, comparison) for comparison in judged if answerer in _answerers(comparison))
              for answerer in order}
    found = [Standing(answerer, names[answerer], counts[answerer]["win"], counts[answerer]["loss"], counts[answerer]["tie"],
                      counts[answerer]["bad"], counts[answerer].total(), float(ratings[place]),
                      float(min(low[place], ratings[place])), float(max(high[place], ratings[place])))
             for place, answerer in enumerate(order)]
    return sorted(found, key=lambda standing: -standing.rating)


def expected(one: float, other: float) -> float:
    """How likely the one wins against the other, from their ratings."""
    return 1 / (1 + 10 ** ((other - one) / PER_TEN))


def _answerers(comparison: Comparison) -> list[str]:
    return list(dict.fromkeys(answer["answerer"] for answer in comparison.answers if not answer.get("problem")))


def _said_of(answerer: str, comparison: Comparison) -> str:
    if comparison.verdict == Verdict.BEST:
        return "win" if comparison.best == answerer else "loss"
    return comparison.verdict.value


def _outcome(comparison: Comparison, order: list[str]) -> np.ndarray:
    """Wins of the row's answerer over the column's."""
    wins = np.zeros((len(order), len(order)))
    places = [order.index(answerer) for answerer in _answerers(comparison)]
    if comparison.verdict == Verdict.BEST:
        best = order.index(comparison.best)
        wins[best, [place for place in places if place != best]] = 1
        return wins
    for one, other in combinations(places, 2):
        wins[one, other] = wins[other, one] = 0.5
    return wins


def _ratings(wins: np.ndarray) -> np.ndarray:
    """Strengths that make the wins likeliest, by the MM algorithm (Hunter 2004), on Elo's scale; of many tables at once too."""
    size = wins.shape[-1]
    wins = wins + PRIOR * (1 - np.eye(size)) / max(1, size - 1)
    games, won, strength = wins + wins.swapaxes(-1, -2), wins.sum(axis=-1), np.ones(wins.shape[:-1])
    for _ in range(ROUNDS):
        weight = games / (strength[..., :, None] + strength[..., None, :])
        strength = won / weight.sum(axis=-1)
        strength /= np.exp(np.log(strength).mean(axis=-1, keepdims=True))
    return MIDDLE + PER_TEN * np.log10(strength)
