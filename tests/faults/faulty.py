"""Starts work in a forked process in which one fault waits, as the worker starts its trainers."""

import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess

import storage.faults
from jobs import trainers
from jobs.services import Services, open_services
from jobs.stopping import end_from_checkpoint
from storage.faults import Fault
from storage.records import Run
from storage.settings import StudioSettings


def start_trainer_with(fault: str, run: Run, services: Services) -> ForkServerProcess:
    """The real trainer of a claimed run, with a fault such as finish:3."""
    return _start(fault, trainers._run_trainer, run.id, run.fence, services.settings, time.monotonic())


def start_stopping_with(fault: str, run: Run, services: Services) -> ForkServerProcess:
    """What a worker does with a stopped run whose trainer is gone."""
    return _start(fault, _end_from_checkpoint, run.id, services.settings)


def _start(fault: str, work: Callable, *arguments) -> ForkServerProcess:
    process = trainers._context.Process(target=_with_fault, args=(fault, work, *arguments))
    process.start()
    return process


def _with_fault(fault: str, work: Callable, *arguments) -> None:
    storage.faults._fault = Fault.from_env({"STUDIO_FAULT": fault})
    work(*arguments)


def _end_from_checkpoint(run_id: str, settings: StudioSettings) -> None:
    services = open_services(settings)
    end_from_checkpoint(services, services.runs.get(run_id))
