"""runs queue, move, hold, release, change: the order of what waits."""

from typing import Annotated

import typer
from rich.table import Column, Table

from commands.console import AsJson, WishedDevice, WishedPriority, WishedStart, open_studio, out, print_json, told
from commands.lab_book import runs_app
from storage.problems import RecipeInvalid


@runs_app.command("queue")
def show_queue(as_json: AsJson = False) -> None:
    """What runs and what waits, in its order, with the expected start where it can be told."""
    from jobs.expected import queue_summary

    found = queue_summary(open_studio())
    if as_json:
        print_json(found)
        return
    if not found["running"] and not found["waiting"]:
        out.print("Nothing runs, and nothing waits.")
        return
    table = Table("place", Column("id", no_wrap=True), "name", "owner", "priority", "device", "step", "starts", box=None)
    for run in found["running"]:
        table.add_row("running", run["run_id"], run["name"], run["owner"], run["priority"], run["device"],
                      f"{run['step']}/{run['total_steps']}", "")
    for run in found["waiting"]:
        starts = "held" if run["held"] else run["expected_start"] or run["start_at"] or ""
        table.add_row(str(run["place"] or "-"), run["run_id"], run["name"], run["owner"], run["priority"], run["device"] or "any",
                      "", starts)
    out.print(table)


@runs_app.command("move")
def move_run(run_id: str, how: Annotated[str, typer.Argument(help="up, down or top.")], as_json: AsJson = False) -> None:
    """Move a waiting run past its neighbour, or before all others."""
    services = open_studio()
    if how not in ("up", "down", "top"):
        raise RecipeInvalid([f"A run cannot be moved '{how}'. Choose up, down or top."])
    services.queue.move(run_id, how)
    print_place(services, run_id, as_json)


@runs_app.command("hold")
def hold_run(run_id: str, as_json: AsJson = False) -> None:
    """Keep a waiting run from starting."""
    from jobs.turn import hold

    services = open_studio()
    hold(services, run_id)
    print_place(services, run_id, as_json)


@runs_app.command("release")
def release_run(run_id: str, as_json: AsJson = False) -> None:
    """Let a held run go on."""
    from jobs.turn import hold

    services = open_studio()
    hold(services, run_id, held=False)
    print_place(services, run_id, as_json)


@runs_app.command("change")
def change_run(run_id: str, priority: WishedPriority = None, device: WishedDevice = None, start_at: WishedStart = None,
               as_json: AsJson = False) -> None:
    """Give a waiting run another priority, device or time."""
    from jobs.turn import change_turn

    services = open_studio()
    change_turn(services, run_id, **told(priority=priority, device=device, start_at=start_at))
    print_place(services, run_id, as_json)


def print_place(services, run_id: str, as_json: bool) -> None:
    from jobs.expected import waiting_summary

    place = waiting_summary(services, run_id)
    if as_json:
        print_json(place)
    else:
        waits = f"number {place['place']} in the queue" if place["place"] else f"waits until {place['start_at']}"
        out.print(f"{place['name']}: {'held' if place['held'] else waits}", markup=False, highlight=False)
