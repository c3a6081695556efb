"""train: queue a run or a sweep, and watch it to its end."""

import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from commands.console import (
    AsJson,
    WishedDevice,
    WishedPriority,
    WishedStart,
    err,
    open_studio,
    out,
    print_json,
    print_summary,
    told,
)
from commands.serving import start_worker
from storage.problems import NotFound

app = typer.Typer()


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.")],
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Watch to the end, or queue it and return its id.")] = True,
    priority: WishedPriority = None, device: WishedDevice = None, start_at: WishedStart = None,
    hold: Annotated[bool, typer.Option("--hold", help="Queue it, and let it wait until runs release.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train by a recipe: the same queue and the same record as the page. Lists of values in it make a sweep of runs."""
    from jobs.forecast.keeping import wait_for_forecasts
    from jobs.recipe_reader import read_recipe, read_values_file
    from jobs.submit import submit
    from jobs.summary import run_summary
    from jobs.sweep_plan import is_sweep
    from jobs.turn import read_turn, system_user

    services, values = open_studio(), read_values_file(recipe)
    turn = read_turn({"owner": system_user(), "hold": hold, **told(priority=priority, device=device, start_at=start_at)})
    if is_sweep(values):
        train_sweep(services, values, turn, wait, as_json)
        return
    run = submit(services, read_recipe(values), submission_key=uuid.uuid4().hex, turn=turn)
    if not wait:
        print_json({"run_id": run.id, "status": run.state.value}) if as_json else out.print(run.id)
        return
    with working(services, f"The run {run.id}") as own_worker:
        watch(services, run.id, own_worker)
        wait_for_forecasts(services, [run.id])
    summary = run_summary(services, services.runs.get(run.id))
    print_summary(summary)
    if as_json:
        print_json(summary)
    raise typer.Exit(0 if summary["status"] in ("finished", "stopped") else 1)


@contextmanager
def working(services, what: str) -> Iterator[subprocess.Popen | None]:
    """A worker of our own where none is alive. Ctrl-C leaves `what`: with a worker of our own it pauses, else it goes on."""
    own_worker = None if services.workers.alive() else start_worker(services.settings)
    try:
        yield own_worker
    except KeyboardInterrupt:
        err.print(f"{what} " + ("pauses, and goes on with the next worker." if own_worker else "goes on without us."))
        raise typer.Exit(130) from None
    finally:
        if own_worker:
            own_worker.send_signal(signal.SIGINT)
            own_worker.wait()


def watch(services, run_id: str, own_worker: subprocess.Popen | None):
    """Show a run's progress until its end."""
    shown = 0
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f} steps"),
               TimeRemainingColumn(), TextColumn("{task.fields[loss]}"))
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task("waiting", total=1, loss="")
        while True:
            run = services.runs.get(run_id)
            for line in services.runs.log_lines(run_id):
                if line.id > shown:
                    shown = line.id
                    progress.console.print(line.text, style="red" if line.level == "error" else None, markup=False)
            losses = services.runs.metrics(run_id, ["loss"])
            progress.update(bar, description=run.phase or run.state.value, completed=run.step, total=run.total_steps or 1,
                            loss=f"loss {losses[-1].value:.3f}" if losses else "")
            if run.state.is_end:
                return run
            check_worker(services, own_worker, f"The run {run_id}")
            time.sleep(0.5)


def check_worker(services, own_worker: subprocess.Popen | None, what: str) -> None:
    """Raise NotFound where the worker that we started has ended by itself."""
    if own_worker and own_worker.poll() is not None:
        raise NotFound(f"The worker ended with code {own_worker.returncode}; {services.settings.logs_dir / 'worker.log'} "
                       f"says why. {what} is still queued.")


def train_sweep(services, values: dict[str, Any], turn, wait: bool, as_json: bool) -> None:
    """Queue all runs of a sweep, watch them to the end, and compare them."""
    from jobs.forecast.keeping import wait_for_forecasts
    from jobs.sweep import submit_sweep, sweep_summary

    sweep = submit_sweep(services, values, submission_key=uuid.uuid4().hex, turn=turn)
    runs = services.sweeps.runs(sweep.id)
    if not wait:
        if as_json:
            print_json({"sweep_id": sweep.id, "runs": [run.id for run in runs]})
        else:
            out.print("\n".join([f"sweep {sweep.id}", *(run.id for run in runs)]), highlight=False)
        return
    with working(services, f"The sweep {sweep.id}") as own_worker:
        watch_sweep(services, sweep.id, own_worker)
        wait_for_forecasts(services, [run.id for run in runs])
    runs = services.sweeps.runs(sweep.id)
    print_sweep(sweep, runs)
    if as_json:
        print_json(sweep_summary(services, sweep.id))
    raise typer.Exit(0 if all(run.state in ("finished", "stopped") for run in runs) else 1)


def watch_sweep(services, sweep_id: str, own_worker: subprocess.Popen | None) -> None:
    """Show the progress over all runs until the last has ended."""
    from jobs.sweep import counts, progress_of

    told = set()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.1f}/{task.total:.0f} runs"),
               TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task("waiting", total=1)
        while True:
            runs = services.sweeps.runs(sweep_id)
            for run in runs:
                if run.state.is_end and run.id not in told:
                    told.add(run.id)
                    loss = "" if run.eval_loss is None else f", evaluation loss {run.eval_loss:.3f}"
                    progress.console.print(f"{run.name}: {run.state.value}{loss}", markup=False, highlight=False)
            description = ", ".join(f"{count} {state.value}" for state, count in counts(runs).items())
            progress.update(bar, description=description, completed=progress_of(runs) * len(runs), total=len(runs) or 1)
            if all(run.state.is_end for run in runs):
                return
            check_worker(services, own_worker, f"The rest of the sweep {sweep_id}")
            time.sleep(0.5)


def print_sweep(sweep, runs: list) -> None:
    from jobs import units
    from jobs.comparison import compare
    from jobs.sweep import best_first, best_of
    from jobs.sweep_plan import setting_name, value_text

    best, compared = best_of(sweep, runs), compare(sweep, runs)
    unbeaten = compared.unbeaten if compared else []
    table = Table(Column("run", no_wrap=True), *map(setting_name, sweep.varied), "state", "eval loss", "peak memory", "size",
                  "time", "", box=None)
    for run in best_first(runs):
        tried = (value_text(run.sweep_values[name]) if name in run.sweep_values else units.NOTHING for name in sweep.varied)
        table.add_row(run.id, *tried, run.state.value, units.figure(run.eval_loss), units.size(run.peak_memory_bytes),
                      units.size(run.checkpoint_bytes), units.duration(run.train_seconds),
                      "best" if best and run.id == best.id else "nobody beats it" if run.id in unbeaten else "")
    out.print(table)
