"""What all commands share: where they print, and how they open the studio."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from storage.settings import StudioSettings

out, err = Console(), Console(stderr=True)
AsJson = Annotated[bool, typer.Option("--json", help="End with one line of JSON on standard output.")]
WishedPriority = Annotated[str | None, typer.Option("--priority", help="low, normal or high: high goes before all others.")]
WishedDevice = Annotated[str | None, typer.Option("--device", help="Where to train, such as cuda:1; '' for any.")]
WishedStart = Annotated[str | None, typer.Option("--start-at", help="Not before then, such as '2026-11-22 08:00'; '' for none.")]


def open_studio():
    """The services on the settings of the environment."""
    from jobs.services import open_services

    return open_services(StudioSettings.from_env())


def print_json(values: dict) -> None:
    print(json.dumps(values, ensure_ascii=False, default=str), flush=True)


def told(**wishes: str | None) -> dict[str, str]:
    """What was said on the command line, without what was not."""
    return {name: value for name, value in wishes.items() if value is not None}


def print_summary(summary: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None)
    for name, value in summary.items():
        if value not in (None, "", {}):
            table.add_row(name.replace("_", " "), json.dumps(value) if isinstance(value, dict) else str(value))
    out.print(table)
