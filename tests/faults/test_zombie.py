"""A trainer that is stopped until another host has its run, and then goes on: it changes nothing, and ends by itself (F7)."""

import contextlib
import os
import signal
import socket
import time

import pytest

from jobs import trainers
from jobs.training.report import BEAT_SECONDS
from jobs.watchman import Watchman
from storage.database import connect
from storage.problems import DatabaseBusy
from storage.records import RunState
from tests.conftest import wait_for_end, wait_until
from tests.faults.checker import check
from tests.faults.record import full, record
from tests.jobs.test_watchman import Clock, watch
from tests.storage.older_database import everything

ROUNDS = 10 if full() else 1
LOST_LEASE = 3  # a trainer's exit code


def train_as(host: str, *arguments) -> None:
    """A trainer as it would be on another host: its lock on the run's folder is that host's."""
    socket.gethostname = lambda: host
    trainers._run_trainer(*arguments)


def start_trainer(services, host: str):
    """Claim the next run for a host and start its trainer; returns both."""
    run = services.leases.claim_next("cpu", host)
    process = trainers._context.Process(target=train_as, args=(host, run.id, run.fence, services.settings, time.monotonic()))
    process.start()
    return run, process


def stop_between_writes(services, pid: int) -> None:
    """SIGSTOP, but not while it holds the write lock: that would stop everybody."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        with contextlib.suppress(DatabaseBusy), connect(services.settings.database_url, patience=0.5).begin():
            return
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.05)


def files_of_others(run_dir, attempt: str) -> dict[str, bytes]:
    """Every file of a run but those of one attempt and the text log, into which both hosts' trainers write."""
    return {str(path.relative_to(run_dir)): path.read_bytes() for path in sorted(run_dir.rglob("*"))
            if path.is_file() and attempt not in path.parts and path.name != "log.txt"}


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_stalled_trainer_that_comes_back_changes_nothing_and_ends_within_a_heartbeat(workshop, number):
    services = workshop.services
    submitted = workshop.submit(max_steps=120, save_steps=10 - number % 5)
    run_dir = services.settings.runs_dir / submitted.id
    _, zombie = start_trainer(services, "host-a")
    try:
        left = wait_until(services, submitted.id, lambda run: run.checkpoint_step)
        stop_between_writes(services, zombie.pid)

        clock = Clock()
        assert watch(Watchman(services, "host-b", clock), clock, services.settings.lease_seconds + 4) == [left.id]
        run, successor = start_trainer(services, "host-b")
        assert run.fence == left.fence + 1
        behind = services.runs.get(run.id).checkpoint_step
        wait_until(services, run.id, lambda run: run.checkpoint_step > behind)
        stop_between_writes(services, successor.pid)

        record_before, files_before = everything(services.runs.engine), files_of_others(run_dir, "attempt-1")
        assert any("attempt-2" in name for name in files_before)
        began = time.monotonic()
        os.kill(zombie.pid, signal.SIGCONT)
        zombie.join(30)
        seconds = time.monotonic() - began
        assert zombie.exitcode == LOST_LEASE
        assert seconds < BEAT_SECONDS + 2, "a heartbeat, and the time of a busy machine to send it"
        assert everything(services.runs.engine) == record_before
        assert files_of_others(run_dir, "attempt-1") == files_before

        os.kill(successor.pid, signal.SIGCONT)
        ended = wait_for_end(services, run.id)
        successor.join(30)
    finally:
        zombie.kill()
    assert (ended.state, ended.attempts, ended.step, successor.exitcode) == (RunState.FINISHED, 2, 120, 0)
    assert check(services).finished_twice == 0
    record("F7 zombie", stalls=1, writes=0, seconds_to_end=round(seconds, 2), finished_twice=0)
