"""Clocks that are set and hosts that disagree: no live run is taken, no duration is negative, a start time comes once (F15)."""

import dataclasses
import os
import subprocess
import sys

import pytest
from sqlalchemy import update

from jobs.processes import mark_of
from jobs.services import Services, open_services
from jobs.watchman import Watchman
from storage import tables
from storage.database import database_seconds
from storage.records import Request, RunState
from tests.faults.record import record
from tests.jobs.test_watchman import Clock, watch

HOUR, APART = 3600.0, 300.0
JUMPS = (HOUR, -HOUR, -HOUR, HOUR)


class Host:
    """A machine with a wall clock of its own, a worker's view of the one database, and a watchman."""

    def __init__(self, settings, name: str, ahead: float):
        self.name, self.wall, self.monotonic = name, 1e9 + ahead, Clock()
        self.services: Services = open_services(settings, clock=lambda: self.wall)
        self.watchman = Watchman(self.services, name, self.monotonic)


@pytest.fixture
def settings(settings):
    return dataclasses.replace(settings, lease_seconds=10)


@pytest.fixture
def hosts(settings):
    return Host(settings, "host-a", 0), Host(settings, "host-b", APART)


def submit(services, **more):
    return services.runs.submit(name="a run", task="text-generation", method="lora", base_model="demo-base", recipe={}, base={},
                                data={}, **more)


def start(host: Host, pid: int = os.getpid()):
    """Claim the next run for a trainer that lives as this process."""
    run = host.services.leases.claim_next("cpu", host.name)
    mark = mark_of(pid)
    host.services.leases.beat(run.id, run.fence, pid=mark.pid, process_started_at=mark.started_at, boot_id=mark.boot_id)
    return run


def test_no_live_run_is_taken_when_clocks_are_set_and_differ(settings, hosts):
    for host in hosts:
        submit(host.services)
    runs = [(host, start(host)) for host in hosts]

    def beat():
        for host, run in runs:
            host.services.leases.beat(run.id, run.fence)

    for jump in JUMPS:
        hosts[0].wall += jump
        for host in hosts:
            assert watch(host.watchman, host.monotonic, settings.lease_seconds + 10, meanwhile=beat) == []
    record("F15 clocks", jumps=len(JUMPS), stolen=0)


def test_a_silent_run_is_taken_after_the_lease_whatever_the_clocks_say(settings, hosts):
    submit(hosts[0].services)
    trainer = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    run = start(hosts[0], trainer.pid)
    hosts[0].wall -= HOUR
    hosts[1].wall -= HOUR
    assert watch(hosts[1].watchman, hosts[1].monotonic, settings.lease_seconds) == []
    assert watch(hosts[1].watchman, hosts[1].monotonic, 4) == [run.id]
    trainer.communicate(b"\n")


@pytest.mark.parametrize("jumps", [(-HOUR,) * 5, (HOUR, -HOUR, HOUR, -HOUR, -HOUR), (APART, -APART, -HOUR, -1, HOUR)])
@pytest.mark.parametrize("end", ["finished", "crashed", "cancelled while it waits"])
def test_no_time_in_the_record_lies_before_the_one_that_led_to_it(hosts, jumps, end):
    here, there = hosts
    run_id = submit(here.services).id
    moves = iter(jumps)

    def set_clocks():
        here.wall += next(moves)

    set_clocks()
    run = start(here)
    set_clocks()
    assert here.services.leases.put_back(run_id, run.fence, "paused")
    set_clocks()
    if end == "cancelled while it waits":
        here.services.queue.ask(run_id, Request.CANCEL)
    else:
        run = start(there)
        set_clocks()
        host = here if jumps[-1] < 0 else there
        if end == "finished":
            assert host.services.leases.end(run_id, run.fence, RunState.FINISHED)
        else:
            for _ in range(3):
                assert host.services.leases.crashed(run_id, run.fence, "gone")
                run = host.services.leases.claim_next("cpu", "host-a") or run
    ended = here.services.runs.get(run_id)
    assert ended.state.is_end
    assert ended.created_at <= ended.started_at <= ended.claimed_at <= ended.finished_at
    times = [event.at for event in here.services.runs.events(run_id)]
    assert times == sorted(times) and times[-1] == ended.finished_at


def test_a_start_time_comes_once(hosts):
    host, _ = hosts
    run = submit(host.services, start_at=host.wall + 600)
    assert not host.services.queue.startable() and host.services.leases.claim_next("cpu", host.name) is None
    host.wall += HOUR
    assert host.services.queue.startable()
    first = start(host)
    assert first.id == run.id and host.services.leases.claim_next("cuda:0", host.name) is None

    host.wall -= HOUR  # before its time again: what has begun goes on at once, and is not put off a second time
    host.services.leases.crashed(run.id, first.fence, "gone")
    second = start(host)
    assert second.id == run.id
    host.services.leases.end(run.id, second.fence, RunState.FINISHED)
    host.wall += HOUR
    assert not host.services.queue.startable() and host.services.leases.claim_next("cpu", host.name) is None
    assert [event.to_state for event in host.services.runs.events(run.id)] == ["queued", "running", "queued", "running", "finished"]


@pytest.mark.parametrize("ahead", [-3600, 3600])
def test_a_gone_worker_does_not_come_back_to_life_when_the_clock_is_set(services, ahead):
    services.workers.beat("w1", "host", 1, ["cpu"])
    assert len(services.workers.alive()) == 1
    with services.runs.engine.begin() as connection:
        connection.execute(update(tables.workers).values(beat_at=database_seconds() + ahead))
    assert services.workers.alive() == []
