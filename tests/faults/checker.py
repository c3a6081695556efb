"""What must hold after every fault, whatever it was: asserted by one function."""

import hashlib
import os
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from jobs.janitor import tidy_up
from jobs.services import Services
from storage.records import Adapter, Run, RunState

NEXT_STATES = {
    "": {"queued"},
    "queued": {"running", "cancelled"},
    "running": {"queued", "finished", "stopped", "cancelled", "failed"},
}
TWO_DAYS = 2 * 24 * 3600


@dataclass
class Found:
    """What the lab book holds, counted."""

    runs: int = 0
    ended: int = 0
    adapters: int = 0
    finished_twice: int = 0
    states: dict[str, int] = field(default_factory=dict)


def check(services: Services) -> Found:
    """Assert that histories are legal, adapters whole, processes gone, nothing half-made left, and the database sound."""
    found = Found()
    runs = services.runs.search(limit=1_000_000)
    for run in runs:
        check_history(services, run, found)
        found.runs += 1
        found.ended += run.state.is_end
        found.states[run.state.value] = found.states.get(run.state.value, 0) + 1
    adapters = {adapter.run_id: adapter for adapter in services.adapters.all()}
    found.adapters = len(adapters)
    for run in runs:
        adapter = adapters.get(run.id)
        if run.state == RunState.FINISHED:
            assert adapter, f"{run.id} finished without an adapter"
        if run.state in (RunState.QUEUED, RunState.RUNNING, RunState.CANCELLED):
            assert not adapter, f"{run.id} is {run.state} and has an adapter"
        if adapter:
            check_adapter(services, adapter)
    wait_for_no_process(services, [run for run in runs if run.state.is_end])
    check_leftovers(services, list(adapters.values()), idle=found.ended == found.runs)
    with services.runs.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
    return found


def check_history(services: Services, run: Run, found: Found) -> None:
    """The events of a run: one after the other, from the queue to at most one end, each attempt with its own fence."""
    events = services.runs.events(run.id)
    story = [f"{event.from_state}->{event.to_state} by {event.fence}" for event in events]
    before = ""
    for event in events:
        assert event.from_state == before and event.to_state in NEXT_STATES.get(before, ()), f"{run.id}: {story}"
        before = event.to_state
    assert before == run.state, f"{run.id} is {run.state}: {story}"
    ends = [event for event in events if RunState(event.to_state).is_end]
    found.finished_twice += max(0, len(ends) - 1)
    assert len(ends) == run.state.is_end and ends == events[-1:] * len(ends), f"{run.id}: {story}"
    starts = [event.fence for event in events if event.to_state == RunState.RUNNING]
    assert starts == list(range(1, run.fence + 1)) and run.attempts == run.fence, f"{run.id}, fence {run.fence}: {story}"
    assert all(event.fence == run.fence for event in ends), f"{run.id}: an earlier attempt wrote the end: {story}"


def check_adapter(services: Services, adapter: Adapter) -> None:
    """Every file is what the record, SHA256SUMS and the zip say."""
    folder = services.settings.adapters_dir / adapter.folder
    recorded = {file["name"]: file["sha256"] for file in adapter.files}
    assert {path.name: sha256(path.read_bytes()) for path in folder.iterdir()} == recorded
    sums = dict(reversed(line.split("  ", 1)) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums == {name: digest for name, digest in recorded.items() if name != "SHA256SUMS"}
    path = services.settings.adapters_dir / adapter.zip_name
    assert path.stat().st_size == adapter.zip_bytes
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {name: sha256(archive.read(name)) for name in archive.namelist()} == recorded


def check_leftovers(services: Services, adapters: list[Adapter], idle: bool) -> None:
    """Once the janitor has been there, the library's folder holds what its records name, and nothing else."""
    if not idle:
        return
    tidy_up(services, now=time.time() + TWO_DAYS)
    there = {path.name for path in services.settings.adapters_dir.iterdir()}
    assert there == {name for adapter in adapters for name in (adapter.folder, adapter.zip_name)}


def wait_for_no_process(services: Services, ended: list[Run], seconds: float = 60) -> None:
    """No process has a file of an ended run open; one that has just written its end may take a moment to go."""
    deadline = time.monotonic() + seconds
    while left := [pid for run in ended for pid in trainers_of(services, run.id)]:
        assert time.monotonic() < deadline, f"{left} still work for ended runs"
        time.sleep(0.1)


def trainers_of(services: Services, run_id: str) -> list[int]:
    """Processes that write to the log of a run, as every trainer and all its children do."""
    log = services.settings.runs_dir / run_id / "log.txt"
    return [pid for pid in psutil.pids() if has_open(pid, log)] if log.exists() else []


def has_open(pid: int, path: Path) -> bool:
    try:
        return any(os.readlink(f"/proc/{pid}/fd/{number}") == str(path) for number in (1, 2))
    except OSError:
        return False


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
