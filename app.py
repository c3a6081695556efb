"""The front door: the command line, and the place where the pieces are put together."""

import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from storage.problems import NotFound, RecipeInvalid, StudioError
from storage.settings import StudioSettings

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # no word to anybody about what is done here

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Adapter Studio: fine-tune a model, watch it learn, compare it, take it with you.")
runs_app = typer.Typer(help="The lab book: list, show, stop, cancel and delete runs.", invoke_without_command=True)
models_app = typer.Typer(help="The shelf of base models: list them, or get one from the Hub.", invoke_without_command=True)
app.add_typer(runs_app, name="runs")
app.add_typer(models_app, name="models")

WORKER_DELAY = 2  # seconds

out, err = Console(), Console(stderr=True)
AsJson = Annotated[bool, typer.Option("--json", help="End with one line of JSON on standard output.")]


def open_studio():
    """The services on the settings of the environment."""
    from jobs.services import open_services

    return open_services(StudioSettings.from_env())


def print_json(values: dict) -> None:
    print(json.dumps(values, ensure_ascii=False, default=str), flush=True)


# ---- serving


@app.command()
def serve(with_worker: Annotated[bool, typer.Option("--with-worker", help="Start a worker beside the page.")] = False) -> None:
    """Serve the page, until Ctrl-C."""
    settings = StudioSettings.from_env()
    # uvicorn passes the signal on once it has closed; SIGTERM's own default would end us with the worker still there
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    workers: list[subprocess.Popen] = []
    # later, since its imports would take the cores that the page needs to come up
    soon = threading.Timer(WORKER_DELAY, lambda: workers.append(start_worker(settings)))

    def ready() -> None:
        out.print(f"Adapter Studio is ready: [bold]http://{settings.host}:{settings.port}[/bold]   (Ctrl-C stops it)")
        if with_worker:
            soon.start()

    try:
        serve_page(settings, ready)
    except KeyboardInterrupt:
        out.print("Stopping. A run in progress saves its state and goes on at the next start." if workers else "Stopping.")
    finally:
        soon.cancel()
        for worker in workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGINT)
                worker.wait()


def serve_page(settings: StudioSettings, ready: Callable[[], None]) -> None:
    """The web process: quick to start, free of torch. Calls `ready` once it answers; ends with KeyboardInterrupt."""
    gc.disable()  # imports make a million objects that all stay; looking through them again and again takes 0.3 s
    import uvicorn

    from jobs.services import open_services
    from studio.web import create_web_app

    web = create_web_app(open_services(settings))

    class Server(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets)
            gc.freeze()
            gc.enable()
            if self.started:
                ready()

        async def shutdown(self, sockets=None):
            # an open page holds a stream open; that it is cut off now is no error to report
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            await super().shutdown(sockets)

    Server(uvicorn.Config(web, host=settings.host, port=settings.port, log_level="warning", timeout_graceful_shutdown=1)).run()


@app.command()
def worker() -> None:
    """Work through the queue, until Ctrl-C (runs pause at a checkpoint) or SIGTERM (runs go on by themselves)."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("huey").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from jobs.worker import Worker

    Worker(StudioSettings.from_env()).run()


def start_worker(settings: StudioSettings) -> subprocess.Popen:
    """A worker of our own; in its own session, so that a Ctrl-C meant for us does not reach it twice."""
    settings.make_folders()
    with (settings.logs_dir / "worker.log").open("a") as log:
        return subprocess.Popen([sys.executable, __file__, "worker"], start_new_session=True, stdin=subprocess.DEVNULL,
                                stdout=log, stderr=log)


# ---- training


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.")],
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Watch to the end, or queue it and return its id.")] = True,
    as_json: AsJson = False,
) -> None:
    """Train by a recipe: the same queue and the same record as the page."""
    from jobs.recipe_reader import read_recipe_file
    from jobs.submit import submit
    from jobs.summary import run_summary

    services = open_studio()
    run = submit(services, read_recipe_file(recipe), submission_key=uuid.uuid4().hex)
    if not wait:
        print_json({"run_id": run.id, "status": run.state.value}) if as_json else out.print(run.id)
        return
    own_worker = None if services.workers.alive() else start_worker(services.settings)
    try:
        run = watch(services, run.id, own_worker)
    except KeyboardInterrupt:
        err.print(f"The run {run.id} " + ("pauses, and goes on with the next worker." if own_worker else "goes on without us."))
        raise typer.Exit(130) from None
    finally:
        if own_worker:
            own_worker.send_signal(signal.SIGINT)
            own_worker.wait()
    summary = run_summary(services, services.runs.get(run.id))
    print_summary(summary)
    if as_json:
        print_json(summary)
    raise typer.Exit(0 if summary["status"] in ("finished", "stopped") else 1)


def watch(services, run_id: str, own_worker: subprocess.Popen | None):
    """Show a run's progress until its end. Ctrl-C leaves it: with a worker of our own it pauses, else it goes on."""
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
            if own_worker and own_worker.poll() is not None:
                raise NotFound(f"The worker ended with code {own_worker.returncode}; {services.settings.logs_dir / 'worker.log'} "
                               f"says why. The run {run_id} is still queued.")
            time.sleep(0.5)


def print_summary(summary: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None)
    for name, value in summary.items():
        if value not in (None, "", {}):
            table.add_row(name.replace("_", " "), json.dumps(value) if isinstance(value, dict) else str(value))
    out.print(table)


# ---- the lab book


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
    table = Table(Column("id", no_wrap=True), "name", "state", "base", "method", "eval loss", "peak memory", "seconds", box=None)
    for run in found:
        table.add_row(run.id, run.name, run.state.value, run.base_model, run.method,
                      "" if run.eval_loss is None else f"{run.eval_loss:.3f}",
                      "" if run.peak_memory_bytes is None else f"{run.peak_memory_bytes / 1e6:.0f} MB",
                      "" if run.train_seconds is None else f"{run.train_seconds:.0f}")
    out.print(table)


@runs_app.command("show")
def show_run(run_id: str, as_json: AsJson = False) -> None:
    """A run's figures and its log."""
    from jobs.summary import run_summary

    services = open_studio()
    run = services.runs.get(run_id)
    if not as_json:
        for line in services.runs.log_lines(run_id):
            out.print(line.text, markup=False)
    summary = run_summary(services, run)
    print_summary(summary)
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
    run = services.runs.ask(run_id, Request(request))
    if as_json:
        print_json(run_summary(services, run))
    elif run.state.is_end:
        out.print(f"The run has ended: {run.state.value}.")
    else:
        out.print(f"Asked to {request}. python app.py runs show {run_id} tells when it has ended.")


@runs_app.command("delete")
def delete_run(run_id: str) -> None:
    """Forget an ended run, with its adapter and its files."""
    from jobs.summary import delete_run_and_files

    delete_run_and_files(open_studio(), run_id)
    out.print(f"Deleted {run_id}.")


# ---- data, methods, models


@app.command()
def data(files: Annotated[list[Path], typer.Argument(help="Files or folders.")], task: str | None = None,
         as_json: AsJson = False) -> None:
    """What the studio makes of data: its format, its columns, what is wrong with it."""
    from jobs.data import load_dataset, summary

    loaded = load_dataset(files, task=task)
    found = summary(loaded)
    if as_json:
        print_json(found)
        return
    out.print(f"{found['format']}: {loaded.reason}", markup=False)
    out.print(f"{found['kept']:,} of {found['rows']:,} rows can be used.")
    for finding in found["findings"]:
        out.print(f"- {finding}", markup=False)


@app.command()
def methods(as_json: AsJson = False) -> None:
    """The catalogue of methods, with their settings."""
    from jobs.methods import METHODS, describe

    described = [describe(method) for method in METHODS.values()]
    if as_json:
        print_json({"methods": described})
        return
    for method in described:
        out.print(f"[bold]{method['name']}[/bold]  {method['title']}: {method['summary']} {method['choose_when']}")
        for name, setting in method["settings"].items():
            out.print(f"    {name} = {setting.get('default')}   {setting.get('description', '')}", markup=False)


@models_app.callback()
def models(context: typer.Context, as_json: AsJson = False) -> None:
    if context.invoked_subcommand is None:
        list_models(as_json=as_json)


@models_app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """The base models on this machine."""
    entries = open_studio().shelf.list()
    if as_json:
        print_json({"models": [{"name": entry.name, "path": str(entry.path), "problem": entry.problem,
                                **(vars(entry.facts) if entry.facts else {})} for entry in entries]})
        return
    table = Table("name", "parameters", "layers", "context", "licence", "note", box=None)
    for entry in entries:
        facts = entry.facts
        table.add_row(entry.name, *((f"{facts.parameters:,}", str(facts.layers or ""), str(facts.context_length or ""),
                                     facts.licence or "not stated") if facts else ("", "", "", "")), entry.problem or "")
    out.print(table)


@models_app.command("get")
def get_model(hub_id: Annotated[str, typer.Argument(help="A Hub id, for example org/name or org/name@revision.")]) -> None:
    """Download a base model from the Hub; goes on where an earlier try was cut."""
    from jobs.models.hub import download

    settings = StudioSettings.from_env()
    settings.make_folders()
    with Progress(console=err) as progress:
        bar = progress.add_task(hub_id, total=None)
        folder = download(hub_id, settings.models_dir, token=os.environ.get("HF_TOKEN"),
                          on_progress=lambda done, total: progress.update(bar, completed=done, total=total))
    out.print(f"{hub_id} is on the shelf: {folder}")


@models_app.command("add")
def add_model(folder: Path) -> None:
    """Put a folder with a model on the shelf, where it lies."""
    out.print(f"{open_studio().shelf.add_folder(folder).name} is on the shelf.")


# ---- using and exporting


@app.command()
def generate(
    base: Annotated[str, typer.Option(help="The base model: a shelf name, a folder or a Hub id.")],
    prompt: Annotated[str, typer.Option(help="What to ask.")],
    adapter: Annotated[list[str], typer.Option(help="A run's id or an adapter's folder; several times for several.")] = [],
    max_new_tokens: int = 64, seed: int = 42, temperature: float = 0.0, top_p: float = 1.0,
    raw: Annotated[bool, typer.Option("--raw", help="Send the prompt as it is, without the chat template.")] = False,
    as_json: AsJson = False,
) -> None:
    """The answers of a base model and of adapters on it, to one prompt."""
    from jobs.compare import generate_answers

    answers = generate_answers(open_studio(), base, adapter, prompt, dict(
        max_new_tokens=max_new_tokens, seed=seed, temperature=temperature, top_p=top_p, raw=raw))
    if as_json:
        print_json({"answers": answers})
        return
    for answer in answers:
        out.print(f"[bold]{answer['name']}[/bold]  ({answer['tokens']} tokens, {answer['seconds']:.1f} s)")
        out.print(answer["text"], markup=False)


@app.command()
def export(run_id: str, to: Annotated[Path, typer.Argument(help="A zip file to write, or a folder to put it in.")] = Path("."),
           as_json: AsJson = False) -> None:
    """Copy a run's adapter out as a zip that works everywhere."""
    from jobs.export import copy_zip

    target = copy_zip(open_studio(), run_id, to)
    print_json({"run_id": run_id, "adapter_zip": str(target)}) if as_json else out.print(str(target))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check this machine and this installation, and say what to mend."""
    from jobs.doctor import check_machine

    findings = check_machine(StudioSettings.from_env())
    if as_json:
        print_json({"ok": all(finding.ok for finding in findings), "checks": [vars(finding) for finding in findings]})
    else:
        for finding in findings:
            out.print(f"{'[green]ok  [/green]' if finding.ok else '[red]mend[/red]'} {finding.what}: ", end="")
            out.print(finding.text, markup=False, highlight=False)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


def main() -> None:
    """Known problems become a sentence and exit code 2; unknown ones keep their traceback."""
    try:
        app()
    except RecipeInvalid as problem:
        for sentence in problem.problems:
            err.print(sentence, style="red", markup=False, highlight=False)
        sys.exit(2)
    except StudioError as problem:
        err.print(str(problem), style="red", markup=False, highlight=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
