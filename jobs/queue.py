"""The queue: Huey as a doorbell. A message carries one id as JSON; the database says what is to be done."""

import json
from collections.abc import Callable
from pathlib import Path

from huey import SqliteHuey
from huey.registry import Message
from huey.serializer import Serializer
from sqlalchemy.engine import make_url

from storage.settings import StudioSettings


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
                 on_download: Callable[[str], None] | None = None):
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

        self.ring_for_run: Callable[[str], object] = run_waits
        self.ring_for_download: Callable[[str], object] = download_waits

    def pending(self) -> int:
        """Messages that no worker has taken yet."""
        return self.huey.pending_count()


def _not_here(_id: str) -> None:
    raise RuntimeError("This process rings the bell; only the worker answers it.")
