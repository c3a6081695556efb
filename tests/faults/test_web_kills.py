"""The web process dies with people watching: training goes on, the pages come back by themselves, and a form makes one run."""

import os
import random
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from playwright.sync_api import Page, expect

from storage.records import RunState
from storage.settings import REPOSITORY
from tests.conftest import wait_for_end, wait_until
from tests.faults.checker import check
from tests.faults.conftest import Workshop, wait_for
from tests.faults.record import full, record

RECOVERY = 10  # seconds, once the web process answers again: what F19 allows, judged where the machine has nothing else to do
PATIENCE = RECOVERY if full() else 120


class WebProcess:
    """The page's real process, which can be killed and started again at the same address."""

    def __init__(self, workshop: Workshop):
        self.settings = workshop.services.settings
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def start(self) -> None:
        with (self.settings.logs_dir / "web.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(REPOSITORY / "app.py"), "serve"], stdout=log, stderr=log,
                env={**os.environ, "STUDIO_HOME": str(self.settings.home), "STUDIO_PORT": str(self.port)})
        wait_for(self.answers, 60, "the web process answers")

    def answers(self) -> bool:
        try:
            return urllib.request.urlopen(self.url("/healthz"), timeout=2).status == 200
        except OSError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def web(busy_workshop):
    web = WebProcess(busy_workshop)
    yield web
    web.kill()


@pytest.fixture
def open_page(browser):
    contexts = []

    def open_page() -> Page:
        contexts.append(browser.new_context())
        contexts[-1].set_default_timeout(PATIENCE * 1000)
        return contexts[-1].new_page()

    yield open_page
    for context in contexts:
        context.close()


def test_pages_come_back_and_a_form_sent_before_and_after_makes_one_run(busy_workshop, web, open_page):
    services, chance, seconds, forms = busy_workshop.services, random.Random(1), [], []
    watched = busy_workshop.submit(max_steps=100_000)
    wait_until(services, watched.id, lambda run: run.step > 0)
    run_page, runs_page, train_page = [open_page() for _ in range(3)]
    run_page.goto(web.url(f"/run?id={watched.id}"))
    expect(run_page.locator("#run-status")).to_contain_text("Step ", timeout=PATIENCE * 1000)
    runs_page.goto(web.url("/runs"))
    expect(runs_page.locator("#runs-table")).to_contain_text(watched.name, timeout=PATIENCE * 1000)

    times = 5 if full() else 1
    for number in range(times):
        name = f"form {number}"
        fill_form(train_page, web, name)
        before = services.runs.get(watched.id).step
        train_page.get_by_role("button", name="Start training").dblclick()
        time.sleep(chance.choice([0, 0.05, 0.2]))  # before the run is accepted, or after it and before the page knows
        web.kill()
        asked_while_nobody_was_there(train_page)
        other = busy_workshop.submit()  # something that the pages must show when they are back
        wait_for(lambda: services.runs.get(watched.id).step > before + 3, 60, "training goes on")  # noqa: B023
        wait_for_end(services, other.id)
        web.start()
        back = time.monotonic()
        if train_page.evaluate("location.protocol") == "chrome-error:":
            train_page.reload()  # the browser was on its way to the run when the server went: its own page waits for the person
        expect(train_page.locator("h1")).to_have_text(name, timeout=PATIENCE * 1000)
        expect(runs_page.locator("#runs-table")).to_contain_text(other.name, timeout=PATIENCE * 1000)
        step = services.runs.get(watched.id).step
        wait_for(lambda: shown_step(run_page) >= step, PATIENCE, "the run's page shows its steps")  # noqa: B023
        seconds.append(time.monotonic() - back)
        assert seconds[-1] <= PATIENCE
        run, = services.runs.search(name)
        forms.append(run.id)

    assert services.runs.get(watched.id).attempts == 1
    for run_id in (watched.id, *forms):
        services.queue.ask(run_id, "cancel")
        assert wait_for_end(services, run_id).state in (RunState.CANCELLED, RunState.FINISHED)
    check(services)
    record("F19 kills of the web process", kills=times, runs=len(forms), lost=0, longest_recovery_seconds=round(max(seconds), 1))


def fill_form(page: Page, web: WebProcess, name: str) -> None:
    page.goto(web.url("/"))
    page.locator("#base-facts dl").wait_for()
    page.get_by_role("button", name="Try the example").click()
    expect(page.locator("#data")).to_contain_text("poet.jsonl", timeout=PATIENCE * 1000)
    page.locator("#name textarea, #name input").fill(name)


def asked_while_nobody_was_there(page: Page) -> None:
    """The person presses Start again, where the page has not gone on to the run."""
    button = page.get_by_role("button", name="Start training")
    if page.url.endswith("/") and button.count():
        button.click(force=True)


def shown_step(page: Page) -> int:
    """The step that the run's page tells, such as 'Step 1,204 of 100,000'; -1 where it tells none."""
    words = page.locator("#run-status").inner_text().replace(",", "").split() if page.locator("#run-status").count() else []
    return int(words[words.index("Step") + 1]) if "Step" in words else -1
