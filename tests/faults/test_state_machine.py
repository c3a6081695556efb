"""Whatever happens in whatever order, with clocks that jump: no illegal change, one end at most, one run for a device (F9)."""

import dataclasses
import os
import shutil
import sqlite3
import tempfile
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, configuration, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import delete, event

from jobs.services import open_services
from jobs.watchman import Watchman
from storage import tables
from storage.problems import NotWaiting
from storage.records import MetricPoint, Priority, Request, RunState
from storage.settings import StudioSettings
from tests.faults.checker import Found, check_history
from tests.faults.record import full, record

SEQUENCES = 5000 if full() else 60
STEPS = 30
LEASE_SECONDS = 6
HOSTS, DEVICES = ("host-a", "host-b"), ("cpu", "cuda:0")
TABLES = (tables.runs, tables.events, tables.adapters, tables.metrics, tables.log_lines)
any_one = st.integers(0, 1000)  # which of those there are


class Seen(NamedTuple):
    """What the rules look at of a run, read past the repositories: it is quicker, and it is not what is tested."""

    id: str
    state: RunState
    fence: int
    attempts: int
    host: str
    device: str
    request: str
    held: int
    start_at: float | None
    wanted_device: str
    created_at: float
    started_at: float | None
    claimed_at: float | None
    finished_at: float | None


class Studio(RuleBasedStateMachine):
    """The repositories, driven as pages, workers, trainers and watchmen drive them, against what must be true."""

    services = None  # set by the test, as are the clocks and a connection that only looks
    sequences = 0
    found = Found()

    def __init__(self):
        super().__init__()
        Studio.sequences += 1
        with self.services.runs.engine.begin() as connection:
            for table in reversed(TABLES):
                connection.execute(delete(table))
        self.wall[0], self.monotonic[0] = 1e9, 0.0
        self.live: dict[str, int] = {}             # run: the fence of the trainer that holds it
        self.lost: list[tuple[str, int]] = []      # trainers that hold nothing any more
        self.ends: dict[str, RunState] = {}
        self.published: list[str] = []
        self.runs: list[Seen] = []                 # as they were after the last step, the oldest first
        self.order: list[str] = []                 # those that wait, the next one first
        self.watchmen = {host: Watchman(self.services, host, lambda: self.monotonic[0]) for host in (*HOSTS, "observer")}

    # ---- what people do

    @initialize()
    def three_wait(self):
        for owner in ("", "ada", "grace"):
            self.submit(owner, Priority.NORMAL, False, None, "")

    @rule(owner=st.sampled_from(["", "ada", "grace"]), priority=st.sampled_from(list(Priority)), held=st.booleans(),
          later=st.sampled_from([None, -60, 60, 7200]), device=st.sampled_from(["", "", *DEVICES]))
    def submit(self, owner, priority, held, later, device):
        self.wall[0] += 0.001
        values = dict(name="a run", task="text-generation", method="lora", base_model="demo-base", recipe={}, base={}, data={},
                      submission_key=f"key {self.wall[0]} {len(self.runs)}")
        run = self.services.runs.submit(**values, owner=owner, priority=priority, held=held, wanted_device=device,
                                        start_at=None if later is None else self.wall[0] + later)
        assert run.state == RunState.QUEUED
        assert self.services.runs.submit(**values).id == run.id, "a double click makes one run"

    @precondition(lambda self: self.runs)
    @rule(which=any_one, request=st.sampled_from([Request.STOP, Request.CANCEL, Request.PAUSE]))
    def ask(self, which, request):
        before = self.pick(self.runs, which)
        after = self.services.queue.ask(before.id, request)
        if before.state == RunState.QUEUED and after.state != before.state:
            assert after.state == RunState.CANCELLED
            self.ends[before.id] = RunState.CANCELLED
        else:
            assert after.state == before.state
        if before.state == RunState.RUNNING:
            order = [Request.NONE, Request.PAUSE, Request.STOP, Request.CANCEL]
            assert order.index(after.request) == max(order.index(before.request), order.index(request))

    @precondition(lambda self: self.order)
    @rule(which=any_one, how=st.sampled_from(["up", "down", "top"]))
    def move(self, which, how):
        order = self.order
        place = which % len(order)
        moved = order[place]
        expected = list(order)
        expected.insert({"up": max(0, place - 1), "down": place + 1, "top": 0}[how], expected.pop(place))
        self.services.queue.move(moved, how)
        after = self.services.queue.waiting()
        assert [run.id for run in after] == expected
        assert [self.services.queue.position(run) for run in after] == list(range(1, len(after) + 1))

    @precondition(lambda self: self.runs)
    @rule(which=any_one, change=st.sampled_from([
        {"held": True}, {"held": False}, {"priority": Priority.HIGH}, {"priority": Priority.LOW}, {"start_at": 1e9 + 600},
        {"at_once": True}, {"wanted_device": "cuda:0"}, {"wanted_device": ""}]))
    def change(self, which, change):
        run = self.pick(self.runs, which)
        if run.state == RunState.QUEUED:
            self.services.queue.change(run.id, **change)
        else:
            with pytest.raises(NotWaiting):
                self.services.queue.change(run.id, **change)

    # ---- what workers and trainers do

    @rule(host=st.sampled_from(HOSTS), device=st.sampled_from(DEVICES))
    def claim(self, host, device):
        runs = {run.id: run for run in self.runs}
        busy = any(run.state == RunState.RUNNING and (run.host, run.device) == (host, device) for run in runs.values())
        may = [run_id for run_id in self.order if not runs[run_id].held and runs[run_id].wanted_device in ("", device)
               and (runs[run_id].start_at or 0) <= self.wall[0]]
        run = self.services.leases.claim_next(device, host)
        assert (run.id if run else None) == (None if busy or not may else may[0])
        if run:
            assert run.fence == runs[run.id].fence + 1
            self.live[run.id] = run.fence
            self.services.leases.beat(run.id, run.fence, pid=1, process_started_at=-1, boot_id="a machine that was")

    @precondition(lambda self: self.live)
    @rule(which=any_one)
    def beat(self, which):
        run_id, fence = self.pick(list(self.live.items()), which)
        assert self.services.leases.beat(run_id, fence, step=5) == self.services.runs.get(run_id).request

    @precondition(lambda self: self.live)
    @rule(which=any_one, step=st.integers(1, 9))
    def checkpoint(self, which, step):
        run_id, fence = self.pick(list(self.live.items()), which)
        assert self.services.runs.add_metrics(run_id, fence, [MetricPoint(step, "loss", 1.0)])
        assert self.services.leases.checkpointed(run_id, fence, step)

    @precondition(lambda self: self.live)
    @rule(which=any_one, how=st.sampled_from([RunState.FINISHED, RunState.FAILED]))
    def end(self, which, how):
        run_id, fence = self.pick(list(self.live.items()), which)
        self.end_run(run_id, fence, how)

    @precondition(lambda self: any(run.request for run in self.runs if run.id in self.live))
    @rule(which=any_one)
    def answer(self, which):
        run = self.pick([run for run in self.runs if run.id in self.live and run.request], which)
        if run.request == Request.PAUSE:
            self.put_back(list(self.live).index(run.id))
        else:
            self.end_run(run.id, run.fence, RunState.STOPPED if run.request == Request.STOP else RunState.CANCELLED)

    @precondition(lambda self: self.live)
    @rule(which=any_one)
    def put_back(self, which):
        run_id, fence = self.pick(list(self.live.items()), which)
        assert self.services.leases.put_back(run_id, fence, "paused")
        self.leaves(run_id)

    @precondition(lambda self: self.live)
    @rule(which=any_one)
    def crash(self, which):
        run_id, fence = self.pick(list(self.live.items()), which)
        assert self.services.leases.crashed(run_id, fence, "The trainer's process was ended by signal 9.")
        self.leaves(run_id)

    @precondition(lambda self: any(run.state == RunState.QUEUED and run.request == Request.STOP for run in self.runs))
    @rule(host=st.sampled_from(HOSTS))
    def save_what_was_stopped(self, host):
        for run in self.services.leases.stops_waiting():
            claimed = self.services.leases.claim(run.id, host)
            self.live[run.id] = claimed.fence
            self.end_run(run.id, claimed.fence, RunState.STOPPED)

    @precondition(lambda self: self.lost)
    @rule(which=any_one, how=st.sampled_from(["beat", "end", "put_back", "crashed", "checkpointed", "metrics", "log"]))
    def a_zombie_writes(self, which, how):
        run_id, fence = self.pick(self.lost, which)
        leases, before = self.services.leases, self.everything()
        answer = {
            "beat": lambda: leases.beat(run_id, fence, step=99),
            "end": lambda: leases.end(run_id, fence, RunState.FINISHED, adapter=adapter(run_id, fence)),
            "put_back": lambda: leases.put_back(run_id, fence),
            "crashed": lambda: leases.crashed(run_id, fence, "late"),
            "checkpointed": lambda: leases.checkpointed(run_id, fence, 99),
            "metrics": lambda: self.services.runs.add_metrics(run_id, fence, [MetricPoint(99, "loss", 9.0)]),
            "log": lambda: self.services.runs.log(run_id, "I am still here.", fence=fence),
        }[how]()
        assert not answer
        assert self.everything() == before

    # ---- what time does

    @rule(seconds=st.sampled_from([1, 30, 3600, -30, -3600]))
    def the_clock_is_set(self, seconds):
        self.wall[0] += seconds

    @rule(which=any_one)
    def a_lease_runs_out(self, which):
        """One trainer is silent, the others beat: only that one loses its run, or one that did not answer a request."""
        silent = self.pick(list(self.live), which) if self.live else None
        for _ in range(3):
            self.monotonic[0] += LEASE_SECONDS * 0.8
            for run_id, fence in self.live.items():
                if run_id != silent:
                    self.services.leases.beat(run_id, fence)
            for run in self.watchmen["observer"].look(set()):
                assert run.id == silent or run.request in (Request.STOP, Request.CANCEL)
                self.leaves(run.id)
        assert silent not in self.live

    @precondition(lambda self: self.live)
    @rule(host=st.sampled_from(HOSTS))
    def a_machine_starts_anew(self, host):
        """Its trainers are gone; its watchman finds that at the second look, once for each run."""
        gone = {run.id for run in self.runs if run.state == RunState.RUNNING and run.host == host}
        for _ in range(2):
            for run in self.watchmen[host].look(set()):
                gone.discard(run.id)
                self.leaves(run.id)
        assert not gone

    # ---- what is always true

    @invariant()
    def everything_is_in_order(self):
        self.runs, self.order = runs, order = self.all_runs(), self.waiting()
        assert {run.id: run.fence for run in runs if run.state == RunState.RUNNING} == self.live
        assert {run.id: run.state for run in runs if run.state.is_end} == self.ends
        places = [(run.host, run.device) for run in runs if run.state == RunState.RUNNING]
        assert len(places) == len(set(places)), "a device has one run"
        assert sorted(order) == sorted(run.id for run in runs if run.state == RunState.QUEUED)
        for run in runs:
            assert run.attempts == run.fence
            times = [at for at in (run.created_at, run.started_at, run.claimed_at, run.finished_at) if at is not None]
            assert times == sorted(times) and (run.finished_at is not None) == run.state.is_end
        recorded = [run_id for run_id, in self.looking.execute("SELECT run_id FROM adapter")]
        assert sorted(recorded) == sorted(self.published) and len(set(self.published)) == len(self.published)

    def teardown(self):
        for run in self.all_runs():
            check_history(self.services, self.services.runs.get(run.id), self.found)

    # ---- inside

    def all_runs(self) -> list[Seen]:
        rows = self.looking.execute(f"SELECT {', '.join(Seen._fields)} FROM run ORDER BY created_at, id").fetchall()
        return [Seen(row[0], RunState(row[1]), *row[2:]) for row in rows]

    def waiting(self) -> list[str]:
        return [run.id for run in self.services.queue.waiting()]

    def everything(self) -> list:
        return [self.looking.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES]

    def end_run(self, run_id: str, fence: int, state: RunState) -> None:
        keeps = state in (RunState.FINISHED, RunState.STOPPED)
        assert self.services.leases.end(run_id, fence, state, adapter=adapter(run_id, fence) if keeps else None)
        self.published += [run_id] * keeps
        self.leaves(run_id)

    def leaves(self, run_id: str) -> None:
        self.lost.append((run_id, self.live.pop(run_id)))
        run = self.services.runs.get(run_id)
        assert run.state != RunState.RUNNING
        if run.state.is_end:
            self.ends[run_id] = run.state

    @staticmethod
    def pick(things: list, which: int):
        return things[which % len(things)]


def adapter(run_id: str, fence: int) -> dict:
    name = f"{run_id}-{fence}"
    return {"name": "a run", "folder": name, "zip_name": f"{name}.zip", "bytes": 1, "zip_bytes": 1, "files": [],
            "task": "text-generation", "method": "lora", "base_model": "demo-base", "base_path": "/b", "base_hash": "0"}


@pytest.fixture
def studio_in_memory(tmp_path):
    """Services on a disk of memory where there is one, that wait for no disk: the same code, only quicker."""
    home = tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else tmp_path)
    chosen = dataclasses.replace(StudioSettings.from_env({"STUDIO_HOME": home}), lease_seconds=LEASE_SECONDS)
    Studio.wall, Studio.monotonic = [0.0], [0.0]
    Studio.services = open_services(chosen, clock=lambda: Studio.wall[0])
    engine = Studio.services.runs.engine
    Studio.looking = sqlite3.connect(engine.url.database)
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    engine.dispose()  # connections from now on
    configuration.set_hypothesis_home_dir(tmp_path)
    yield
    Studio.looking.close()
    engine.dispose()
    shutil.rmtree(home)


def test_no_order_of_events_breaks_the_record(studio_in_memory):
    Studio.sequences, Studio.found = 0, Found()
    run_state_machine_as_test(Studio, settings=settings(
        max_examples=SEQUENCES, stateful_step_count=STEPS, deadline=None, database=None, derandomize=not full(),
        suppress_health_check=list(HealthCheck), print_blob=False))
    assert Studio.sequences >= SEQUENCES
    record("F9 state machine", sequences=Studio.sequences, finished_twice=Studio.found.finished_twice, illegal=0)
