"""Fixtures that all tests share: settings on a temporary home, and tiny real models."""

import os

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.pop("STUDIO_HOME", None)

import signal  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

from jobs.services import open_services  # noqa: E402
from storage.settings import StudioSettings  # noqa: E402
from tests import tiny_models  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture
def settings(tmp_path):
    return StudioSettings.from_env({"STUDIO_HOME": str(tmp_path / "home")})


@pytest.fixture
def services(settings):
    return open_services(settings)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory):
    return tiny_models.make_tiny_llama(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    return tiny_models.make_tiny_bert(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture(scope="session")
def chats(tmp_path_factory):
    return tiny_models.write_chats(tmp_path_factory.mktemp("data") / "chats.jsonl")


@pytest.fixture(scope="session")
def labelled(tmp_path_factory):
    return tiny_models.write_labels(tmp_path_factory.mktemp("data") / "labelled.csv")


@pytest.fixture(scope="session")
def shared_data():
    if not SHARED_DATA.is_dir():
        pytest.skip("the real data sets lie beside the checkout, in ../shared/data, and are not there")
    return SHARED_DATA


class WorkerProcess:
    """A real worker, as `python app.py worker` starts it."""

    def __init__(self, settings: StudioSettings):
        self.settings = settings
        settings.make_folders()
        self.log = settings.logs_dir / "worker.log"
        with self.log.open("a") as log:
            self.process = subprocess.Popen([sys.executable, str(ROOT / "app.py"), "worker"], stdout=log, stderr=log,
                                            start_new_session=True, env={**os.environ, "STUDIO_HOME": str(settings.home)})

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@pytest.fixture(scope="session")
def working_services(tmp_path_factory):
    """Services with a worker that serves them; one for the whole session, since a warm one answers at once."""
    settings = StudioSettings.from_env({"STUDIO_HOME": str(tmp_path_factory.mktemp("working"))})
    services = open_services(settings)
    worker = WorkerProcess(settings)
    yield services
    worker.stop()


def wait_for_end(services, run_id: str, seconds: float = 120):
    """The run, once it has ended; fails with its log when that takes too long."""
    return wait_until(services, run_id, lambda run: run.state.is_end, seconds)


def wait_until(services, run_id: str, condition, seconds: float = 60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        run = services.runs.get(run_id)
        if condition(run):
            return run
        time.sleep(0.1)
    lines = [line.text for line in services.runs.log_lines(run_id)]
    log = services.settings.runs_dir / run_id / "log.txt"
    pytest.fail(f"After {seconds} s the run is {run.state} {run.phase} at step {run.step}. {lines} "
                f"{log.read_text()[-3000:] if log.exists() else ''}")
