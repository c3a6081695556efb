"""The queue: Huey as a doorbell. A message carries one id as JSON; the database says what is to be done."""

import json
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

from huey import SqliteHuey
from huey.registry import Message
from huey.serializer import Serializer
from sqlalchemy.engine import make_url

from storage.settings import StudioSettings

log = logging.getLogger("studio.queue")


class JsonMessages(Serializer):
    """Encodes a plain task message as JSON. Huey's own way is pickle, which would run what a stranger wrote in the file."""

    def _serialize(self, data) -> bytes:
        values = data._asdict() if isinstance(data, Message) else {"value": data}
        return json.dumps(values).encode()

    def _deserialize(self, data):
        values = json.loads(bytes(data))
        return values["value"] if "value" in values else Message(**values)


class Bell:
    """Rings for the worker: something waits. A ring that is lost costs seconds, never a run."""

    def __init__(self, settings: StudioSettings, on_run: Callable[[str], None] | None = None,
                 on_download: Callable[[str], None] | None = None, on_check: Callable[[str], None] | None = None):
        path = Path(make_url(settings.queue_url).database)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self.huey = SqliteHuey("studio", filename=str(path), fsync=True, strict_fifo=True, timeout=30, results=False,
                               serializer=JsonMessages())

        # defined here, whoever answers: Huey knows a task by its module and its name
        @self.huey.task()
        def run_waits(run_id: str) -> None:
            (on_run or _not_here)(run_id)

        @self.huey.task()
        def download_waits(hub_id: str) -> None:
            (on_download or _not_here)(hub_id)

        @self.huey.task()
        def check_waits(check_id: str) -> None:
            (on_check or _not_here)(check_id)

        self.path = path
        self._inode = path.stat().st_ino
        self._run_waits, self._download_waits, self._check_waits = run_waits, download_waits, check_waits

    def ring_for_run(self, run_id: str) -> None:
        """Say that a run waits. The database knows it already, so a ring that fails is told in the log and no more."""
        self._ring(self._run_waits, run_id)

    def ring_for_download(self, hub_id: str) -> None:
        self._ring(self._download_waits, hub_id)

    def ring_for_check(self, check_id: str) -> None:
        self._ring(self._check_waits, check_id)

    def pending(self) -> int:
        """Messages that no worker has taken yet."""
        return self.huey.pending_count()

    def mend(self) -> None:
        """Make the queue's file anew where somebody deleted it; what waits is rung for again from the database."""
        if self.path.exists() and self.path.stat().st_ino == self._inode:
            return
        log.warning("The queue's file was gone and is made anew.")
        self.path.touch(mode=0o600)
        self._inode = self.path.stat().st_ino
        self.huey.storage = self.huey.create_storage()

    def _ring(self, task: Callable[[str], object], value: str) -> None:
        try:
            self.mend()
            task(value)
        except sqlite3.Error:
            log.warning("The queue did not take the ring for %r; the worker looks by itself.", value, exc_info=True)


def _not_here(_id: str) -> None:
    raise RuntimeError("This process rings the bell; only the worker answers it.")
