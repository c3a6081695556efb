"""Fixtures that all tests share: settings on a temporary home, and tiny real models."""

import os

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # the tests run side by side, and all their trainers on the same cores
os.environ.pop("STUDIO_HOME", None)

import gc  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

from jobs.services import open_services  # noqa: E402
from storage.settings import StudioSettings  # noqa: E402
from tests import tiny_models  # noqa: E402

# a shell's background job ignores Ctrl-C, and so would every process that is started here
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="module", autouse=True)
def frozen():
    """Else every training and every model that is given back looks through the millions of objects that were imported."""
    gc.collect()
    gc.freeze()


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


BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser():
    """One real browser for the whole session: Playwright allows no second one beside it."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.fail("The browser tests need Chromium, and none was found. On Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


class WorkerProcess:
    """A real worker, as `python app.py worker` starts it."""

    def __init__(self, settings: StudioSettings, **environ: str):
        self.settings = settings
        environ = {**os.environ, "STUDIO_HOME": str(settings.home), "STUDIO_DEVICES": ",".join(settings.devices),
                   "STUDIO_LEASE_SECONDS": str(settings.lease_seconds), **environ}
        settings.make_folders()
        self.log = settings.logs_dir / "worker.log"
        with self.log.open("a") as log:
            self.process = subprocess.Popen([sys.executable, str(ROOT / "app.py"), "worker"], stdout=log, stderr=log,
                                            start_new_session=True, env=environ)

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


def wait_for_end(services, run_id: str, seconds: float = 300):
    """The run, once it has ended; fails with its log when that takes too long."""
    return wait_until(services, run_id, lambda run: run.state.is_end, seconds)


def wait_until(services, run_id: str, condition, seconds: float = 180):
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


def pytest_terminal_summary(terminalreporter):
    """The table of tests/jobs/methods, put together from what its tests have found of each method."""
    rows: dict[str, dict[str, str]] = {}
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        for value in (value for name, value in getattr(report, "user_properties", ()) if name == "method"):
            rows.setdefault(value["name"], {}).update(value["found"])
    if not rows:
        return
    terminalreporter.section("what the methods do")
    abilities = list(dict.fromkeys(ability for found in rows.values() for ability in found))
    terminalreporter.write_line(" " * 24 + " ".join(ability.replace("_", " ") for ability in abilities))
    reasons: dict[str, dict[str, None]] = {}
    for name, found in rows.items():
        marks = {ability: "" if ability not in found else "no" if found[ability] else "yes" for ability in abilities}
        terminalreporter.write_line(f"{name:24}{' '.join(f'{mark:{len(ability)}}' for ability, mark in marks.items())}".rstrip())
        for why in filter(None, found.values()):
            reasons.setdefault(why, {})[name] = None
    for why, names in reasons.items():
        terminalreporter.write_line(f"no: {why} ({', '.join(names)})")
