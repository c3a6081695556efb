"""What a trainer tells the database: a heartbeat that carries progress, metrics and memory, and brings back requests."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from storage.records import MetricPoint, Phase, Request, Run, RunState
from storage.runs import RunRepository

BEAT_SECONDS = 0.5


class Report:
    """The line from a trainer to the record. Everything is sent by one thread, twice a second.

    A cancelled run ends right there: nothing it has is wanted any more. A trainer that lost its lease ends without a word.
    """

    def __init__(self, runs: RunRepository, run: Run, run_dir: Path, memory: Callable[[], dict]):
        self.runs, self.run, self.run_dir = runs, run, run_dir
        self.memory = memory
        self.asked = Request.NONE
        self._lock = threading.Lock()
        self._points: list[MetricPoint] = []
        self._changes: dict = {"pid": os.getpid(), "process_started_at": psutil.Process().create_time()}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def start(self) -> None:
        self.flush()
        self._thread.start()

    def stop(self) -> None:
        """Send what is left and be silent from now on."""
        self._stopped.set()
        self._thread.join()
        self.flush()

    def change(self, **values) -> None:
        """Columns of the run to store with the next beat."""
        with self._lock:
            self._changes.update(values)

    def phase(self, phase: Phase) -> None:
        self.change(phase=phase)

    def progress(self, step: int, total: int) -> None:
        self.change(step=step, total_steps=total)

    def metrics(self, step: int, values: dict[str, float]) -> None:
        with self._lock:
            self._points.extend(MetricPoint(step, name, float(value)) for name, value in values.items())

    def say(self, text: str, level: str = "info") -> None:
        """A line for the run's log, as people read it."""
        print(f"[{level}] {text}", flush=True)
        self.runs.log(self.run.id, text, level)

    def checkpointed(self) -> None:
        self.runs.checkpointed(self.run.id, self.run.fence)

    def _beat_on(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            self.flush()

    def flush(self) -> None:
        """Send what waits now."""
        with self._lock:
            changes, self._changes = self._changes, {}
            points, self._points = self._points, []
        if points:
            self.runs.add_metrics(self.run.id, self.run.fence, points)
        asked = self.runs.beat(self.run.id, self.run.fence, **self.memory(), **changes)
        if asked is None:
            print(f"The lease on run {self.run.id} is lost; this trainer ends. {time.ctime()}", flush=True)
            os._exit(3)
        if asked == Request.CANCEL:
            self.runs.log(self.run.id, "Cancelled. What was learnt is thrown away.")
            shutil.rmtree(self.run_dir / "checkpoints", ignore_errors=True)
            self.runs.end(self.run.id, self.run.fence, RunState.CANCELLED)
            os._exit(0)
        self.asked = asked
