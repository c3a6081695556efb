"""When waiting runs are expected to start, from nothing but what was measured. Where a figure is missing, no time is told."""

import time
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from jobs.services import Services
from storage.records import Priority, Request, Run

Place = tuple[str, str]  # a host and a device of it
LINE = 200  # waiting runs that are looked at, from the front


@dataclass(frozen=True)
class Expected:
    """What can be said of a waiting run."""

    place: int           # in the line, 1 is next; 0 for a run that is held back or waits for its time
    start: float | None  # seconds since 1970; None where something that it depends on was never measured


@dataclass(frozen=True)
class Pace:
    """What earlier runs took: seconds for each row that is seen once, and for all that is not training."""

    seconds_per_row: float
    overhead: float


Paces = dict[tuple[str, str, str], Pace]  # by base model, method and kind of device


def seconds_left(run: Run, now: float) -> float | None:
    """Of a running run's training, by the pace of this attempt; None until its first step is over."""
    done = run.step - run.training_since_step
    if run.training_since is None or done <= 0 or not run.total_steps:
        return None
    return (run.total_steps - run.step) * max(0, now - run.training_since) / done


def paces_of(ended: list[Run]) -> Paces:
    """The middle of what ended runs took. Only those count that were never interrupted: their times are whole."""
    measured: dict[tuple[str, str, str], list[Pace]] = {}
    for run in ended:
        rows = _rows_to_see(run) * run.step / run.total_steps if run.total_steps else 0
        if run.attempts == 1 and not run.continues and rows and run.train_seconds and run.finished_at and run.claimed_at:
            pace = Pace(run.train_seconds / rows, max(0.0, run.finished_at - run.claimed_at - run.train_seconds))
            measured.setdefault((run.base_model, run.method, _kind(run.device)), []).append(pace)
    return {key: Pace(median(pace.seconds_per_row for pace in paces), median(pace.overhead for pace in paces))
            for key, paces in measured.items()}


def duration(run: Run, device: str, paces: Paces) -> float | None:
    """Seconds that a waiting run will take on a device, less what its checkpoint has already; None: never measured."""
    pace = paces.get((run.base_model, run.method, _kind(device)))
    rows = _rows_to_see(run)
    return pace.overhead + pace.seconds_per_row * rows * (1 - _share_done(run, rows)) if pace and rows else None


@dataclass(frozen=True)
class Queue:
    """The queue at one moment: what runs, the front of the line, and what can be said of each run in it."""

    running: list[Run]
    waiting: list[Run]
    count: int  # of all that wait
    expected: dict[str, Expected]


def read_queue(services: Services, now: float) -> Queue:
    running = sorted(services.leases.running(), key=lambda run: run.claimed_at or 0)
    waiting = services.queue.waiting(LINE)
    count = len(waiting) if len(waiting) < LINE else services.queue.count()
    return Queue(running, waiting, count, read_expected(services, running, waiting, now) if waiting else {})


def expected_of(services: Services, run: Run, now: float) -> Expected:
    """Place and expected start of one waiting run; of one far back only the place."""
    return read_queue(services, now).expected.get(run.id) or Expected(services.queue.position(run), None)


def queue_summary(services: Services) -> dict:
    """The queue as `runs queue --json` prints it; times as the machine's clock shows them."""
    now = time.time()
    queue = read_queue(services, now)
    return {"running": [{**_wishes(run), "device": run.device, "step": run.step, "total_steps": run.total_steps,
                         "seconds_left": seconds_left(run, now)} for run in queue.running],
            "waiting": [_waiting_summary(run, queue.expected[run.id]) for run in queue.waiting], "waiting_count": queue.count}


def waiting_summary(services: Services, run_id: str) -> dict:
    """One waiting run as the queue's summary has it; raises NotFound."""
    run = services.runs.get(run_id)
    return _waiting_summary(run, expected_of(services, run, time.time()))


def _waiting_summary(run: Run, expected: Expected) -> dict:
    return {**_wishes(run), "device": run.wanted_device, "place": expected.place, "held": run.held,
            "start_at": _clock(run.start_at), "expected_start": _clock(expected.start)}


def _wishes(run: Run) -> dict:
    return {"run_id": run.id, "name": run.name, "owner": run.owner, "priority": Priority(run.priority).name.lower()}


def _clock(at: float | None) -> str | None:
    return datetime.fromtimestamp(at).isoformat(" ", "minutes") if at is not None else None


def read_expected(services: Services, running: list[Run], waiting: list[Run], now: float) -> dict[str, Expected]:
    """The expected start of every waiting run, by the workers that live and the lab book's figures."""
    places = [(worker.host, device) for worker in services.workers.alive() for device in worker.devices]
    ended = [run for model, method in {(run.base_model, run.method) for run in [*running, *waiting]}
             for run in services.runs.measured(model, method)]
    return expected_starts(running, waiting, places, paces_of(ended), now)


def expected_starts(running: list[Run], waiting: list[Run], places: list[Place], paces: Paces, now: float) -> dict[str, Expected]:
    """Place and start of every waiting run: the queue is played through, as the workers will take from it.

    `places` are those of the living workers. One whose next free moment is not known makes all unknown that it might take.
    """
    free: dict[Place, float | None] = dict.fromkeys(places, now)
    for run in running:
        if (run.host, run.device) in free:
            left = _left(run, paces, now)
            free[run.host, run.device] = None if left is None else now + left
    line = [run for run in waiting if not run.held and run.request != Request.STOP]
    starts = _play(line, free, paces, now)
    numbers = {run.id: number for number, run in enumerate((run for run in line if not _is_later(run, now)), start=1)}
    return {run.id: Expected(numbers.get(run.id, 0), starts.get(run.id)) for run in waiting}


def _play(line: list[Run], free: dict[Place, float | None], paces: Paces, now: float) -> dict[str, float]:
    starts: dict[str, float] = {}
    line = list(line)
    while line and (known := [(at, place) for place, at in free.items() if at is not None]):
        at, place = min(known)
        run = next((run for run in line if _may(run, place) and not _is_later(run, at)), None)
        if run is None:
            # nothing for this place now: on to the moment when the time of a run comes that it may take
            times = [run.start_at for run in line if _may(run, place)]
            if times:
                free[place] = min(times)
            else:
                del free[place]
            continue
        line.remove(run)
        suitable = [other for other in free if _may(run, other)]
        if any(free[other] is None for other in suitable):
            free.update(dict.fromkeys(suitable))  # it may land on any of these, at any time
            continue
        starts[run.id] = at
        takes = duration(run, place[1], paces)
        free[place] = None if takes is None else at + takes
    return starts


def _left(run: Run, paces: Paces, now: float) -> float | None:
    if run.request in (Request.STOP, Request.CANCEL):
        return 0
    left = seconds_left(run, now)
    if left is not None:
        return left
    takes = duration(run, run.device, paces)
    return None if takes is None else max(0.0, takes - (now - (run.claimed_at or now)))


def _rows_to_see(run: Run) -> float:
    """Rows of training data times epochs, or fewer where the steps are limited."""
    training = run.recipe.get("training", {})
    rows = run.data.get("train_rows", 0) * training.get("epochs", 0)
    limited = training.get("max_steps", 0) * _rows_of_a_step(training)
    return min(rows, limited) if limited and not training.get("packing") else rows


def _share_done(run: Run, rows: float) -> float:
    """What of a waiting run lies in its checkpoint."""
    if not run.checkpoint_step:
        return 0
    if run.total_steps:
        return min(1, run.checkpoint_step / run.total_steps)
    return min(1, run.checkpoint_step * _rows_of_a_step(run.recipe.get("training", {})) / rows)


def _rows_of_a_step(training: dict) -> int:
    return training.get("batch_size", 1) * training.get("accumulation", 1)


def _kind(device: str) -> str:
    return device.partition(":")[0]


def _may(run: Run, place: Place) -> bool:
    return run.wanted_device in ("", place[1])


def _is_later(run: Run, at: float) -> bool:
    return run.start_at is not None and run.start_at > at
