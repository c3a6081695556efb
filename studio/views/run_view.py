"""A run as its page shows it, part by part, so that only what changed is sent again."""

import time
from dataclasses import dataclass

import yaml

from jobs import units
from jobs.methods import METHODS
from storage.records import Adapter, LogLine, Phase, Request, Run, RunState
from studio.render import render
from studio.text import ENGLISH, say

LINES_SHOWN = 200


@dataclass(frozen=True)
class Progress:
    """How far a run is, in words and as a share (None: unknown)."""

    text: str
    detail: str = ""
    share: float | None = None


def progress_of(run: Run, position: int, now: float) -> Progress:
    """What a run is doing right now."""
    if run.state == RunState.QUEUED:
        return Progress(say("run.position_next") if position <= 1 else say("run.position", position=position), share=0)
    share = run.step / run.total_steps if run.total_steps else None
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
    return Progress(steps, say("run.left", time=units.duration(_calm(left))) if left is not None else "", share)


def seconds_left(run: Run, now: float) -> float | None:
    """By the pace of this attempt; None until its first step is over."""
    done = run.step - run.training_since_step
    if run.training_since is None or done <= 0 or not run.total_steps:
        return None
    return (run.total_steps - run.step) * max(0, now - run.training_since) / done


def title(run: Run) -> str:
    return render("run_title.html", run=run, method=method_title(run.method))


def status(run: Run, position: int, worker_alive: bool, now: float) -> str:
    """State, progress bar and time left; the problem of a failed run; what to do where nothing works on the queue."""
    missing = run.state == RunState.QUEUED and not worker_alive
    return render(
        "run_status.html",
        run=run,
        progress=progress_of(run, position, now),
        problem=run.problem if run.state == RunState.FAILED else "",
        hint=say("worker.missing")
        if missing
        else say("run.attempts", count=run.attempts)
        if run.attempts > 1 and not run.state.is_end
        else "",
    )


def figures(run: Run, latest: dict[str, float]) -> str:
    """The numbers of a run: the same places while it runs and at its end, filled as they become known."""
    metrics = run.metrics or {}
    eval_loss = run.eval_loss if run.eval_loss is not None else latest.get("eval_loss")
    cells = [
        _cell(
            "figure.eval_loss",
            units.figure(eval_loss),
            say("figure.before", value=units.figure(run.eval_loss_before)) if run.eval_loss_before is not None else "",
        )
    ]
    if run.task == "text-classification":
        for name in ("accuracy", "macro_f1"):
            before = metrics.get(f"{name}_before")
            cells.append(
                _cell(
                    f"figure.{name}",
                    units.share(metrics.get(name, latest.get(name))),
                    say("figure.before", value=units.share(before)) if before is not None else "",
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
    return render("run_figures.html", cells=cells)


def samples(run: Run) -> str:
    return render("run_samples.html", samples=run.samples) if run.samples else ""


def log(lines: list[LogLine], run: Run) -> str:
    shown = [(time.strftime("%H:%M:%S", time.localtime(line.at)), line.level, line.text) for line in lines[-LINES_SHOWN:]]
    return render("run_log.html", lines=shown, run=run)


def recipe(run: Run) -> str:
    """The recipe as a file that the command line takes, and where it ran."""
    environment = {**({"device": run.device} if run.device else {}), **(run.environment or {})}
    return render("run_recipe.html", recipe=_yaml(run.recipe), environment=_yaml(environment) if environment else "")


def end_links(run: Run, adapter: Adapter | None) -> str:
    """Where to go from an ended run."""
    return render("run_links.html", run=run, adapter=adapter)


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


def _calm(seconds: float) -> float:
    """Rounded to what an estimate can know, so that the number does not flicker."""
    unit = 1 if seconds < 20 else 5 if seconds < 120 else 60 if seconds < 7200 else 600
    return max(1, round(seconds / unit)) * unit


def _yaml(values: dict) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).strip()
