"""The queue as the Runs page shows it: what runs, what waits, and why nothing starts."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs import units
from jobs.expected import Expected, Queue, seconds_left
from jobs.services import Services
from jobs.uploads import check_free_space
from storage.problems import DiskFull
from storage.records import Phase, Priority, Request, Run, RunState
from studio.render import render
from studio.text import say

SOON = 30  # seconds: nearer than that nobody plans by the clock
CLOCK = "%H:%M"


@dataclass(frozen=True)
class Doing:
    """What the person is in the middle of: a run to cancel if they are sure, or a problem to read."""

    asking: str = ""
    problem: str = ""


@dataclass(frozen=True)
class QueueRow:
    """One run in the queue, as text."""

    id: str
    name: str
    state: str
    place: str
    note: str  # whose it is
    when: str  # how far it is, or when it should start
    share: float | None  # of a running one; None: unknown
    badges: tuple[str, ...]
    priority: str
    device: str
    asks: tuple[str, ...]  # what its buttons ask for


def queue_section(queue: Queue, why: str, doing: Doing, now: float) -> str:
    """The section above the lab book; empty where nothing runs or waits."""
    if not queue.running and not queue.waiting:
        return ""
    rows = [running_row(run, now) for run in queue.running]
    last = len(queue.waiting) - 1
    rows += [waiting_row(run, queue.expected[run.id], now, first=number == 0, last=number == last == queue.count - 1)
             for number, run in enumerate(queue.waiting)]
    return render("queue.html", rows=rows, why=why, doing=doing, running=len(queue.running), count=queue.count,
                  more=queue.count - len(queue.waiting))


def running_row(run: Run, now: float) -> QueueRow:
    asks = {Request.CANCEL: (), Request.STOP: ("cancel",)}.get(run.request, ("stop", "cancel"))
    return QueueRow(
        id=run.id, name=run.name, state=run.state, place="", note=run.owner, when=running_words(run, now),
        share=run.step / run.total_steps if run.total_steps else None, badges=(), priority="", device=run.device, asks=asks)


def running_words(run: Run, now: float) -> str:
    """How far a running run is, in a few words."""
    if run.request in (Request.STOP, Request.CANCEL):
        return say(f"queue.{run.request}_asked")
    if run.phase != Phase.TRAINING or not run.total_steps:
        return say(f"queue.phase.{run.phase or Phase.PREPARING}")
    left = seconds_left(run, now)
    steps = units.share(run.step, run.total_steps)
    return say("queue.left", share=steps, time=units.duration(calm(left))) if left is not None else steps


def waiting_row(run: Run, expected: Expected, now: float, first: bool = False, last: bool = False) -> QueueRow:
    moves = ((() if first else ("up", "top")), (() if last else ("down",)))
    return QueueRow(
        id=run.id, name=run.name, state=run.state, place=str(expected.place) if expected.place else "", note=run.owner,
        when=start_words(expected, now), share=None, badges=badges(run, now),
        priority=say(f"choice.{Priority(run.priority).name.lower()}"), device=run.wanted_device,
        asks=(*moves[0], *moves[1], "release" if run.held else "hold", "cancel"))


def badges(run: Run, now: float) -> tuple[str, ...]:
    """What holds a waiting run back."""
    held = [say("queue.held")] if run.held else []
    later = [say("queue.later", time=clock(run.start_at, now))] if run.start_at and run.start_at > now else []
    saving = [say("queue.saving")] if run.request == Request.STOP else []
    return (*held, *later, *saving)


def start_words(expected: Expected, now: float) -> str:
    """When a run should start; empty where nothing that was measured tells it."""
    if expected.start is None:
        return ""
    if expected.start - now < SOON:
        return say("queue.soon")
    return say("queue.about", time=clock(calm_moment(expected.start, now), now))


def clock(at: float, now: float) -> str:
    """A time of the day, with the day where it is not today."""
    moment, today = datetime.fromtimestamp(at), datetime.fromtimestamp(now).date()
    if moment.date() == today:
        return moment.strftime(CLOCK)
    if moment.date() == today + timedelta(days=1):
        return say("queue.tomorrow", time=moment.strftime(CLOCK))
    return moment.strftime(f"%Y-%m-%d {CLOCK}")


def calm_moment(at: float, now: float) -> float:
    """A moment rounded to what an estimate can know, so that the table need not be sent again and again."""
    away = at - now
    unit = 60 if away < 600 else 300 if away < 3 * 3600 else 900
    return round(at / unit) * unit


def why_nothing_starts(services: Services, waiting: list[Run], now: float) -> str:
    """What keeps all of these waiting runs from starting; empty where one starts as soon as there is a device."""
    if not waiting:
        return ""
    workers = services.workers.alive()
    if not workers:
        return say("worker.missing")
    try:
        check_free_space(services, 0)
    except DiskFull as problem:
        return say("queue.disk", problem=problem)
    ready = [run for run in waiting if not badges(run, now)]
    if not ready:
        return say("queue.all_held")
    offered = {device for worker in workers for device in worker.devices}
    if all(run.wanted_device and run.wanted_device not in offered for run in ready):
        return say("queue.no_device", device=ready[0].wanted_device, offered=", ".join(sorted(offered)))
    return ""


def calm(seconds: float) -> float:
    """Rounded to what an estimate can know, so that the number does not flicker."""
    unit = 1 if seconds < 20 else 5 if seconds < 120 else 60 if seconds < 7200 else 600
    return max(1, round(seconds / unit)) * unit


def asks_first(run: Run) -> bool:
    """Whether cancelling a run would throw something away that was learnt."""
    return run.state == RunState.RUNNING or run.checkpoint_step is not None
