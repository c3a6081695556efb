"""The warm server: a process that has torch and transformers imported, and forks a trainer in a blink."""

import multiprocessing
import os
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess

from storage.records import Run
from storage.settings import StudioSettings

_context = multiprocessing.get_context("forkserver")
HAS_GPU = os.path.exists("/dev/nvidiactl")
_context.set_forkserver_preload(["jobs.training.preload_safe" if HAS_GPU else "jobs.training.preload_all"])


def warm_up() -> None:
    """Start the server; it imports in the background while others go on."""
    forkserver.ensure_running()


def start_trainer(run: Run, settings: StudioSettings) -> ForkServerProcess:
    """Fork a trainer for a claimed run. It lives on when this process ends."""
    trainer = _context.Process(target=_run_trainer, args=(run.id, run.fence, settings), name=f"trainer-{run.id}")
    trainer.start()
    return trainer


def _run_trainer(run_id: str, fence: int, settings: StudioSettings) -> None:
    from jobs.training.process import run_trainer  # imported already in the server; here so that the worker stays light

    run_trainer(run_id, fence, settings)
