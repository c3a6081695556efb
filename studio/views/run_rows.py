"""The lab book as rows."""

import time
from dataclasses import dataclass, field

from jobs import units
from storage.records import Run, RunState
from studio.render import render
from studio.text import say
from studio.views.run_view import method_title

# what the page offers to sort by, and whether the largest comes first
SORTS = {
    "created_at": True,
    "name": False,
    "eval_loss": False,
    "peak_memory_bytes": False,
    "checkpoint_bytes": False,
    "train_seconds": False,
}
COLUMNS = ("name", "state", "base", "method", "eval_loss", "peak_memory", "checkpoint", "seconds")


@dataclass(frozen=True)
class RunRow:
    """One line of the lab book, as text."""

    id: str
    name: str
    state: str
    created: str
    sweep_id: str | None
    progress: str
    cells: tuple[tuple[str, str, bool], ...]  # heading, value, whether it is a number
    notes: dict[str, str] = field(default_factory=dict)  # by heading


def run_rows(runs: list[Run], now: float | None = None) -> list[RunRow]:
    """Every run as a row, in the order given."""
    now = time.time() if now is None else now
    return [
        RunRow(
            id=run.id,
            name=run.name,
            state=run.state,
            created=units.ago(now - run.created_at),
            sweep_id=run.sweep_id,
            progress=units.share(run.step, run.total_steps) if run.state == RunState.RUNNING and run.total_steps else "",
            cells=(
                (say("figure.base"), run.base_model, False),
                (say("figure.method"), method_title(run.method), False),
                (say("figure.eval_loss"), units.figure(run.eval_loss), True),
                (say("figure.peak_memory"), units.size(run.peak_memory_bytes), True),
                (say("figure.checkpoint"), units.size(run.checkpoint_bytes), True),
                (say("figure.seconds"), units.duration(run.train_seconds), True),
            ),
            notes={say("figure.peak_memory"): say("figure.forecast_of", size=units.size(run.forecast_memory_bytes))}
            if run.forecast_memory_bytes is not None else {},
        )
        for run in runs
    ]


def runs_table(rows: list[RunRow], searched: bool, count: int | None = None) -> str:
    """The table, or what to do where there is nothing to show. `count` is how many runs there are, shown or not."""
    if not rows and not searched:
        return render(
            "empty.html", what=say("runs.empty"), next=say("runs.empty_help"), links=[(say("run.open_train"), "/")]
        )
    return render(
        "runs.html",
        rows=rows,
        count=_count_words(len(rows), max(len(rows), count or 0)),
        headings=[(heading, number) for heading, _, number in rows[0].cells] if rows else [],
    )


def _count_words(shown: int, count: int) -> str:
    if shown < count:
        return say("runs.count_part", shown=f"{shown:,}", count=f"{count:,}")
    return say("runs.count_one") if count == 1 else say("runs.count", count=f"{count:,}")
