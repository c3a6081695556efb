"""A cancel or a stop frees the device within 20 s, whatever the trainer is doing, and nothing starts the run again."""

import os
import signal
import time

import pytest

from jobs.checkpoints import MANIFEST
from jobs.turn import Turn
from jobs.worker import RECONCILE_SECONDS
from storage.records import Request, RunState
from tests.conftest import wait_until
from tests.faults.checker import check, trainers_of
from tests.faults.conftest import wait_for
from tests.faults.record import full, record

PROMISE = 20  # seconds
ended: dict[str, int] = {}  # attempts of every cancelled run, at its end


class Asked:
    """A run of which something was asked just now."""

    def __init__(self, workshop, run, request: Request):
        self.services, self.run_id = workshop.services, run.id
        self.services.queue.ask(run.id, request)
        self.at = time.monotonic()

    def ends(self, state: RunState) -> float:
        """Wait for the end and an empty process group; returns the seconds that they took."""
        wait_until(self.services, self.run_id, lambda run: run.state == state, PROMISE - (time.monotonic() - self.at))
        wait_for(lambda: not trainers_of(self.services, self.run_id), PROMISE - (time.monotonic() - self.at), "no process is left")
        if state == RunState.CANCELLED:
            ended[self.run_id] = self.services.runs.get(self.run_id).attempts
        return time.monotonic() - self.at


def queued(workshop):
    return workshop.submit(Turn(hold=True))


def starting(workshop):
    run = workshop.submit()
    return wait_until(workshop.services, run.id, lambda run: run.state == RunState.RUNNING)


def in_a_step(workshop):
    run = workshop.submit(max_steps=3000)
    return wait_until(workshop.services, run.id, lambda run: run.phase == "training" and run.step > 0)


def in_a_save(workshop):
    run = workshop.submit(max_steps=3000, save_steps=1)
    folder = workshop.services.settings.runs_dir / run.id / "checkpoints"
    wait_for(lambda: any(not (path / MANIFEST).exists() for path in folder.glob("attempt-*/checkpoint-*")), 60, "a save begins")
    return run


@pytest.mark.parametrize("moment", [queued, starting, in_a_step, in_a_save])
def test_a_cancelled_run_is_gone_within_20_seconds(busy_workshop, moment):
    times = 10 if full() else 1
    seconds = [Asked(busy_workshop, moment(busy_workshop), Request.CANCEL).ends(RunState.CANCELLED) for _ in range(times)]
    record(f"F8 cancels: {moment.__name__.replace('_', ' ')}", runs=times, lost=0, longest_seconds=round(max(seconds), 1))


def test_a_stopped_run_keeps_what_it_learnt_within_20_seconds(busy_workshop):
    times = 10 if full() else 1
    seconds = []
    for _ in range(times):
        asked = Asked(busy_workshop, in_a_step(busy_workshop), Request.STOP)
        seconds.append(asked.ends(RunState.STOPPED))
        assert busy_workshop.services.adapters.find(asked.run_id)
    record("F8 stops", runs=times, lost=0, longest_seconds=round(max(seconds), 1))


def test_a_trainer_that_does_not_answer_is_ended_and_what_its_checkpoint_holds_is_kept(busy_workshop):
    services, times, seconds = busy_workshop.services, 5 if full() else 1, []
    for _ in range(times):
        runs = [busy_workshop.submit(max_steps=3000, save_steps=2) for _ in range(4 if full() else 2)]
        for run in runs:
            run = wait_until(services, run.id, lambda run: run.checkpoint_step is not None and run.pid)
            os.kill(run.pid, signal.SIGSTOP)
        stops, cancels = runs[::2], runs[1::2]
        asked = ([(Asked(busy_workshop, run, Request.STOP), RunState.STOPPED) for run in stops]
                 + [(Asked(busy_workshop, run, Request.CANCEL), RunState.CANCELLED) for run in cancels])
        seconds += [one.ends(state) for one, state in asked]
        assert all(services.adapters.find(run.id) for run in stops)
    record("F8 trainers that do not answer", kills=len(seconds), runs=len(seconds), lost=0, longest_seconds=round(max(seconds), 1))


def test_no_cancelled_run_has_started_again(busy_workshop):
    time.sleep(RECONCILE_SECONDS + 0.5)  # a look at which the last one would be started again
    runs = busy_workshop.services.runs.search(states=["cancelled"], limit=1000)
    assert {run.id: run.attempts for run in runs} == ended
    check(busy_workshop.services)
