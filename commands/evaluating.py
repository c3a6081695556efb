"""Whether an adapter is any good: measured against its base model, and judged by limits."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from commands.console import AsJson, err, open_studio, out, print_json
from storage.problems import RecipeInvalid

app = typer.Typer()
COLOURS = {True: "green", False: "red", None: "yellow"}


@app.command()
def evaluate(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The id of a run that left an adapter.")],
    wanted: Annotated[Path | None, typer.Option(help="What to measure and what to ask for, a YAML file: prompts with expected "
                                                     "content, the same question in different words, limits.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:0, …")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure an adapter beside its base model, and give it a certificate, which travels in its zip. Ends with 1 where it fails."""
    from jobs.certificate.certifying import certify_here
    from jobs.certificate.judge import verdict
    from jobs.certificate.wanted import Wanted, read_wanted_file

    if device not in ("auto", "cpu") and not device.startswith("cuda"):
        raise RecipeInvalid([f"--device is '{device}'. Choose auto, cpu or a GPU such as cuda:0."])
    asked = read_wanted_file(wanted) if wanted else Wanted()
    services = open_studio()
    with Progress(console=err, transient=True) as progress:
        bar = progress.add_task("loading", total=1)
        made = certify_here(services, run_id, asked, device,
                            lambda phase, done: progress.update(bar, description=phase, completed=done))
    table = Table("check", "", "what was measured", title=f"{made.report['name']}: {verdict(made.passed)}", box=None)
    for check in made.report["checks"]:
        colour = COLOURS[check["passed"]]
        table.add_row(check["title"], f"[{colour}]{verdict(check['passed'])}[/{colour}]", check["words"].replace("[", "\\["))
    out.print(table)
    if as_json:
        adapter = services.adapters.get(run_id)
        print_json({"run_id": run_id, "passed": made.passed, "checks": made.report["checks"], "figures": made.report["figures"],
                    "answers": made.report["answers"], "seconds": made.report["seconds"],
                    "adapter_dir": str(services.settings.adapters_dir / adapter.folder),
                    "adapter_zip": str(services.settings.adapters_dir / adapter.zip_name)})
    raise typer.Exit(0 if made.passed else 1)
