import subprocess
import sys

import pytest

from jobs.processes import mark_of
from jobs.watchman import ANSWER_SECONDS, START_SECONDS, Watchman
from storage.records import Request, RunState


class Clock:
    """A monotonic clock that goes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def watchman(services, clock):
    """On a host of its own, so that it knows the others only by their heartbeats."""
    return Watchman(services, "watchman's host", clock)


@pytest.fixture
def run(services):
    """A run whose trainer has said its number."""
    services.runs.submit(name="a run", task="text-generation", method="lora", base_model="demo-base", recipe={}, base={}, data={})
    run = services.leases.claim_next("cpu", "far away")
    services.leases.beat(run.id, run.fence, pid=4711)
    return run


def watch(watchman, clock, seconds: float, supervised=frozenset(), meanwhile=lambda: None) -> list[str]:
    """Look every two seconds, as a worker does; returns the ids that were taken back."""
    taken = []
    for _ in range(int(seconds / 2)):
        clock.now += 2
        meanwhile()
        taken += [run.id for run in watchman.look(set(supervised))]
    return taken


def test_a_trainer_that_is_silent_for_the_lease_is_taken_back_and_no_sooner(services, watchman, clock, run):
    lease = services.settings.lease_seconds
    assert watch(watchman, clock, lease) == []
    assert watch(watchman, clock, 4) == [run.id]
    assert services.runs.get(run.id).state == RunState.QUEUED
    assert "sign of life" in services.runs.log_lines(run.id)[-1].text


def test_a_trainer_that_beats_is_left_alone(services, watchman, clock, run):
    assert watch(watchman, clock, 300, meanwhile=lambda: services.leases.beat(run.id, run.fence)) == []


def test_a_request_without_an_answer_is_no_longer_waited_for(services, watchman, clock, run):
    services.queue.ask(run.id, Request.CANCEL)

    def beat():
        services.leases.beat(run.id, run.fence)

    assert watch(watchman, clock, ANSWER_SECONDS, meanwhile=beat) == []
    assert watch(watchman, clock, 4, meanwhile=beat) == [run.id]
    assert services.runs.get(run.id).state == RunState.CANCELLED


def test_a_trainer_has_longer_to_say_its_first_word(services, watchman, clock):
    services.runs.submit(name="a run", task="text-generation", method="lora", base_model="demo-base", recipe={}, base={}, data={})
    run = services.leases.claim_next("cpu", "far away")
    assert watch(watchman, clock, max(START_SECONDS, services.settings.lease_seconds)) == []
    assert watch(watchman, clock, 4) == [run.id]


def test_a_machine_that_stood_still_takes_nobodys_run(services, watchman, clock, run):
    watch(watchman, clock, 10)
    clock.now += 3600  # the watchman slept, and so did the trainer
    assert watch(watchman, clock, 2) == []
    services.leases.beat(run.id, run.fence)
    assert watch(watchman, clock, services.settings.lease_seconds) == []


def test_while_the_database_is_locked_nobody_counts_as_silent(services, clock, run, monkeypatch):
    watchman = Watchman(services, "watchman's host", clock)
    watch(watchman, clock, 10)
    wait = services.leases.wait_for_writers

    def wait_long(seconds):
        wait(seconds)
        clock.now += 600

    monkeypatch.setattr(services.leases, "wait_for_writers", wait_long)
    assert watch(watchman, clock, 2) == []
    monkeypatch.undo()
    assert watch(watchman, clock, services.settings.lease_seconds - 12) == []
    assert watch(watchman, clock, 6) == [run.id], "the time before the lock counts"


def test_a_process_that_is_gone_is_missed_at_the_second_look_and_one_that_a_thread_watches_is_not(services, clock):
    services.runs.submit(name="a run", task="text-generation", method="lora", base_model="demo-base", recipe={}, base={}, data={})
    run = services.leases.claim_next("cpu", "here")
    trainer = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = mark_of(trainer.pid)
    services.leases.beat(run.id, run.fence, pid=mark.pid, process_started_at=mark.started_at, boot_id=mark.boot_id)
    watchman = Watchman(services, "here", clock)
    assert watch(watchman, clock, 10) == []
    trainer.communicate(b"\n")
    assert watch(watchman, clock, 10, supervised={run.id}) == []
    assert watch(watchman, clock, 2) == []
    assert watch(watchman, clock, 2) == [run.id]
    assert services.runs.get(run.id).crashes == 1


def test_a_run_is_not_blamed_for_a_worker_that_went_before_its_trainer_began(services, clock):
    services.runs.submit(name="a run", task="text-generation", method="lora", base_model="demo-base", recipe={}, base={}, data={})
    run = services.leases.claim_next("cpu", "here", "a worker that has gone")
    assert watch(Watchman(services, "here", clock), clock, 4) == [run.id]
    back = services.runs.get(run.id)
    assert (back.state, back.crashes) == (RunState.QUEUED, 0)


def test_a_run_that_is_cancelled_before_its_trainer_has_started_ends_at_the_next_look(services, watchman, clock):
    services.runs.submit(name="a run", task="text-generation", method="lora", base_model="demo-base", recipe={}, base={}, data={})
    run = services.leases.claim_next("cpu", "far away")
    services.queue.ask(run.id, Request.CANCEL)
    assert watch(watchman, clock, 2) == [run.id]
    assert services.runs.get(run.id).state == RunState.CANCELLED


def test_a_trainer_that_stands_still_in_the_middle_of_a_write_is_ended_so_that_others_can_write(services, watchman):
    writes = ("import os, signal, sqlite3, sys; connection = sqlite3.connect(sys.argv[1], isolation_level=None);"
              "connection.execute('BEGIN IMMEDIATE'); print('writing', flush=True); os.kill(os.getpid(), signal.SIGSTOP)")
    services.runs.submit(name="a run", task="text-generation", method="lora", base_model="demo-base", recipe={}, base={}, data={})
    run = services.leases.claim_next("cpu", watchman.host)
    trainer = subprocess.Popen([sys.executable, "-c", writes, services.settings.home / "studio.db"], start_new_session=True,
                               stdout=subprocess.PIPE, text=True)
    mark = mark_of(trainer.pid)
    services.leases.beat(run.id, run.fence, pid=mark.pid, process_started_at=mark.started_at, boot_id=mark.boot_id)
    assert trainer.stdout.readline() == "writing\n"
    watchman.look({run.id})
    assert trainer.wait(timeout=60) == -9
    assert services.queue.ask(run.id, Request.CANCEL).request == Request.CANCEL
