"""A sweep as its page shows it, part by part, so that only what changed is sent again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jobs import units
from jobs.comparison import Comparison, compare
from jobs.sweep import best_of, best_run, counts, progress_of
from jobs.sweep_plan import tried_text, value_text
from storage.records import Request, Run, RunState, Sweep
from studio.frame import page_title
from studio.recipe_form import setting_title
from studio.render import render
from studio.text import say
from studio.views import comparison_view
from studio.views.parallel import ParallelLine, parallel_chart, result_axis, setting_axis
from studio.views.run_view import method_title

MADE = "made"
SORTS = ("eval_loss", MADE, "peak_memory_bytes", "checkpoint_bytes", "train_seconds")
RESULTS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("eval_loss", "figure.eval_loss", units.figure),
    ("peak_memory_bytes", "figure.peak_memory", units.size),
    ("checkpoint_bytes", "figure.checkpoint", units.size),
    ("train_seconds", "figure.seconds", units.duration),
)
OF_COMPARISON = (("trainable_parameters", "figure.trainable", units.amount),)  # beside them, where methods are compared


@dataclass(frozen=True)
class SweepRow:
    """One run of a sweep, as text."""

    id: str
    name: str
    number: int
    state: str
    progress: str
    best: bool
    standing: tuple[str, str]  # where methods are compared: unbeaten or beaten, and the words for it
    cells: tuple[tuple[str, str, bool], ...]  # heading, value, whether it is a number


def title(sweep: Sweep, runs: Sequence[Run]) -> str:
    count = say("runs.count_one") if len(runs) == 1 else say("runs.count", count=len(runs))
    if sweep.varied == ["method"]:
        return page_title(sweep.name, say("comparison.lead", runs=count, base=runs[0].base_model))
    return page_title(sweep.name, say("sweep.lead", runs=count, settings=", ".join(_title(runs, name) for name in sweep.varied)))


def status(runs: Sequence[Run], worker_alive: bool) -> str:
    """How many runs are in which state, and how far they are together."""
    found = counts(runs)
    waits = found.get(RunState.QUEUED, 0) + found.get(RunState.RUNNING, 0)
    return render(
        "sweep_status.html",
        counts=counts_text(runs),
        percent=round(100 * progress_of(runs)),
        state="running" if waits else "finished",
        hint=say("worker.missing") if waits and not worker_alive else "",
    )


def counts_text(runs: Sequence[Run]) -> str:
    """In words: "3 finished, 1 training, 4 waiting"."""
    return ", ".join(say(f"sweep.count.{state}", count=count) for state, count in counts(runs).items())


def links(runs: Sequence[Run]) -> str:
    best = best_run(runs)
    return render("sweep_links.html", best=best) if best else ""


def can_cancel(runs: Sequence[Run]) -> bool:
    return any(not run.state.is_end and run.request != Request.CANCEL for run in runs)


def rows_of(sweep: Sweep, runs: Sequence[Run], sort: str = "eval_loss") -> list[SweepRow]:
    """The runs by that figure, those without it last; their numbers say in which order they were accepted."""
    best, compared = best_of(sweep, list(runs)), compare(sweep, runs)
    results, numbered = (*RESULTS, *(OF_COMPARISON if compared else ())), list(enumerate(runs, 1))
    if sort != MADE:
        numbered.sort(key=lambda pair: _place(pair[1], sort, compared))
    return [
        SweepRow(
            id=run.id,
            name=run.name,
            number=number,
            state=run.state,
            progress=units.share(run.step, run.total_steps) if run.state == RunState.RUNNING and run.total_steps else "",
            best=best is not None and run.id == best.id,
            standing=comparison_view.standing(sweep, runs, run, compared) if compared else ("", ""),
            cells=(
                *((_title(runs, name), tried_value(run, name), _is_number(runs, name)) for name in sweep.varied),
                *_score_cell(run, compared),
                *((say(key), text(getattr(run, name)), True) for name, key, text in results),
            ),
        )
        for number, run in numbered
    ]


def _score_cell(run: Run, compared: Comparison | None) -> tuple[tuple[str, str, bool], ...]:
    """What a comparison judges by, where that is not the evaluation loss, which is there anyway."""
    if compared is None or compared.score.name == "eval_loss":
        return ()
    name = compared.score.name
    return ((comparison_view.score_title(name), comparison_view.score_text(name, compared.rows[run.id].quality), True),)


def _place(run: Run, sort: str, compared: Comparison | None) -> tuple[bool, float]:
    """Where a run stands in an order: by quality in a comparison that is sorted by what is best, else by the figure."""
    if sort == "eval_loss" and compared and compared.score.name != "eval_loss":
        value = compared.rows[run.id].quality
        return value is None, (value or 0) * (1 if compared.score.lower else -1)
    return getattr(run, sort) is None, getattr(run, sort) or 0


def table(sweep: Sweep, runs: Sequence[Run], sort: str = "eval_loss") -> str:
    rows = rows_of(sweep, runs, sort)
    headings = [(name, number) for name, _, number in rows[0].cells]
    compares = compare(sweep, runs) is not None
    return render("sweep_table.html", rows=rows, settings=len(sweep.varied), headings=headings, compares=compares)


def parallel(sweep: Sweep, runs: Sequence[Run]) -> str:
    """Settings against evaluation loss, peak memory, adapter size and time."""
    best = best_of(sweep, list(runs))
    settings = [
        setting_axis(
            _title(runs, name),
            [run.sweep_values.get(name) for run in runs],
            method_title if name == "method" else value_text,
            log=name == "training.learning_rate",
        )
        for name in sweep.varied
    ]
    results = [result_axis(say(key), [getattr(run, name) for run in runs], text) for name, key, text in RESULTS]
    lines = [ParallelLine(_line_title(number, run), best is not None and run.id == best.id) for number, run in enumerate(runs, 1)]
    measured = sum(run.eval_loss is not None for run in runs)
    summary = say("sweep.parallel.summary", axes=", ".join(axis.title for axis in (*settings, *results)), runs=len(runs),
                  measured=measured)
    if best:
        summary += " " + say("sweep.parallel.best", run=_line_title(list(runs).index(best) + 1, best))
    return parallel_chart([*settings, *results], lines, say("sweep.parallel"), summary)


def tried_value(run: Run, name: str) -> str:
    """What a run tries of one setting, as the page shows it."""
    if name not in run.sweep_values:
        return units.NOTHING
    value = run.sweep_values[name]
    return method_title(value) if name == "method" else value_text(value)


def _title(runs: Sequence[Run], name: str) -> str:
    """What the methods of these runs call a setting."""
    return setting_title(name, dict.fromkeys(run.method for run in runs))


def _is_number(runs: Sequence[Run], name: str) -> bool:
    return all(isinstance(run.sweep_values.get(name, 0), (int, float)) for run in runs)


def _line_title(number: int, run: Run) -> str:
    figures = [f"{say(key)} {text(getattr(run, name))}" for name, key, text in RESULTS if getattr(run, name) is not None]
    return f"{say('sweep.run', number=number)}: {', '.join([tried_text(run.sweep_values), *figures])}"
