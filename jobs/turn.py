"""What a person wishes for a run's place in the queue. One schema for the page and the command line."""

import getpass
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, ValidationError

from jobs.places import local_places
from jobs.recipe import Schema, explain
from jobs.services import Services
from storage import records
from storage.problems import RecipeInvalid
from storage.records import Run

Priority = Literal["low", "normal", "high"]
TIME = "%Y-%m-%d %H:%M"
TIMES = (TIME, "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")


class Turn(Schema):
    priority: Priority = Field("normal", title="Priority",
                               description="High goes before all normal runs, low after them.")
    device: str = Field("", title="Device", description="Where to train. Any: wherever there is room first.")
    start_at: str = Field("", title="Not before",
                          description="A date and a time such as 2026-11-22 08:00, by the clock of the studio's machine. "
                                      "Empty: as soon as it is its turn.")
    hold: bool = Field(False, title="Hold", description="Keep it waiting until somebody releases it.")
    owner: str = Field("", max_length=60, title="Your name",
                       description="People with waiting runs take turns. This browser remembers the name.")


@dataclass(frozen=True)
class Wish:
    """A turn of which every part was found to be possible, as the queue keeps it."""

    priority: records.Priority
    wanted_device: str
    start_at: float | None  # None: at once
    held: bool
    owner: str


def read_turn(values: dict[str, Any]) -> Turn:
    """A turn from plain values; raises RecipeInvalid with every problem at once."""
    try:
        return Turn.model_validate(values)
    except ValidationError as error:
        raise RecipeInvalid(explain(error, Turn)) from error


def check_turn(services: Services, turn: Turn, device_before: str = "") -> Wish:
    """The turn as the queue keeps it; raises RecipeInvalid for a device that nobody offers and for a time that is none."""
    problems = []
    devices = offered_devices(services)
    if turn.device and turn.device not in [*devices, device_before]:
        problems.append(f"device is '{turn.device}', and no worker offers that. Choose one of {', '.join(devices)}, or leave "
                        "it empty for any.")
    at = _seconds(turn.start_at.strip(), problems)
    if problems:
        raise RecipeInvalid(problems)
    return Wish(records.Priority[turn.priority.upper()], turn.device, at if at and at > services.runs.clock() else None, turn.hold,
                turn.owner.strip())


def turn_of(run: Run) -> Turn:
    """The wishes of a run as they were told."""
    return Turn(priority=records.Priority(run.priority).name.lower(), device=run.wanted_device, hold=run.held, owner=run.owner,
                start_at=datetime.fromtimestamp(run.start_at).strftime(TIME) if run.start_at else "")


def offered_devices(services: Services) -> list[str]:
    """Places that the living workers train at; without a worker, those that one on this machine would offer."""
    places = dict.fromkeys(device for worker in services.workers.alive() for device in worker.devices)
    return list(places) or list(local_places(services.settings))


def system_user() -> str:
    """Whom a run from the command line belongs to; empty where the system knows no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


# ---- changing the place of a waiting run


def change_turn(services: Services, run_id: str, **wishes) -> Run:
    """Give a waiting run another priority, device, time or hold; what is not named stays. Raises RecipeInvalid."""
    run = services.runs.get(run_id)
    wish = check_turn(services, read_turn({**turn_of(run).model_dump(), **wishes}), run.wanted_device)
    run = services.queue.change(run_id, priority=wish.priority, held=wish.held, start_at=wish.start_at,
                                at_once=wish.start_at is None, wanted_device=wish.wanted_device)
    services.bell.ring_for_run(run_id)
    return run


def hold(services: Services, run_id: str, held: bool = True) -> Run:
    """Keep a waiting run from starting, or with `held=False` let it go on."""
    run = services.queue.change(run_id, held=held)
    if not held:
        services.bell.ring_for_run(run_id)
    return run


def _seconds(text: str, problems: list[str]) -> float | None:
    if not text:
        return None
    for form in TIMES:
        try:
            return datetime.strptime(text, form).timestamp()
        except (ValueError, OverflowError):
            continue
    problems.append(f"start_at is '{text}'. Give a date and a time such as 2026-11-22 08:00, or leave it empty.")
    return None
