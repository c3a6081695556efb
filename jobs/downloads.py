"""Downloads of base models as the worker does them: progress into the record, a problem as a sentence."""

import logging
import os
import threading

from jobs.models.hub import download
from jobs.services import Services
from storage.problems import StudioError

log = logging.getLogger(__name__)


class Interrupted(Exception):
    """The worker is being stopped; what has arrived stays, and the download goes on at the next start."""


class Cancelled(Exception):
    """The person does not want it any more; what has arrived stays for the case that it is asked for again."""


def download_base_model(services: Services, hub_id: str, stopping: threading.Event) -> None:
    """Fetch a model that somebody asked for, unless another worker does already."""
    mine = services.downloads.claim(hub_id)
    if mine is None:
        return

    def on_progress(**figures: int) -> None:
        if stopping.is_set():
            raise Interrupted
        if not services.downloads.progress(mine, **figures):
            raise Cancelled

    name, _, revision = hub_id.partition("@")
    try:
        download(name, services.settings.models_dir, revision=revision or None, token=os.environ.get("HF_TOKEN"),
                 on_progress=lambda done, total: on_progress(done_bytes=done, total_bytes=total), look=on_progress,
                 keep_free=services.settings.free_space_floor)
    except Cancelled:
        log.info("The download of %s was cancelled.", hub_id)
    except Interrupted:
        services.downloads.progress(mine, state="queued")
    except StudioError as problem:
        services.downloads.progress(mine, state="failed", problem=str(problem))
    except Exception as error:
        services.downloads.progress(mine, state="failed", problem=f"The download ended unexpectedly: {error}. Try again.")
        raise
    else:
        services.downloads.progress(mine, state="finished")
