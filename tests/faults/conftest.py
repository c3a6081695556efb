"""Real workers that can be killed, and runs that train in a second."""

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Callable

import pytest

from jobs.forecast.result import PARTS, Forecast
from jobs.recipe_reader import read_recipe
from jobs.services import Services, open_services
from jobs.submit import submit
from jobs.turn import Turn
from jobs.watchman import kill_trainer
from storage.records import Run
from storage.settings import StudioSettings
from tests.conftest import WorkerProcess

# said of every run before it starts, so that no worker makes a forecast beside it
SAID = Forecast(device="cpu", peak_memory_bytes=700_000_000, parts=dict.fromkeys(PARTS, 100_000_000), when="loss head",
                trainable_parameters=1, total_parameters=1, checkpoint_bytes=1, disk_bytes=1)


class Workshop:
    """A studio's home with workers on it, and runs for them."""

    def __init__(self, services: Services, base: str, data: str):
        self.services, self.base, self.data = services, base, data
        self.workers: list[WorkerProcess] = []

    def start_worker(self, **environ: str) -> WorkerProcess:
        worker = WorkerProcess(self.services.settings, **environ)
        self.workers.append(worker)
        return worker

    def kill_worker(self, worker: WorkerProcess) -> None:
        """As a crash does it: its trainers live on, nothing is said."""
        worker.process.kill()
        worker.process.wait()
        self.workers.remove(worker)

    def submit(self, turn: Turn = Turn(), **training) -> Run:
        """A run of about a second, in three steps unless told otherwise; it has something to evaluate."""
        run = submit(self.services, read_recipe({
            "name": f"run {time.monotonic_ns()}", "base_model": self.base, "dataset": {"source": self.data},
            "training": {"max_steps": 3, "batch_size": 4, "learning_rate": 1e-3, **training}}), turn=turn)
        self.services.runs.keep_forecast(run.id, SAID.record())
        return run

    def close(self) -> None:
        for worker in list(self.workers):
            self.kill_worker(worker)
        for run in self.services.leases.running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(run.pid, signal.SIGCONT) if run.pid else None
            kill_trainer(run)


@pytest.fixture(scope="session")
def open_workshop(tmp_path_factory, tiny_llama, chats):
    """Opens a workshop on a home of its own; its workers end with the tests."""
    opened: list[Workshop] = []

    def open_workshop(devices: tuple[str, ...] = ("cpu",), lease_seconds: int = 60) -> Workshop:
        settings = StudioSettings.from_env({"STUDIO_HOME": str(tmp_path_factory.mktemp("workshop"))})
        services = open_services(dataclasses.replace(settings, devices=devices, lease_seconds=lease_seconds))
        opened.append(Workshop(services, str(tiny_llama), str(chats)))
        return opened[-1]

    yield open_workshop
    for workshop in opened:
        workshop.close()


@pytest.fixture
def workshop(open_workshop):
    workshop = open_workshop()
    yield workshop
    workshop.close()


@pytest.fixture(scope="session")
def warm_workshop(open_workshop):
    workshop = open_workshop(devices=("cpu:0", "cpu:1", "cpu:2", "cpu:3"))
    workshop.start_worker()
    return workshop


@pytest.fixture
def busy_workshop(warm_workshop):
    """One with four places and a warm worker, for all tests that leave it as it is. No run outlives its test, however that ends."""
    yield warm_workshop
    queue, runs = warm_workshop.services.queue, warm_workshop.services.runs
    for run in [run for run in runs.search() if not run.state.is_end]:
        queue.ask(run.id, "cancel")
        wait_for(lambda: runs.get(run.id).state.is_end, 60, f"the end of {run.name}")  # noqa: B023


def wait_for(look: Callable[[], object], seconds: float, what: str):
    """What `look` gives once that is true; fails with `what` when it takes too long."""
    deadline = time.monotonic() + seconds
    while not (value := look()):
        if time.monotonic() > deadline:
            pytest.fail(f"Not within {seconds} s: {what}")
        time.sleep(0.02)
    return value
