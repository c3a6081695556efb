"""Workers die again and again: every run comes to one end, and trainers go on without them."""

import functools
import os
import random
import signal
import time

from jobs.processes import is_alive
from jobs.watchman import mark
from storage.leases import CRASHES_ALLOWED
from storage.records import Run, RunState
from tests.conftest import wait_for_end, wait_until
from tests.faults.checker import check
from tests.faults.conftest import wait_for
from tests.faults.record import full, record

SEED = 20261121


def test_no_run_is_lost_or_finished_twice_however_often_the_worker_is_killed(open_workshop):
    workshop = open_workshop(devices=("cpu:0", "cpu:1"))
    services = workshop.services
    chance = random.Random(SEED)
    runs, kills = (40, 50) if full() else (5, 4)
    survivors: set[tuple[str, int]] = set()
    killed_trainers: set[tuple[str, int]] = set()

    worker = workshop.start_worker()
    first = workshop.submit(max_steps=300, save_steps=20)
    accepted = [first.id]
    wait_until(services, first.id, lambda run: run.step > 1, 180)
    for number in range(kills):
        while len(accepted) < runs * (number + 1) / kills:
            accepted.append(workshop.submit(max_steps=chance.choice([20, 200, 600] if full() else [2, 20, 60]), save_steps=10).id)
        if number:  # the first time at once, while the first run is in its midst
            if full() and chance.random() < 0.5:  # else the worker mostly dies before torch is imported
                wait_for(functools.partial(a_trainer_is_new, services, survivors), 120, "a trainer starts")
            time.sleep(chance.uniform(0, 4 if full() else 1.5))
            if full() and chance.random() < 0.4:
                killed_trainers |= kill_a_trainer(services, chance, spared=first.id)
        workshop.kill_worker(worker)
        alive = living_trainers(services)
        survivors |= {(run.id, run.fence) for run in alive}
        if number == 0:
            goes_on_alone(services, alive)
        worker = workshop.start_worker()

    ended = [wait_for_end(services, run_id, 300) for run_id in accepted]
    assert [run.state for run in ended] == [RunState.FINISHED] * runs
    # nobody began anew what lived on: the attempt that a dead worker left brought the run to its end
    adopted = survivors - killed_trainers
    assert adopted and all(services.runs.get(run_id).fence == fence for run_id, fence in adopted)
    assert all(run.crashes < CRASHES_ALLOWED for run in ended)
    found = check(services)
    assert (found.runs, found.adapters, found.finished_twice) == (runs, runs, 0)
    record("F1 kills of the worker", kills=kills + len(killed_trainers), runs=runs, lost=runs - found.ended,
           finished_twice=found.finished_twice, adopted=len(adopted), attempts=sum(run.attempts for run in ended), seed=SEED)


def living_trainers(services) -> list[Run]:
    return [run for run in services.leases.running() if run.pid and is_alive(mark(run))]


def a_trainer_is_new(services, survivors: set[tuple[str, int]]) -> bool:
    """Whether one lives that no dead worker left; also when nothing waits that could become one."""
    return not services.queue.count() or any((run.id, run.fence) not in survivors for run in living_trainers(services))


def goes_on_alone(services, alive: list[Run]) -> None:
    """Trainers take further steps while no worker lives."""
    assert alive
    for run in alive:
        before = services.runs.get(run.id)
        wait_for(lambda: (now := services.runs.get(run.id)).state.is_end or now.step > before.step, 30, "a step")  # noqa: B023


def kill_a_trainer(services, chance: random.Random, spared: str) -> set[tuple[str, int]]:
    """Kill one that is at work, not so often that the run gives up; returns the attempts that ended so."""
    candidates = [run for run in living_trainers(services) if run.id != spared and run.crashes + 1 < CRASHES_ALLOWED]
    if not candidates:
        return set()
    run = chance.choice(candidates)
    os.kill(run.pid, signal.SIGKILL)
    return {(run.id, run.fence)}
