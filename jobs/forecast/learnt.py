"""What a device's finished runs teach about its next forecasts: one factor, from how much they took. Nothing here imports torch."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import median

from jobs.forecast.result import Forecast
from jobs.forecast.terms import terms
from storage.records import Run

FEWEST, LATEST = 3, 50   # runs that it takes, and that count
LIMITS = (0.7, 1.5)      # beyond them something else is wrong, which a factor would only hide
SAME_LENGTH = 0.02       # by which the longest row may differ from the one that was forecast


@dataclass(frozen=True)
class Learnt:
    """What forecasts of a device are multiplied by, and how many runs taught it."""

    correction: float = 1.0
    runs: int = 0


def learn(runs: Iterable[Run]) -> Learnt:
    """From the runs of one device, the newest first: the median of measured by forecast, as it was before any correction."""
    alike = (run for run in runs if run.forecast.get("basis") == basis() and not why_not(run))
    ratios = [run.peak_memory_bytes / uncorrected(run.forecast) for run in alike][:LATEST]
    if len(ratios) < FEWEST:
        return Learnt()
    # two digits: answers are kept by what they were asked with, and a factor that changes with each run would make all anew
    return Learnt(round(min(max(median(ratios), LIMITS[0]), LIMITS[1]), 2), len(ratios))


def uncorrected(record: dict) -> float:
    """The peak of a kept forecast as the trace gave it, so that learning does not feed on itself."""
    return record["peak_memory_bytes"] / record.get("correction", 1.0)


def basis() -> str:
    """Names the fitted terms that forecasts are made with now: what was learnt about others tells nothing about these."""
    return hashlib.sha256(json.dumps(terms(), sort_keys=True).encode()).hexdigest()[:12]


def why_not(run: Run) -> str:
    """What makes a run's peak another thing than its forecast: `adjusted`, `rows`, `count` or `steps`; empty for nothing."""
    if run.adjustments:
        return "adjusted"
    if run.step < 1:
        return "steps"
    if (run.peak_memory_of == "cuda") != (run.forecast["device"] == "cuda"):
        return "count"
    return "" if same_length(run) else "rows"


def same_length(run: Run) -> bool:
    """Whether the longest row was as long as the forecast had it."""
    training, longest = run.recipe.get("training", {}), run.data.get("longest_row")
    thought = run.forecast.get("step_tokens", 0) / training.get("batch_size", 1)
    if not longest or not thought:
        return True
    real = min(longest, training.get("max_length", longest))
    return abs(thought - real) <= max(1, SAME_LENGTH * real)


def corrected(forecast: Forecast, correction: float) -> Forecast:
    """A forecast with every part multiplied; their sum is the peak again."""
    if correction == 1.0:
        return forecast
    parts = {part: round(size * correction) for part, size in forecast.parts.items()}
    peak = sum(parts.values())
    fits = peak + forecast.beside_bytes <= forecast.device_memory_bytes if forecast.device_memory_bytes else None
    return replace(forecast, parts=parts, peak_memory_bytes=peak, fits=fits, correction=correction,
                   evaluation_bytes=round(forecast.evaluation_bytes * correction))
