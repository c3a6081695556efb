"""How right forecasts were: every run that was forecast against what it took. Without torch."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median

from jobs.forecast.learnt import Learnt, learn, why_not
from storage.records import Run

LOOKED_AT = 2000  # of the newest runs
WORST = 10


@dataclass(frozen=True)
class Compared:
    """A run's forecast, as it was said, and its measured peak."""

    run: Run
    forecast: int
    measured: int

    @property
    def error(self) -> float:
        """As a share of what was measured: above 0 too much was said, below 0 too little."""
        return self.forecast / self.measured - 1

    @property
    def device(self) -> str:
        """Its name, or else its kind."""
        return self.run.forecast.get("device_name") or self.run.forecast["device"]


@dataclass(frozen=True)
class Errors:
    """Of several runs, all without their sign."""

    runs: int
    median: float
    nine_in_ten: float  # nine runs in ten were within it


@dataclass(frozen=True)
class Accuracy:
    """`by` has the errors of each device and method, those with most runs first; `left_out` why others are not compared."""

    compared: list[Compared]  # the newest first
    errors: Errors | None
    by: list[tuple[str, str, Errors]]
    worst: list[Compared]
    left_out: Counter[str]
    learnt: list[tuple[str, Learnt]]  # by device, where there is something


def accuracy(runs: Iterable[Run]) -> Accuracy:
    """Of runs that were forecast and measured, the newest first."""
    runs = list(runs)
    compared = [found for run in runs if (found := compare(run))]
    groups: dict[tuple[str, str], list[Compared]] = {}
    for each in compared:
        groups.setdefault((each.device, each.run.method), []).append(each)
    by = sorted(((*key, errors_of(each)) for key, each in groups.items()), key=lambda row: (-row[2].runs, row[0], row[1]))
    devices: dict[str, list[Run]] = {}
    for each in compared:
        if name := each.run.forecast.get("device_name"):  # nothing is learnt of a device without one
            devices.setdefault(name, []).append(each.run)
    learnt = [(name, found) for name, of_device in devices.items() if (found := learn(of_device)).runs]
    return Accuracy(compared, errors_of(compared) if compared else None, by,
                    sorted(compared, key=lambda each: -abs(each.error))[:WORST],
                    Counter(why for run in runs if (why := why_not(run))), learnt)


def compare(run: Run) -> Compared | None:
    """None where there is no forecast, no measured peak yet, or the run did another thing than was forecast."""
    if not (run.forecast_memory_bytes and run.peak_memory_bytes and run.state.is_end) or why_not(run):
        return None
    return Compared(run, run.forecast_memory_bytes, run.peak_memory_bytes)


def errors_of(compared: Sequence[Compared]) -> Errors:
    sizes = sorted(abs(each.error) for each in compared)
    return Errors(len(sizes), median(sizes), sizes[ceil(0.9 * len(sizes)) - 1])
