"""Large files in a real browser: in pieces, through a web process that is killed, over a reload, and thrown away."""

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from jobs.services import Services, open_services
from storage.records import Dataset
from storage.settings import StudioSettings
from tests.conftest import ROOT

THRESHOLD, PIECE, SPEED = 1_000_000, 400_000, 4_000_000  # bytes; the last of them a second
ROWS = 80_000


class WebProcess:
    """The page's real process, which can be killed and started again at the same address."""

    def __init__(self, home: Path):
        self.services: Services = open_services(StudioSettings.from_env({"STUDIO_HOME": str(home)}))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        settings = self.services.settings
        with (settings.logs_dir / "web.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "app.py"), "serve"], stdout=log, stderr=log,
                env={**os.environ, "STUDIO_HOME": str(settings.home), "STUDIO_PORT": str(self.port)})
        deadline = time.monotonic() + 90
        while not self.answers():
            assert time.monotonic() < deadline and self.process.poll() is None, (settings.logs_dir / "web.log").read_text()
            time.sleep(0.1)

    def answers(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.address}/healthz", timeout=2).status == 200
        except OSError:
            return False

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    web = WebProcess(tmp_path_factory.mktemp("large"))
    yield web
    web.kill()


@pytest.fixture
def large(tmp_path, request) -> Path:
    """A file of some megabytes, another one for each test."""
    path = tmp_path / "large rows.csv"
    name = hashlib.sha256(request.node.name.encode()).hexdigest()[:12]
    path.write_text("question,answer\n" + "".join(f"{name} asks {number},the answer is {number}\n" for number in range(ROWS)))
    return path


@pytest.fixture
def page(browser, web) -> Page:
    context = browser.new_context(reduced_motion="reduce")
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.requested = []
    page.on("request", lambda request: page.requested.append((request.method, request.url)))
    opened(page, web)
    yield page
    context.close()


def opened(page: Page, web: WebProcess) -> None:
    page.goto(web.address)
    page.locator("#base-facts dl").wait_for()
    slow_and_small(page)


def slow_and_small(page: Page) -> None:
    """Make files count as large that a test can make, and the network as slow as a long one."""
    page.locator("#large-upload [data-large]").evaluate(
        f"(place) => {{ place.dataset.threshold = {THRESHOLD}; place.dataset.piece = {PIECE}; }}")
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", {
        "offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": SPEED})


def choose(page: Page, *files: Path) -> None:
    page.locator("#upload input[type=file]").set_input_files(list(files))


def at_least(page: Page, percent: int) -> None:
    """Wait until so much of the upload has been sent."""
    page.wait_for_function(
        f"Number(document.querySelector('#large-upload [data-bar]').getAttribute('aria-valuenow')) >= {percent}", timeout=60_000)


def kept(web: WebProcess, page: Page, path: Path) -> Dataset:
    """The data that the page shows, once it is what the file was."""
    expect(page.locator("#data")).to_contain_text(path.name, timeout=120_000)
    dataset = web.services.datasets.find(page.locator("#dataset textarea, #dataset input").input_value())
    assert [file["sha256"] for file in dataset.files] == [hashlib.sha256(path.read_bytes()).hexdigest()]
    assert dataset.origin == {"kind": "upload"}
    return dataset


def begun(page: Page) -> int:
    return len([url for method, url in page.requested if method == "POST" and url.endswith("/uploads")])


def test_a_large_file_goes_in_pieces_and_becomes_data_like_any_other(page, web, large):
    panel = page.locator("#large-upload")
    expect(panel).to_be_hidden()
    choose(page, large)
    expect(panel).to_contain_text("large rows.csv")
    expect(panel.get_by_role("progressbar", name="Upload of a large file")).to_be_visible()
    expect(panel).to_contain_text(re.compile(r"\d+% \(\d+\.\d MB of \d\.\d MB\)"))
    kept(web, page, large)
    expect(panel).to_be_hidden()
    assert begun(page) == 1
    assert len([url for method, url in page.requested if method == "PATCH"]) == -(-large.stat().st_size // PIECE)
    assert not list(web.services.settings.temporary_dir.glob("upload-*"))
    assert page.evaluate("localStorage.getItem('studio-uploads')") == "{}"


@pytest.mark.parametrize("asked_meanwhile", [False, True])
def test_a_killed_web_process_only_interrupts_an_upload(page, web, large, asked_meanwhile):
    choose(page, large)
    at_least(page, 30)
    web.kill()
    if asked_meanwhile:  # then Gradio loads the page anew once the studio is back, which must wait for the file
        page.evaluate("window.studioForecast()")
    expect(page.locator("#large-upload [role=status]")).to_contain_text("It is tried again", timeout=60_000)
    web.start()
    kept(web, page, large)
    assert begun(page) == 1, "it went on where it stopped"


def test_after_a_reload_the_same_file_goes_on_where_it_stopped(page, web, large):
    choose(page, large)
    at_least(page, 30)
    page.reload()
    page.locator("#base-facts dl").wait_for()
    told = page.locator("#large-upload")
    expect(told).to_contain_text(re.compile(r"The upload of large rows\.csv stopped at [2-9]\d%\. Choose the same file again"))
    slow_and_small(page)
    sent_before = len([url for method, url in page.requested if method == "PATCH"])
    choose(page, large)
    kept(web, page, large)
    assert begun(page) == 1
    sent_after = len([url for method, url in page.requested if method == "PATCH"]) - sent_before
    assert sent_after < -(-large.stat().st_size // PIECE), "only the rest was sent"


def test_an_upload_can_be_cancelled_and_leaves_nothing(page, web, large):
    choose(page, large)
    at_least(page, 10)
    page.get_by_role("button", name="Cancel the upload").press("Enter")
    expect(page.locator("#large-upload")).to_contain_text("The upload was thrown away.")
    expect(page.get_by_role("progressbar")).to_be_hidden()
    assert not list(web.services.settings.temporary_dir.glob("upload-*"))
    choose(page, large)
    kept(web, page, large)
    assert begun(page) == 2


def test_a_large_file_that_is_refused_gets_the_studios_own_sentence(page, web, large):
    film = large.rename(large.with_suffix(".mp4"))
    choose(page, film)
    expect(page.locator("#large-upload").get_by_role("alert")).to_contain_text("'large rows.mp4' is not a data file by its name")


def test_a_dropped_file_is_taken_as_a_chosen_one_and_small_ones_are_left_to_the_field(page, web):
    drop = """(button, [name, count]) => {
        const rows = Array.from({length: count}, (_, number) => `dropped ${count} ${number},yes\\n`).join("");
        const dropped = new DataTransfer();
        dropped.items.add(new File(["question,answer\\n" + rows], name));
        button.dispatchEvent(new DragEvent("drop", {dataTransfer: dropped, bubbles: true, cancelable: true}));
    }"""
    page.locator("#upload button").first.evaluate(drop, ["dropped.csv", 100_000])
    expect(page.locator("#data")).to_contain_text("dropped.csv", timeout=60_000)
    assert begun(page) == 1
    page.locator("#upload button").first.evaluate(drop, ["small.csv", 10])
    expect(page.locator("#data")).to_contain_text("small.csv")
    assert begun(page) == 1
