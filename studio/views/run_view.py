"""A run as its page shows it, part by part, so that only what changed is sent again."""

import time
from dataclasses import dataclass

import yaml

from jobs import units
from jobs.expected import Expected, seconds_left
from jobs.failures import FAILURES
from jobs.methods import METHODS
from jobs.recipe import TrainingSettings, scores_of
from storage.records import Adapter, LogLine, Phase, Request, Run, RunEvent, RunState
from studio.render import render
from studio.text import ENGLISH, say, setting_key
from studio.views.forecast_said import about_forecast, about_time, time_said
from studio.views.queue_view import calm, clock, start_words
from studio.views.recipe_view import main_settings, without_idle

LINES_SHOWN = 200
SHARES = ("accuracy", "macro_f1", "f1", "reward_accuracy")  # scores that are told in percent


@dataclass(frozen=True)
class Progress:
    """How far a run is, in words and as a share (None: unknown)."""

    text: str
    detail: str = ""
    share: float | None = None


def progress_of(run: Run, expected: Expected | None, now: float) -> Progress:
    """What a run is doing right now."""
    share = run.step / run.total_steps if run.total_steps else None
    if run.state == RunState.QUEUED:
        return _waiting(run, expected or Expected(0, None), share or 0, now)
    if run.state != RunState.RUNNING:
        return Progress(_end_words(run), share=1 if run.state == RunState.FINISHED else share or 0)
    steps = say("run.step", step=f"{run.step:,}", total=f"{run.total_steps:,}") if run.total_steps else ""
    if run.request == Request.CANCEL:
        return Progress(say("run.cancelling"), steps, share)
    if run.request == Request.STOP:
        return Progress(say("run.stopping"), steps, share)
    if run.phase == Phase.EVALUATING:
        return Progress(say("run.evaluating"), steps, share)
    if run.phase == Phase.SAVING:
        return Progress(say("run.saving"), steps, share)
    if run.phase == Phase.PREPARING or not run.total_steps:
        return Progress(say("run.preparing"), steps, share)
    left = seconds_left(run, now)
    return Progress(steps, say("run.left", time=units.duration(calm(left))) if left is not None else "", share)


def _waiting(run: Run, expected: Expected, share: float, now: float) -> Progress:
    if run.request == Request.STOP:
        return Progress(say("run.stop_waits"), share=share)
    if run.held:
        return Progress(say("run.held"), share=share)
    start = start_words(expected, now)
    when = say("run.starts", when=start) if start else ""
    if run.start_at and run.start_at > now:
        return Progress(say("run.later", time=clock(run.start_at, now)), when, share)
    place = say("run.position_next") if expected.place <= 1 else say("run.position", position=expected.place)
    return Progress(place, when, share)


def title(run: Run) -> str:
    return render("run_title.html", run=run, method=method_title(run.method))


def status(run: Run, expected: Expected | None, why: str, now: float) -> str:
    """State, progress bar and time left; for a failed run what went wrong and what to do next; `why` no waiting run starts."""
    failed = run.state == RunState.FAILED
    return render(
        "run_status.html",
        run=run,
        progress=progress_of(run, expected, now),
        problem=run.problem if failed else "",
        failure=FAILURES.get(run.problem_kind) if failed else None,
        hints=[hint for hint in (why, *_hints(run)) if hint],
    )


def _hints(run: Run) -> tuple[str, ...]:
    going_on = run.attempts > 1 and not run.state.is_end
    return (
        say("run.adjusted", settings=", ".join(_adjusted(run))) if run.adjustments else "",
        say("run.attempts", count=run.attempts) if going_on and run.state == RunState.RUNNING else "",
    )


def _adjusted(run: Run) -> list[str]:
    """The settings that a lack of memory changed, by their titles, with their values now."""
    return [
        f"{ENGLISH[setting_key(TrainingSettings, name) + '.title'].lower()} {units.setting(value)}"
        for name, value in run.adjustments.items()
    ]


def figures(run: Run, latest: dict[str, float]) -> str:
    """The numbers of a run: the same places while it runs and at its end, filled as they become known."""
    metrics = run.metrics or {}
    eval_loss = run.eval_loss if run.eval_loss is not None else latest.get("eval_loss")
    cells = [
        _cell(
            "figure.eval_loss",
            units.figure(eval_loss),
            ", ".join(
                filter(
                    None,
                    (
                        say("figure.before", value=units.figure(run.eval_loss_before))
                        if run.eval_loss_before is not None
                        else "",
                        say("figure.best_step", step=f"{run.best_step:,}") if run.best_step else "",
                    ),
                )
            ),
        )
    ]
    for name in scores_of(run.task, (run.data or {}).get("format", "")):
        if name == "eval_loss":
            continue
        shown, before = units.share if name in SHARES else units.figure, metrics.get(f"{name}_before")
        cells.append(
            _cell(
                f"choice.{name}",
                shown(metrics.get(name, latest.get(name))),
                say("figure.before", value=shown(before)) if before is not None else "",
            )
        )
    cells += [
        _cell(
            "figure.peak_memory",
            units.size(run.peak_memory_bytes),
            ", ".join(
                filter(
                    None,
                    (
                        ENGLISH.get(f"figure.peak_memory_{run.peak_memory_of}") if run.peak_memory_bytes else "",
                        say("figure.memory_now", size=units.size(run.memory_bytes)) if run.memory_bytes else "",
                    ),
                )
            ),
        ),
        *_forecast_cells(run),
        _cell(
            "figure.trainable",
            units.amount(run.trainable_parameters),
            say(
                "figure.trainable_share",
                share=units.share(run.trainable_parameters, run.total_parameters),
                total=units.amount(run.total_parameters),
            )
            if run.trainable_parameters
            else "",
        ),
        _cell("figure.checkpoint", units.size(run.checkpoint_bytes)),
        _cell(
            "figure.seconds",
            units.duration(run.train_seconds),
            say("figure.first_step", seconds=units.duration(run.seconds_to_first_step))
            if run.seconds_to_first_step
            else "",
        ),
        _cell(
            "figure.speed",
            units.amount(run.tokens_per_second and round(run.tokens_per_second)),
            say("figure.tokens_per_second") if run.tokens_per_second else "",
        ),
    ]
    if precision := (run.environment or {}).get("precision"):
        cells.append(_cell("figure.precision", precision, run.environment.get("precision_why", "")))
    return render("run_figures.html", cells=cells, is_forecast=run.forecast_memory_bytes is not None)


def _forecast_cells(run: Run) -> list[dict[str, str]]:
    """What was said before, beside what was measured."""
    cells = []
    if run.forecast_memory_bytes is not None:
        cells.append(_cell("figure.forecast", units.size(run.forecast_memory_bytes), about_forecast(run)))
    if said := time_said(run):
        cells.append(_cell("figure.forecast_time", units.duration(said.likely), about_time(run, said)))
    return cells


def samples(run: Run) -> str:
    return render("run_samples.html", samples=run.samples) if run.samples else ""


def log(lines: list[LogLine], run: Run, events: list[RunEvent]) -> str:
    """What the run said, and how its state changed."""
    shown = [(time.strftime("%H:%M:%S", time.localtime(line.at)), line.level, line.text) for line in lines[-LINES_SHOWN:]]
    changes = [
        (
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at)),
            say(f"state.{event.from_state}") if event.from_state else "",
            say(f"state.{event.to_state}"),
            event.reason,
        )
        for event in events
    ]
    return render("run_log.html", lines=shown, run=run, changes=changes)


def recipe(run: Run) -> str:
    """The recipe as a file that the command line takes, and where it ran."""
    environment = {**({"device": run.device} if run.device else {}), **(run.environment or {})}
    return render("run_recipe.html", settings=main_settings(run.recipe), recipe=_yaml(without_idle(run.recipe)),
                  environment=_yaml(environment) if environment else "")


def links(run: Run, adapter: Adapter | None, before: Run | None, after: list[Run]) -> str:
    """Where to go from a run: to the run that it continues and to those that continue it, and once it has ended to its use."""
    return render("run_links.html", run=run, adapter=adapter, before=before, after=after)


def method_title(name: str) -> str:
    return METHODS[name].title if name in METHODS else name


def _end_words(run: Run) -> str:
    if run.state == RunState.STOPPED:
        return say("run.stopped", step=f"{run.step:,}", total=f"{run.total_steps:,}")
    if run.state == RunState.FINISHED:
        return (
            say("run.finished", time=units.duration(run.finished_at - run.started_at))
            if run.finished_at and run.started_at
            else say("run.finished_plain")
        )
    return say(f"run.{run.state}")


def _cell(key: str, value: str, note: str = "") -> dict[str, str]:
    return {"name": say(key), "value": value, "note": note}


def _yaml(values: dict) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).strip()
