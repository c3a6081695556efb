"""The queue in a real browser: what its buttons do, and that the page shows the truth whatever dies."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter

import pytest
from playwright.sync_api import Page, expect

from jobs.recipe_reader import read_recipe
from jobs.submit import submit
from jobs.turn import Turn
from storage.records import Request, Run, RunState
from tests.browser.lab_book import add_run, start
from tests.conftest import ROOT, WorkerProcess, wait_for_end, wait_until

# ---- its buttons, without a worker


@pytest.fixture
def queue(pages, studio):
    """Four waiting runs and the page that shows them."""
    services = studio.services
    for run in [*services.queue.waiting(), *services.leases.running()]:
        services.queue.ask(run.id, Request.CANCEL)
    runs = [add_run(services, name) for name in ("first", "second", "third", "fourth")]
    page = pages.open(studio.url("/runs"))
    expect(page.locator("#queue tbody tr")).to_have_count(4 + len(services.leases.running()))
    return services, page, runs


def order(page: Page) -> list[str]:
    return page.locator("#queue tr[data-queued]:has(button[data-ask=up]) .st-name a").all_inner_texts()


def press(page: Page, name: str) -> None:
    page.locator("#queue").get_by_role("button", name=name, exact=True).click()


def test_runs_are_moved_held_and_cancelled_with_the_queues_buttons(queue):
    services, page, (first, second, third, fourth) = queue
    press(page, "Move fourth to the top")
    expect(page.locator("#queue .st-name a").first).to_have_text("fourth")
    press(page, "Move first down")
    expect(page.locator("#queue tbody tr").nth(1)).to_contain_text("second")
    assert order(page) == [run.name for run in services.queue.waiting()] == ["fourth", "second", "first", "third"]
    expect(page.get_by_role("button", name="Move fourth up")).to_be_disabled()
    press(page, "Hold second")
    row = page.locator("#queue tr", has_text="second")
    expect(row.locator(".st-badge")).to_have_text("Held")
    assert services.runs.get(second.id).held
    press(page, "Release second")
    expect(row.locator(".st-badge")).to_have_count(0)
    press(page, "Cancel third")
    expect(page.locator("#queue tr", has_text="third")).to_have_count(0)
    assert services.runs.get(third.id).state == RunState.CANCELLED
    expect(page.locator("#queue [role=status]").last).to_contain_text("python app.py worker")


def test_the_queue_is_ordered_with_the_keyboard_alone(queue):
    services, page, runs = queue
    page.get_by_role("button", name="Move third up").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#queue tbody tr").nth(1)).to_contain_text("third")
    expect(page.get_by_role("button", name="Move third up")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#queue tbody tr").nth(0)).to_contain_text("third")
    expect(page.get_by_role("button", name="Move third down")).to_be_focused()  # there is no further up
    page.get_by_role("button", name="Cancel third").focus()
    page.keyboard.press("Space")
    expect(page.locator("#queue tr", has_text="third")).to_have_count(0)
    expect(page.locator("#queue [data-ask=cancel]").first).to_be_focused()
    assert [run.name for run in services.queue.waiting()] == ["first", "second", "fourth"]


def test_what_somebody_else_changes_is_shown_and_keeps_the_focus(queue):
    services, page, (first, *_, fourth) = queue
    page.get_by_role("button", name="Hold first").focus()
    services.queue.move(fourth.id, "top")
    expect(page.locator("#queue .st-name a").first).to_have_text("fourth")
    expect(page.get_by_role("button", name="Hold first")).to_be_focused()


def test_cancelling_a_run_that_trains_asks_first(queue):
    services, page, (first, *_) = queue
    run = start(services, services.runs.get(first.id), share=0.5)
    press(page, "Cancel first")
    expect(page.get_by_role("button", name="Keep first")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Cancel first")).to_be_focused()
    assert services.runs.get(run.id).request == Request.NONE
    press(page, "Cancel first")
    press(page, "Yes, cancel first and throw away what was learnt")
    expect(page.locator("#queue tr", has_text="first")).to_contain_text("Cancelling")
    assert services.runs.get(run.id).request == Request.CANCEL
    services.leases.end(run.id, run.fence, RunState.CANCELLED)


def fill(field, text: str) -> None:
    """Type into a field that was unfolded just now: Gradio may draw it once more within the first moments."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        field.fill(text)
        time.sleep(0.2)
        if field.input_value() == text:
            return
    raise AssertionError(f"the field does not keep '{text}'")


def test_a_waiting_run_is_changed_on_its_own_page(queue, pages, studio):
    services, _, (*_, fourth) = queue
    page = pages.open(studio.url(f"/run?id={fourth.id}"))
    expect(page.locator("#run-status")).to_contain_text("Number 4 in the queue")
    page.get_by_role("button", name="To the top").click()
    expect(page.locator("#run-status")).to_contain_text("Next in the queue")
    page.get_by_role("button", name="Hold", exact=True).click()
    expect(page.locator("#run-status")).to_contain_text("Held")
    page.get_by_role("button", name="Release").click()
    expect(page.locator("#run-status")).to_contain_text("Next in the queue")
    page.get_by_role("button", name="Change when and where").click()
    fill(page.get_by_label("Not before"), "tomorrow")
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.locator("#run-turn-problems")).to_contain_text("Not before is 'tomorrow'. Give a date and a time")
    page.get_by_label("Not before").fill("2126-11-22 08:00")
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.locator("#run-status")).to_contain_text("Waits for its time: 2126-11-22 08:00")
    assert services.runs.get(fourth.id).start_at


def test_the_train_page_says_when_and_whose_and_remembers_the_name(pages, studio):
    page = pages.open(studio.url("/"))
    page.locator("#base-facts dl").wait_for()
    page.get_by_role("button", name="Try the example").click()
    expect(page.locator("#data")).to_contain_text("poet.jsonl")
    page.get_by_role("button", name="When and where").click()
    page.get_by_label("Hold").check()
    page.get_by_label("Your name").fill("Ann")
    expect(page.get_by_label("Your name")).to_have_value("Ann")
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url("**/run?id=*")
    run = studio.services.runs.get(page.url.split("id=")[1])
    assert (run.owner, run.held) == ("Ann", True)
    page.goto(studio.url("/"))
    page.get_by_role("button", name="When and where").click()
    expect(page.get_by_label("Your name")).to_have_value("Ann")
    studio.services.queue.ask(run.id, Request.CANCEL)


# ---- with a worker, and everything dies

WORDS = {RunState.QUEUED: "Waiting", RunState.RUNNING: "Running", RunState.FINISHED: "Finished", RunState.CANCELLED: "Cancelled"}
PATIENCE = 60_000  # ms


class WebProcess:
    """The page as `python app.py serve` serves it, in a process that can be killed; always on the same port."""

    def __init__(self, settings):
        self.settings = settings
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self.start()

    def start(self) -> None:
        environment = {**os.environ, "STUDIO_HOME": str(self.settings.home), "STUDIO_PORT": self.address.rsplit(":")[-1]}
        self.process = subprocess.Popen([sys.executable, str(ROOT / "app.py"), "serve"], env=environment,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.address}/healthz", timeout=5).read()
                return
            except OSError:
                assert self.process.poll() is None
                time.sleep(0.05)
        pytest.fail("the page did not come up")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def web(settings):
    web = WebProcess(settings)
    yield web
    web.kill()


def shows_the_truth(page: Page, services, runs: list[Run]) -> None:
    """The lab book shows the state of every run as the database has it, and the queue its order."""
    deadline = time.monotonic() + 60
    while True:
        before = {run.name: services.runs.get(run.id).state for run in runs}
        waiting = [run.name for run in services.queue.waiting()]
        shown = {name: page.locator("#runs-table tr", has=page.get_by_role("link", name=name, exact=True)).locator(".st-pill")
                 .inner_text().split()[0] for name in before}
        if shown == {name: WORDS[state] for name, state in before.items()} and order(page) == waiting:
            return
        assert time.monotonic() < deadline, f"the page shows {shown} and {order(page)}, the truth is {before} and {waiting}"
        time.sleep(0.2)


def test_the_page_shows_the_truth_and_every_run_ends_once_whatever_dies(services, settings, web, pages, tiny_llama, chats):
    def train(name, epochs):
        return submit(services, read_recipe({
            "name": name, "base_model": str(tiny_llama), "dataset": {"source": str(chats)},
            "training": {"epochs": epochs, "learning_rate": 1e-3, "save_steps": 20}}), turn=Turn(owner="ann"))

    long, second, doomed, last = runs = [train("long", 300), train("second", 8), train("doomed", 8), train("last", 8)]
    worker = WorkerProcess(settings)
    try:
        # four runs: the first trains, the others wait
        page = pages.open(f"{web.address}/runs")
        wait_until(services, long.id, lambda run: run.step >= 5)
        expect(page.locator("#queue")).to_contain_text("1 running, 3 waiting")
        shows_the_truth(page, services, runs)

        # reorder, and cancel one that waits
        press(page, "Move last to the top")
        expect(page.locator("#queue tr", has_text="last").locator(".st-place")).to_have_text("1")
        press(page, "Cancel doomed")
        expect(page.locator("#runs-table tr", has_text="doomed")).to_contain_text("Cancelled")
        assert order(page) == [run.name for run in services.queue.waiting()] == ["last", "second"]

        # the worker dies: the trainer goes on, and so does what the page says of it
        step = services.runs.get(long.id).step
        worker.process.kill()
        worker.process.wait()
        wait_until(services, long.id, lambda run: run.step > step)
        shows_the_truth(page, services, runs)
        worker = WorkerProcess(settings)

        # the web process dies and comes back
        web.kill()
        with page.expect_navigation(timeout=PATIENCE):  # the page notices by itself
            web.start()
        shows_the_truth(page, services, runs)
        lost = "Failed to load resource: net::ERR_"  # what the browser says of a server that is not there
        pages.complaints[:] = [complaint for complaint in pages.complaints if lost not in complaint]
        assert services.runs.get(long.id).fence == 1, "neither death touched the run"

        # cancel the one that trains: the device is free for the next one within 20 s
        press(page, "Cancel long")
        press(page, "Yes, cancel long and throw away what was learnt")
        asked = time.monotonic()
        assert wait_for_end(services, long.id, seconds=20).state == RunState.CANCELLED
        wait_until(services, last.id, lambda run: run.state != RunState.QUEUED, seconds=max(1, 20 - (time.monotonic() - asked)))
        shows_the_truth(page, services, runs)

        # the others end by themselves, in the order that was chosen
        ended = [wait_for_end(services, run.id) for run in (last, second)]
        assert [run.state for run in ended] == [RunState.FINISHED] * 2 and ended[0].finished_at < ended[1].started_at
        shows_the_truth(page, services, runs)
        expect(page.locator("#queue")).to_have_text(re.compile(r"^\s*$"), timeout=PATIENCE)
    finally:
        worker.stop(signal.SIGINT)
    states = Counter()
    for run in runs:
        ends = [event.to_state for event in services.runs.events(run.id) if RunState(event.to_state).is_end]
        assert len(ends) == 1, f"{run.name} ended as {ends}"
        assert ends == [services.runs.get(run.id).state]
        states.update(ends)
    assert states == {"cancelled": 2, "finished": 2}
