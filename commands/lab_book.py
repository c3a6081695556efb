"""runs: the lab book."""

import sys
import uuid
from typing import Annotated

import typer
from rich.table import Column, Table

from commands.console import AsJson, open_studio, out, print_json, print_summary

runs_app = typer.Typer(help="The lab book: list, show, stop, cancel, delete and restore runs.", invoke_without_command=True)


@runs_app.callback()
def runs(context: typer.Context, as_json: AsJson = False) -> None:
    if context.invoked_subcommand is None:
        list_runs(as_json=as_json)


@runs_app.command("list")
def list_runs(words: Annotated[str, typer.Argument(help="Words that the run's name, method or model holds.")] = "",
              as_json: AsJson = False) -> None:
    """All runs, newest first."""
    from jobs.summary import run_summary

    services = open_studio()
    found = services.runs.search(words)
    if as_json:
        print_json({"runs": [{"name": run.name, **run_summary(services, run)} for run in found]})
        return
    if not found:
        out.print("No runs yet. Train one on the page, or with python app.py train RECIPE.yaml.")
        return
    table = Table(Column("id", no_wrap=True), "name", "state", "base", "method", "eval loss", "peak memory", "forecast",
                  "seconds", box=None)
    for run in found:
        table.add_row(run.id, run.name, run.state.value, run.base_model, run.method,
                      "" if run.eval_loss is None else f"{run.eval_loss:.3f}",
                      "" if run.peak_memory_bytes is None else f"{run.peak_memory_bytes / 1e6:.0f} MB",
                      "" if run.forecast_memory_bytes is None else f"{run.forecast_memory_bytes / 1e6:.0f} MB",
                      "" if run.train_seconds is None else f"{run.train_seconds:.0f}")
    out.print(table)


@runs_app.command("show")
def show_run(run_id: str, as_json: AsJson = False) -> None:
    """A run's figures and its log; of a failed one also what to do next."""
    from jobs.failures import next_step
    from jobs.summary import run_summary

    services = open_studio()
    run = services.runs.get(run_id)
    if not as_json:
        for line in services.runs.log_lines(run_id):
            out.print(line.text, markup=False)
    summary = run_summary(services, run)
    print_summary(summary)
    if step := next_step(run):
        out.print(f"Next: {step}", markup=False, highlight=False)
    if as_json:
        print_json(summary)


@runs_app.command("stop")
def stop_run(run_id: str, as_json: AsJson = False) -> None:
    """End a run and keep what it learnt."""
    ask(run_id, "stop", as_json)


@runs_app.command("cancel")
def cancel_run(run_id: str, as_json: AsJson = False) -> None:
    """End a run and throw away what it learnt."""
    ask(run_id, "cancel", as_json)


def ask(run_id: str, request: str, as_json: bool) -> None:
    from jobs.summary import run_summary
    from storage.records import Request

    services = open_studio()
    run = services.queue.ask(run_id, Request(request))
    if as_json:
        print_json(run_summary(services, run))
    elif run.state.is_end:
        out.print(f"The run has ended: {run.state.value}.")
    else:
        out.print(f"Asked to {request}. python app.py runs show {run_id} tells when it has ended.")


@runs_app.command("resume")
def resume_run(
    run_id: str,
    epochs: Annotated[float | None, typer.Option(help="Go on until this many epochs, counted from the very beginning.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Go on until this step, counted from the very beginning.")] = None,
    as_json: AsJson = False,
) -> None:
    """Go on from an ended run's last checkpoint, as a new run; a finished one needs more epochs or steps than it had."""
    from jobs.continuing import continue_run
    from jobs.summary import run_summary

    services = open_studio()
    new = continue_run(services, run_id, epochs, max_steps, submission_key=uuid.uuid4().hex)
    out.print(f"Run {new.id} continues run {run_id} from step {new.step}.", highlight=False)
    print_summary(summary := run_summary(services, new))
    if as_json:
        print_json(summary)


@runs_app.command("delete")
def delete_run(
    run_id: str,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    for_good: Annotated[bool, typer.Option("--for-good", help="Remove the files at once; nothing can bring them back.")] = False,
) -> None:
    """Delete an ended run with its adapter; for a week, runs restore brings it back. In a terminal it asks first."""
    from jobs import housekeeping, units
    from storage.trash import UNDO_SECONDS

    services = open_studio()
    plan = housekeeping.plan_deletion(services, "run", run_id)
    days = UNDO_SECONDS // 86400
    for sentence in plan.depends:
        out.print(sentence, markup=False, highlight=False)
    out.print(f"{units.size(plan.bytes)} come back {'at once' if for_good else f'in {days} days'}.", highlight=False)
    if sys.stdin.isatty() and not yes and not typer.confirm(f"Delete '{plan.name}'{' for good' if for_good else ''}?"):
        raise typer.Exit(1)
    if services.runs.get(run_id).deleted_at is None:
        housekeeping.delete(services, "run", run_id)
    if for_good:
        housekeeping.delete_for_good(services, "run", run_id)
        out.print(f"Deleted {run_id} for good.")
    else:
        out.print(f"Deleted {run_id}. Until it is gone, python app.py runs restore {run_id} brings it back.")


@runs_app.command("restore")
def restore_run(run_id: str) -> None:
    """Bring a deleted run back, with its adapter."""
    from jobs import housekeeping

    housekeeping.restore(open_studio(), "run", run_id)
    out.print(f"Restored {run_id}.")
