"""How far a job beside the runs is, told to the lab book by the process that does it."""

import logging
import threading
import time
from collections.abc import Callable

from storage.faults import fault_point
from storage.problems import DatabaseBusy

log = logging.getLogger("studio.worker")

BEAT_SECONDS = 3      # between two signs of life
TOLD_SECONDS = 0.3    # between two stored steps of progress

Watch = Callable[[str, float], None]  # is told the phase and the share that is done


class Gone(BaseException):
    """Nobody waits for the result any more: what it belongs to was deleted, or somebody else has finished it."""


class Progress:
    """Stores how far a job is, not too often, and a sign of life in between.

    `store` takes the changed fields, none for a sign of life, and gives False where the job is not this process's any more.
    `fault` names the fault point of every stored step.
    """

    def __init__(self, store: Callable[..., bool], fault: str, watch: Watch = lambda phase, done: None):
        self.store, self.fault, self.watch = store, fault, watch
        self.told_at = 0.0
        self._ended = threading.Event()
        threading.Thread(target=self._beat, name="signs of life", daemon=True).start()

    def __call__(self, phase: str, done: float) -> None:
        self.watch(phase, done)
        if time.monotonic() - self.told_at >= TOLD_SECONDS:
            self.tell(phase=phase, done=round(done, 3))

    def tell(self, **changes) -> None:
        """Store; raises Gone where the job is not ours any more."""
        self.told_at = time.monotonic()
        fault_point(self.fault)
        if not self.store(**changes):
            raise Gone

    def stop(self) -> None:
        self._ended.set()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self.store()
            except DatabaseBusy as problem:
                log.warning(str(problem))
