"""Finds runs that nobody serves any more: trainers that have gone, that fell silent, or that do not answer a request."""

import logging
import time
from collections.abc import Callable

from jobs.processes import ProcessMark, group_members, is_alive, is_stopped, kill_group
from jobs.run_log import tell
from jobs.services import Services
from storage.problems import DatabaseBusy
from storage.records import Request, Run

log = logging.getLogger("studio.worker")

ANSWER_SECONDS = 12  # that a trainer has for a stop or a cancel; it is killed then, so that the device is free within 20 s
LOOK_SECONDS = 10    # between two looks at most; what is more was a pause
SIGHTINGS = 2        # how often in a row a process must be missing: its worker may be about to say how it ended
START_SECONDS = 60   # that a trainer may take, at least, until its first sign of life: it waits for torch to be imported
LOCKED_SECONDS = 2   # that the database may be locked before a trainer that stands still is to blame
NOT_STARTED = "The worker went before the trainer had started."


class Watchman:
    """Looks at all running runs every few seconds. Time is counted by this process's own clock, which only goes forward."""

    def __init__(self, services: Services, host: str, monotonic: Callable[[], float] = time.monotonic):
        self.services, self.host, self.monotonic = services, host, monotonic
        self.looked_at = monotonic()
        self.since: dict[tuple, float] = {}
        self.missing: dict[tuple, int] = {}

    def look(self, supervised: set[str]) -> list[Run]:
        """Take back what is lost; returns those runs as they were. `supervised` are watched by threads of this worker."""
        self._leave_out_pauses()
        seen: set[tuple] = set()
        taken = []
        for run in self.services.leases.running():
            reason = self._reason(run, run.id in supervised, seen)
            if reason and self.take_back(run, reason):
                taken.append(run)
        self.since = {key: at for key, at in self.since.items() if key in seen}
        self.missing = {key: count for key, count in self.missing.items() if key in seen}
        self.looked_at = self.monotonic()
        return taken

    def _leave_out_pauses(self) -> None:
        """Time in which the database was locked, or this process stood still (a paused machine), is nobody's silence."""
        began = self.monotonic()
        asleep = max(0.0, began - self.looked_at - LOOK_SECONDS)
        try:
            self._wait_for_writers()
        finally:
            pause = asleep + self.monotonic() - began
            self.since = {key: at + pause for key, at in self.since.items()}

    def _wait_for_writers(self) -> None:
        """Wait for the database; a trainer that stands still in the middle of a write would hold everybody up, and is ended."""
        while True:
            try:
                return self.services.leases.wait_for_writers(LOCKED_SECONDS)
            except DatabaseBusy:
                for run in self.services.leases.running():
                    if run.host == self.host and is_stopped(mark(run)):
                        log.warning("Run %s: its trainer stood still, and the database was locked; it is ended.", run.id)
                        kill_trainer(run)

    def take_back(self, run: Run, reason: str) -> bool:
        """End what is left of the trainer on this host, then return the run to the queue (or end a cancelled one)."""
        if run.host == self.host:
            kill_trainer(run)
        # a run is not to blame for what happened before it began
        give_back = self.services.leases.put_back if reason == NOT_STARTED else self.services.leases.crashed
        if not give_back(run.id, run.fence, reason):
            return False
        tell(self.services, run.id, reason, "warning")
        log.warning("Run %s: %s", run.id, reason)
        return True

    def _reason(self, run: Run, supervised: bool, seen: set[tuple]) -> str:
        if run.host == self.host and not supervised and self._is_missing(run, seen):
            return "The trainer's process is gone." if run.pid else NOT_STARTED
        if run.request == Request.CANCEL and not run.pid:
            return "Cancelled before the trainer had started."
        if run.request in (Request.STOP, Request.CANCEL) and self._lasts(
                ("asked", run.id, run.fence, run.request), seen) > ANSWER_SECONDS:
            return f"The trainer did not answer the {run.request} within {ANSWER_SECONDS} s and was ended."
        silence = self.services.settings.lease_seconds
        if not run.pid:
            silence = max(silence, START_SECONDS)
        if self._lasts(("silent", run.id, run.fence, run.beats), seen) > silence:
            return f"The trainer gave no sign of life for {silence} s."
        return ""

    def _lasts(self, key: tuple, seen: set[tuple]) -> float:
        seen.add(key)
        return self.monotonic() - self.since.setdefault(key, self.monotonic())

    def _is_missing(self, run: Run, seen: set[tuple]) -> bool:
        if run.pid:
            gone = not is_alive(mark(run))
        else:  # claimed, and the trainer has not said its number yet: then its worker must be there
            worker = self.services.workers.find(run.worker_id)
            gone = worker is None or not is_alive(ProcessMark(worker.pid, worker.process_started_at, worker.boot_id))
        key = (run.id, run.fence, run.pid)
        seen.add(key)
        self.missing[key] = self.missing.get(key, 0) + 1 if gone else 0
        return self.missing[key] >= SIGHTINGS


def mark(run: Run) -> ProcessMark:
    return ProcessMark(run.pid, run.process_started_at, run.boot_id)


def kill_trainer(run: Run) -> None:
    """End a trainer's process group, if it still is that trainer, and wait until the kernel has collected it."""
    if run.pid and kill_group(mark(run)):
        deadline = time.monotonic() + 5
        while group_members(run.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
