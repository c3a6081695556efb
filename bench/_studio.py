"""A served studio and a browser, for the measurements that need them."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")


@contextlib.contextmanager
def a_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Studio:
    """`python app.py serve`, from its start to its end."""

    def __init__(self, home: str, *options: str):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self.env = {**os.environ, "STUDIO_HOME": home, "STUDIO_PORT": self.address.rsplit(":")[-1]}
        self.options = options

    def __enter__(self) -> "Studio":
        self.began = time.monotonic()
        self.process = subprocess.Popen([sys.executable, str(ROOT / "app.py"), "serve", *self.options], env=self.env,
                                        stdout=subprocess.DEVNULL)
        return self

    def __exit__(self, *error) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)

    def wait_until_up(self) -> float:
        """Until /healthz answers; returns the seconds since the process was started."""
        while True:
            try:
                urllib.request.urlopen(f"{self.address}/healthz", timeout=1).read()
                return time.monotonic() - self.began
            except OSError:
                time.sleep(0.01)

    def open(self, page: Page) -> float:
        """Open the Train page as soon as the server answers; returns the seconds until its form can be used."""
        self.wait_until_up()
        page.goto(self.address, wait_until="commit")
        expect(page.locator("#base-facts")).to_contain_text("3.5 M", timeout=30_000)  # the last thing that the page fills in
        expect(page.locator("#start")).to_be_enabled()
        return time.monotonic() - self.began

    def train(self, recipe: Path) -> float:
        """Train by a recipe from the command line; returns the seconds that it trained."""
        done = subprocess.run([sys.executable, str(ROOT / "app.py"), "train", str(recipe), "--json"], env=self.env,
                              stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])["train_seconds"]


def wait_for_worker(studio: Studio) -> None:
    """Until the worker's trainer server has imported its libraries, as on a studio that has been up for a little while."""
    time.sleep(15)
    assert b'"workers":1' in urllib.request.urlopen(f"{studio.address}/healthz").read()


@contextlib.contextmanager
def callbacks_of(page: Page) -> Iterator[list[float]]:
    """The seconds that the browser waits for each of the server's answers meanwhile."""
    answers: list[float] = []

    def note(request) -> None:
        if request.method == "POST" and "/gradio_api/run/" in request.url:
            answers.append((request.timing["responseEnd"] - request.timing["requestStart"]) / 1000)

    page.on("requestfinished", note)
    yield answers
    page.remove_listener("requestfinished", note)


def latencies(seconds: list[float]) -> dict:
    return {"count": len(seconds), "median": round(statistics.median(seconds), 4),
            "95th_percentile": round(percentile(seconds), 4), "longest": round(max(seconds), 4)}


def percentile(seconds: list[float]) -> float:
    """The 95th."""
    return statistics.quantiles(seconds, n=20)[-1]


def choose_methods(page: Page, seconds: float) -> None:
    """On the Train page, change the method to and fro for that long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for method in ("IA³", "LoRA"):
            page.get_by_role("radio", name=re.compile(f"^{method}")).check()
            page.wait_for_timeout(400)


def search_runs(page: Page, words: Sequence[str]) -> None:
    """On the Runs page, search for each of the words."""
    for word in words:
        page.locator("#runs-search input, #runs-search textarea").first.fill(word)
        page.wait_for_timeout(500)


def start_example(page: Page, studio: Studio) -> float:
    """Start the example from the Train page, made longer; returns the time (monotonic) of the click, on the run's page."""
    page.goto(studio.address)
    page.locator("#example").click()
    expect(page.locator("#name input, #name textarea").first).to_have_value("poet")
    page.locator("#TrainingSettings-epochs input").fill("100")
    clicked = time.monotonic()
    page.locator("#start").click()
    page.wait_for_url(re.compile(r"/run\?id="))
    return clicked


def wait_for_step(page: Page) -> None:
    """On a run's page, until a step is told."""
    expect(page.locator("#run-status")).to_contain_text(re.compile(r"[1-9][\d,]* of [\d,]+"), timeout=60_000)


def cancel(page: Page) -> None:
    """On a run's page."""
    page.locator("#run-cancel").click()
    page.locator("#run-cancel-yes").click()
    expect(page.locator("#run-status")).to_contain_text("Cancelled", timeout=30_000)


def rounded(figures: list[float]) -> dict:
    return {"median": round(statistics.median(figures), 2), "all": [round(figure, 2) for figure in figures]}
