"""data, methods, models, generate, export and doctor."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from commands.console import AsJson, err, open_studio, out, print_json
from storage.problems import NotFound, RecipeInvalid
from storage.settings import StudioSettings

models_app = typer.Typer(help="The shelf of base models: list them, or get one from the Hub.", invoke_without_command=True)
app = typer.Typer()


@app.command()
def data(
    files: Annotated[list[Path], typer.Argument(help="Files or folders, or the id of data in the studio.")],
    task: str | None = None,
    base: Annotated[str, typer.Option(help="A base model, to count the rows in its tokens: a shelf name or a folder.")] = "",
    export_to: Annotated[Path | None, typer.Option("--export", help="Write all rows to this file, in the form that its name says: "
                                                                    ".jsonl, .csv (safe in a spreadsheet) or .parquet.")] = None,
    as_json: AsJson = False,
) -> None:
    """What the studio makes of data: its format, its columns, what is wrong with it."""
    files = data_files(files)
    if export_to:
        export_data(files, export_to, as_json)
        return
    from jobs.data import load_dataset, summary
    from jobs.data.findings import listed
    from jobs.data.health.check import check_now

    base_path = open_studio().shelf.resolve(base).path if base else ""
    loaded = load_dataset(files, task=task)
    with Progress(console=err, transient=True) as progress:
        bar = progress.add_task("checking", total=1)
        report = check_now(loaded, base_path=base_path,
                           on_progress=lambda phase, done: progress.update(bar, description=phase, completed=done))
    if as_json:
        print_json({**summary(loaded), "findings": [finding.sentence for finding in report.findings],
                    "report": report.model_dump(mode="json")})
        return
    out.print(f"{loaded.format}: {loaded.reason}", markup=False)
    out.print(f"{loaded.kept:,} of {loaded.rows:,} rows can be used.")
    for finding in report.findings:
        rows = [f"{row.file} {row.line:,}" for row in finding.rows]
        where = f" ({listed(rows, total=finding.count)})" if rows else ""
        out.print(f"- {finding.severity}: {finding.sentence}{where}", markup=False)
    if report.tokens and report.tokens.lengths:
        out.print(f"The longest row has {report.tokens.lengths[-1][0]:,} tokens of {report.tokens.base}. A length of "
                  f"{report.tokens.limit_for():,} would cut less than 1% of the rows.")


def data_files(names: list[Path]) -> list[Path]:
    """The files of data in the studio that is named by its id, or what was named as it is."""
    if len(names) > 1 or names[0].exists() or names[0].suffix or len(names[0].parts) > 1:
        return names
    from jobs.uploads import dataset_paths, find_dataset

    services = open_studio()
    dataset = find_dataset(services, str(names[0]))
    return dataset_paths(services, dataset) if dataset else names


def export_data(files: list[Path], target: Path, as_json: bool) -> None:
    from jobs.data import files_in
    from jobs.data.archives import unpacked
    from jobs.data.exporting import Export

    with unpacked([path for file in files for path in files_in(file)[0]]) as found:
        export = Export(found.files, target.suffix.lower().removeprefix("."))
        export.write(target)
    if as_json:
        print_json({"file": str(target), "format": export.format, "rows": export.rows, "unreadable": export.unreadable,
                    "bytes": target.stat().st_size})
        return
    out.print(f"{export.rows:,} rows are in {target}.", markup=False)
    if export.unreadable:
        lines, are = ("line", "is") if export.unreadable == 1 else ("lines", "are")
        out.print(f"{export.unreadable:,} broken {lines} could not be read and {are} not in it.")


@app.command()
def methods(
    name: Annotated[str, typer.Option("--try", help="Try this method on tiny models, and tell what it can do and what not.")] = "",
    as_json: AsJson = False,
) -> None:
    """The catalogue of methods, with their settings."""
    from jobs.methods import METHODS, describe, find_method

    if name:
        try_out(find_method(name), as_json)
        return
    described = [describe(method) for method in METHODS.values()]
    if as_json:
        print_json({"methods": described})
        return
    for method in described:
        out.print(f"[bold]{method['name']}[/bold]  {method['title']}: {method['summary']} {method['choose_when']}")
        for setting_name, setting in method["settings"].items():
            out.print(f"    {setting_name} = {setting.get('default')}   {setting.get('description', '')}", markup=False)


def try_out(method, as_json: bool) -> None:
    import tempfile

    from jobs.methods.trial import try_method

    if not method.peft_type:
        raise NotFound(f"{method.title} leaves no adapter that could be tried. python app.py methods lists those that do.")
    from jobs.training.workshop import Workshop  # imports torch

    with tempfile.TemporaryDirectory() as home:
        found = try_method(Workshop(Path(home)), method, say=lambda line: err.print(line, markup=False, highlight=False))
    if as_json:
        print_json({"name": method.name, "tried": found})
        return
    table = Table("ability", "", "why not", title=method.title, box=None)
    for ability, why in found.items():
        table.add_row(ability.replace("_", " "), "no" if why else "yes", why)
    out.print(table)


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


@app.command()
def generate(
    base: Annotated[str, typer.Option(help="The base model: a shelf name, a folder or a Hub id.")],
    prompt: Annotated[str, typer.Option(help="What to ask.")] = "",
    prompts: Annotated[Path | None, typer.Option(help="Ask every prompt of this file instead: one on each line of a text file, or "
                                                      "a column 'prompt' of a table.")] = None,
    to: Annotated[Path | None, typer.Option(help="With --prompts: write the answers to this file, .jsonl or .csv, a row for each "
                                                 "prompt.")] = None,
    adapter: Annotated[list[str], typer.Option(help="A run's id or an adapter's folder; several times for several.")] = [],
    max_new_tokens: int = 64, seed: int = 42, temperature: float = 0.0, top_p: float = 1.0,
    raw: Annotated[bool, typer.Option("--raw", help="Send the prompt as it is, without the chat template.")] = False,
    task: Annotated[int, typer.Option(help="As which of its tasks an adapter of several answers, from 0.")] = 0,
    as_json: AsJson = False,
) -> None:
    """The answers of a base model and of adapters on it, to one prompt or to a list of them."""
    from jobs.compare import answer_prompts, generate_answers

    settings = dict(max_new_tokens=max_new_tokens, seed=seed, temperature=temperature, top_p=top_p, raw=raw, task=task)
    if prompts:
        asked = prompts_to_ask(prompts, prompt, to)
        print_rows(answer_prompts(open_studio(), base, adapter, asked, settings), to, as_json)
        return
    if not prompt.strip():
        raise RecipeInvalid(["There is nothing to ask. Give --prompt, or a file of them with --prompts."])
    answers = generate_answers(open_studio(), base, adapter, prompt, settings)
    if as_json:
        print_json({"answers": answers})
        return
    print_answers(answers)


def prompts_to_ask(file: Path, prompt: str, to: Path | None) -> list[str]:
    from jobs.judging.prompt_list import read_prompts

    if prompt:
        raise RecipeInvalid(["--prompt and --prompts are both given. Give one of them."])
    if to and to.suffix.lower() not in (".jsonl", ".csv"):
        raise RecipeInvalid([f"--to is '{to}'. Give a file that ends in .jsonl or .csv."])
    if not file.is_file():
        raise NotFound(f"There is no file '{file}'. Give a text file with a prompt on each line, or a table with a column "
                       "'prompt'.")
    return read_prompts(file)


def print_rows(rows, to: Path | None, as_json: bool) -> None:
    from jobs.compare import write_table

    if to:
        count = write_table(rows, to)
        print_json({"file": str(to), "rows": count}) if as_json else out.print(f"The answers to {count:,} prompts are in {to}.")
        return
    made = []
    for row in rows:
        if as_json:
            made.append(row)
        else:
            out.print(f"> {row['prompt']}", markup=False, style="dim")
            print_answers(row["answers"])
    if as_json:
        print_json({"rows": made})


def print_answers(answers: list[dict]) -> None:
    for answer in answers:
        out.print(f"[bold]{answer['name']}[/bold]  ({answer['tokens']} tokens, {answer['seconds']:.1f} s)")
        out.print(answer["text"], markup=False)


@app.command()
def export(
    run_id: str,
    to: Annotated[Path, typer.Argument(help="A zip file to write, or a folder to put it in.")] = Path("."),
    to_hub: Annotated[str, typer.Option(help="Push it to this repository on the Hub instead, as org/name. "
                                             "Takes the token from HF_TOKEN, or asks for it.")] = "",
    public: Annotated[bool, typer.Option("--public", help="With --to-hub: a new repository is public.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a run's adapter out as a zip that works everywhere, or push it to the Hub."""
    if to_hub:
        from jobs.models.hub_push import push_adapter

        address = push_adapter(open_studio(), run_id, to_hub, hub_token(), private=not public)
        print_json({"run_id": run_id, "hub_address": address}) if as_json else out.print(address)
        return
    from jobs.export import copy_zip

    target = copy_zip(open_studio(), run_id, to)
    print_json({"run_id": run_id, "adapter_zip": str(target)}) if as_json else out.print(str(target))


def hub_token() -> str | None:
    """HF_TOKEN, or what the person types unseen. Never an option: a command line is in the list of processes and in histories."""
    token = os.environ.get("HF_TOKEN")
    if not token and sys.stdin.isatty():
        token = typer.prompt("Access token with write permission", hide_input=True, err=True)
    return token


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
