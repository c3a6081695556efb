"""Downloads of base models as the worker does them: progress into the record, a problem as a sentence."""

import os
import threading

from jobs.models.hub import download
from jobs.services import Services
from storage.problems import StudioError


class Interrupted(Exception):
    """The worker is being stopped; what has arrived stays, and the download goes on at the next start."""


def download_base_model(services: Services, hub_id: str, stopping: threading.Event) -> None:
    """Fetch a model that somebody asked for, unless another worker does already."""
    if not services.downloads.claim(hub_id):
        return

    def on_progress(done: int, total: int) -> None:
        if stopping.is_set():
            raise Interrupted
        services.downloads.progress(hub_id, done_bytes=done, total_bytes=total)

    name, _, revision = hub_id.partition("@")
    try:
        download(name, services.settings.models_dir, revision=revision or None, token=os.environ.get("HF_TOKEN"),
                 on_progress=on_progress, keep_free=services.settings.free_space_floor)
    except Interrupted:
        services.downloads.progress(hub_id, state="queued")
    except StudioError as problem:
        services.downloads.progress(hub_id, state="failed", problem=str(problem))
    except Exception as error:
        services.downloads.progress(hub_id, state="failed", problem=f"The download ended unexpectedly: {error}. Try again.")
        raise
    else:
        services.downloads.progress(hub_id, state="finished")
