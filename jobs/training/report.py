"""What a trainer tells the database: a heartbeat that carries progress, metrics and memory, and brings back requests."""

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from jobs.processes import mark_of
from jobs.services import Services
from storage.problems import DatabaseBusy
from storage.records import MetricPoint, Phase, Request, Run, RunState

BEAT_SECONDS = 0.5


class Report:
    """The line from a trainer to the record. Everything is sent by one thread, twice a second, or sooner where that is asked for.

    A cancelled run ends right there: nothing it has is wanted any more. A trainer that lost its lease ends without a word.
    """

    def __init__(self, services: Services, run: Run, run_dir: Path, memory: Callable[[], dict]):
        self.services, self.run, self.run_dir = services, run, run_dir
        self.runs, self.leases = services.runs, services.leases
        self.memory = memory
        self.asked = Request.NONE
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._points: list[MetricPoint] = []
        mark = mark_of(os.getpid())
        self._changes: dict = {"pid": mark.pid, "process_started_at": mark.started_at, "boot_id": mark.boot_id}
        self._stopped, self._soon = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def start(self) -> None:
        self.flush()
        self._thread.start()

    def stop(self) -> None:
        """Send what is left and be silent from now on."""
        self._stopped.set()
        self._soon.set()
        self._thread.join()
        self.flush()

    def change(self, **values) -> None:
        """Columns of the run to store with the next beat."""
        with self._lock:
            self._changes.update(values)

    def soon(self) -> None:
        """Send what waits now, without waiting for it: somebody looks out for it."""
        self._soon.set()

    def phase(self, phase: Phase) -> None:
        self.change(phase=phase)

    def progress(self, step: int, total: int) -> None:
        self.change(step=step, total_steps=total)

    def metrics(self, step: int, values: dict[str, float]) -> None:
        with self._lock:
            self._points.extend(MetricPoint(step, name, float(value)) for name, value in values.items())

    def say(self, text: str, level: str = "info") -> None:
        """A line for the run's log, as people read it."""
        with contextlib.suppress(OSError):  # a full disk does not keep the line from the record
            print(f"[{level}] {text}", flush=True)
        self.runs.log(self.run.id, text, level, self.run.fence)

    def checkpointed(self, step: int) -> bool:
        """Say that a whole checkpoint is on the disk; False when the lease is lost."""
        return self.leases.checkpointed(self.run.id, self.run.fence, step)

    def _beat_on(self) -> None:
        while True:
            self._soon.wait(BEAT_SECONDS)
            self._soon.clear()
            if self._stopped.is_set():
                return
            try:
                self.flush()
            except DatabaseBusy as problem:
                print(problem, flush=True)

    def flush(self) -> None:
        """Send what waits now; what a locked database did not take waits on."""
        with self._sending:
            with self._lock:
                changes, self._changes = self._changes, {}
                points, self._points = self._points, []
            try:
                if points:
                    self.runs.add_metrics(self.run.id, self.run.fence, points)
                asked = self.leases.beat(self.run.id, self.run.fence, **self.memory(), **changes)
            except DatabaseBusy:
                with self._lock:
                    self._changes, self._points = {**changes, **self._changes}, points + self._points
                raise
        if asked is None:
            print(f"The lease on run {self.run.id} is lost; this trainer ends. {time.ctime()}", flush=True)
            os._exit(3)
        if asked == Request.CANCEL:
            self.runs.log(self.run.id, "Cancelled. What was learnt is thrown away.")
            shutil.rmtree(self.run_dir / "checkpoints", ignore_errors=True)
            self.leases.end(self.run.id, self.run.fence, RunState.CANCELLED)
            os._exit(0)
        self.asked = asked
