"""The warm server: a process that has torch and transformers imported, and forks a trainer in a blink."""

import multiprocessing
import os
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess

from jobs.processes import ProcessMark
from storage.records import Run
from storage.settings import StudioSettings

_context = multiprocessing.get_context("forkserver")
HAS_GPU = os.path.exists("/dev/nvidiactl")
# "app" is the front door: a forked process runs it again, under another name, before it does anything else
_context.set_forkserver_preload(["jobs.training.preload_safe" if HAS_GPU else "jobs.training.preload_all", "jobs.checking",
                                 "jobs.certificate.certifying", "app"])


def warm_up() -> None:
    """Start the server; it imports in the background while others go on."""
    forkserver.ensure_running()


def start_trainer(run: Run, settings: StudioSettings, claimed_at: float) -> ForkServerProcess:
    """Fork a trainer for a run that was claimed at `claimed_at` of the monotonic clock. It lives on when this process ends."""
    trainer = _context.Process(target=_run_trainer, args=(run.id, run.fence, settings, claimed_at), name=f"trainer-{run.id}")
    trainer.start()
    return trainer


def start_certificate(run_id: str, asked_at: float, device: str, settings: StudioSettings,
                      worker: ProcessMark) -> ForkServerProcess:
    """Fork a process that makes the certificate which was asked for then; it ends when the worker does."""
    process = _context.Process(target=_run_certificate, args=(run_id, asked_at, device, settings, worker),
                               name=f"certificate-{run_id}")
    process.start()
    return process


def start_forecast(run: Run, settings: StudioSettings) -> ForkServerProcess:
    """Fork a process that keeps the forecast of a run that has just started; it ends by itself."""
    process = _context.Process(target=_keep_forecast, args=(run.id, run.fence, settings), name=f"forecast-{run.id}")
    process.start()
    return process


def start_check(check_id: str, settings: StudioSettings, worker: ProcessMark) -> ForkServerProcess:
    """Fork a process, named by the check, that makes a health report; it ends when the worker does."""
    process = _context.Process(target=_run_check, args=(check_id, settings, worker), name=check_id)
    process.start()
    return process


def _run_trainer(run_id: str, fence: int, settings: StudioSettings, claimed_at: float) -> None:
    from jobs.training.process import run_trainer  # imported already in the server; here so that the worker stays light

    run_trainer(run_id, fence, settings, claimed_at)


def _keep_forecast(run_id: str, fence: int, settings: StudioSettings) -> None:
    from jobs.forecast.keeping import forecast_of_run

    forecast_of_run(run_id, fence, settings)


def _run_certificate(run_id: str, asked_at: float, device: str, settings: StudioSettings, worker: ProcessMark) -> None:
    from jobs.certificate.certifying import run_certificate

    run_certificate(run_id, asked_at, device, settings, worker)


def _run_check(check_id: str, settings: StudioSettings, worker: ProcessMark) -> None:
    from jobs.checking import run_check

    run_check(check_id, settings, worker)
