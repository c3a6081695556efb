"""The database is locked by somebody else; the studio is upgraded over what an older one, a reboot or a kill left."""

import json
import multiprocessing
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import psutil
import pytest
from sqlalchemy import event

from jobs.processes import ProcessMark, boot_id, mark_of
from jobs.services import open_services
from jobs.training.report import Report
from jobs.watchman import Watchman
from storage.database import connect, migrate
from storage.problems import DatabaseBusy
from storage.records import Phase, RunState
from tests.conftest import wait_for_end, wait_until
from tests.faults.checker import check
from tests.faults.conftest import wait_for
from tests.faults.record import full, record
from tests.storage.older_database import FIRST, everything, make_older_database, schema, version

LOCKED_SECONDS = 45 if full() else 4
HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=30)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


def submit_plain(services, **more):
    return services.runs.submit(name="a run", task="text-generation", method="lora", base_model="demo-base", recipe={}, base={},
                                data={}, **more)


def hold_lock(services, seconds: float) -> subprocess.Popen:
    """Another process has the write lock for so long, from now on."""
    holder = subprocess.Popen([sys.executable, "-c", HOLD, services.settings.home / "studio.db", str(seconds)],
                              stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    return holder


# ---- F14: another process holds the write lock


def test_while_the_database_is_locked_runs_train_and_pages_read_and_no_end_is_lost(busy_workshop):
    services = busy_workshop.services
    ended, claimed = [], []
    for place in (f"elsewhere:{number}" for number in range(8)):
        submit_plain(services, wanted_device=place)
        claimed.append(services.leases.claim_next(place, "another host"))
    trained = busy_workshop.submit(max_steps=30)
    wait_until(services, trained.id, lambda run: run.phase == Phase.TRAINING, 120)
    before = services.runs.get(trained.id)

    holder = hold_lock(services, LOCKED_SECONDS)
    patient = open_services(services.settings, patience=120)
    threads = [threading.Thread(target=lambda run=run: ended.append(patient.leases.end(run.id, run.fence, RunState.STOPPED)))
               for run in claimed]
    for thread in threads:
        thread.start()
    slowest = 0.0
    while holder.poll() is None:
        began = time.monotonic()
        services.runs.get(trained.id), services.runs.search(), services.queue.waiting(), services.runs.metrics(trained.id)
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(0.1)
    assert slowest < 1
    assert services.runs.get(trained.id).beats - before.beats < 5, "nobody could write"

    for thread in threads:
        thread.join(30)
    assert ended == [True] * 8
    run = wait_for_end(services, trained.id)
    assert (run.state, run.attempts) == (RunState.FINISHED, 1)
    steps = [point.step for point in services.runs.metrics(run.id, ["loss"])]
    assert steps == list(range(1, 31))
    for run_id, end in [(trained.id, "finished"), *((run.id, "stopped") for run in claimed)]:
        assert [event.to_state for event in services.runs.events(run_id)] == ["queued", "running", end]
    check(services)
    record("F14 locked database", locked_seconds=LOCKED_SECONDS, ends=9, lost=0, slowest_read_seconds=round(slowest, 3))


def test_what_a_trainer_could_not_tell_a_locked_database_it_tells_later(settings, tmp_path):
    services = open_services(settings, patience=0.2)
    submit_plain(services)
    run = services.leases.claim_next("cpu", "here")
    report = Report(services, run, tmp_path, memory=dict)
    report.start()
    holder = hold_lock(services, 2)
    report.progress(7, 70)
    report.metrics(7, {"loss": 1.5})
    with pytest.raises(DatabaseBusy):
        report.flush()
    holder.wait()
    told = wait_until(services, run.id, lambda run: run.step == 7, 10)
    assert (told.pid, told.total_steps) == (os.getpid(), 70)
    assert [(point.step, point.value) for point in services.runs.metrics(run.id)] == [(7, 1.5)]
    wait_until(services, run.id, lambda run: run.beats > told.beats, 10)
    report.stop()


# ---- F20: upgrades, reboots, other people's processes


class Intruder:
    """What a stranger would write into the queue's file."""

    def __init__(self, marker: str):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_old_and_unknown_messages_are_ignored_and_the_worker_goes_on(busy_workshop, tmp_path):
    services = busy_workshop.services
    marker = tmp_path / "was here"
    old = {"id": "1", "name": "train_run_of_an_older_studio", "eta": None, "retries": 0, "retry_delay": 0, "args": ["x"],
           "kwargs": {}, "on_complete": None, "on_error": None, "expires": None, "expires_resolved": None}
    messages = [json.dumps(old).encode(), pickle.dumps(Intruder(str(marker))), b"\x00\xff\x80 garbage", b"", b"[]", b"{}", b"null",
                b'{"value": 5}']
    for message in messages:
        services.bell.huey.storage.enqueue(message)
    run = busy_workshop.submit()
    assert wait_for_end(services, run.id).state == RunState.FINISHED
    wait_for(lambda: services.bell.pending() == 0, 10, "the rings are read")  # a look may start the run before its ring is heard
    assert not marker.exists()
    check(services)
    assert all(worker.process.poll() is None for worker in busy_workshop.workers)
    record("F20 unknown messages", messages=len(messages), runs=1, lost=0)


@pytest.fixture
def claimed(services):
    """A run that a trainer of this host seems to work on; the process behind its number is another program's."""
    submit_plain(services)
    return services.leases.claim_next("cpu", "here")


@pytest.fixture
def other_program():
    program = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield program
    program.kill()
    program.wait()


@pytest.mark.parametrize("what", ["another start of the same number", "another start of the machine"])
def test_a_process_number_that_another_program_has_now_is_never_signalled_and_the_run_waits_once(
        services, claimed, other_program, what):
    own = mark_of(other_program.pid)
    left = ProcessMark(own.pid, own.started_at - 100, own.boot_id) if "number" in what else \
        ProcessMark(own.pid, own.started_at, "an earlier start of the machine")
    services.leases.beat(claimed.id, claimed.fence, pid=left.pid, process_started_at=left.started_at, boot_id=left.boot_id)
    watchmen = [Watchman(services, "here") for _ in range(2)]
    taken = [run.id for _ in range(5) for watchman in watchmen for run in watchman.look(set())]
    assert taken == [claimed.id]
    # not stopped either; on a busy machine it may only just be starting
    assert other_program.poll() is None
    assert psutil.Process(other_program.pid).status() in (psutil.STATUS_SLEEPING, psutil.STATUS_RUNNING)
    assert [event.to_state for event in services.runs.events(claimed.id)] == ["queued", "running", "queued"]
    assert boot_id() and services.runs.get(claimed.id).crashes == 1


def test_a_migration_that_is_killed_halfway_starts_anew_and_loses_nothing(tmp_path):
    template = tmp_path / "older.db"
    older = make_older_database(template)
    before = everything(older)
    older.dispose()
    whole = upgraded(template, tmp_path / "whole.db")
    schema_then, rows_then = schema(whole), everything(connect(f"sqlite:///{whole}"))

    kills, statement = 0, 1
    while True:
        path = tmp_path / f"killed-{statement}.db"
        copy(template, path)
        migration = multiprocessing.get_context("fork").Process(target=migrate_and_die, args=(path, statement))
        migration.start()
        migration.join(60)
        if migration.exitcode == 0:
            break
        assert migration.exitcode == -signal.SIGKILL
        kills += 1
        engine = connect(f"sqlite:///{path}")
        assert (version(engine), everything(engine)) == (FIRST, before)
        migrate(engine)
        assert (schema(path), everything(engine)) == (schema_then, rows_then)
        engine.dispose()
        statement += 1 if full() else 7
    assert kills >= 4
    record("F20 migration killed halfway", kills=kills, lost=0)


def migrate_and_die(path, statement: int) -> None:
    """Bring a database up to date, and be killed right after the so-many-th statement of it."""
    engine, seen = connect(f"sqlite:///{path}"), []

    @event.listens_for(engine, "after_cursor_execute")
    def count(_connection, _cursor, words, *_):
        if not words.startswith(("PRAGMA", "SELECT")):
            seen.append(words)
            if len(seen) == statement:
                os.kill(os.getpid(), signal.SIGKILL)

    migrate(engine)


def upgraded(template, path):
    copy(template, path)
    engine = connect(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()
    return path


def copy(template, path) -> None:
    source, target = sqlite3.connect(template), sqlite3.connect(path)
    source.backup(target)
    source.close()
    target.close()
