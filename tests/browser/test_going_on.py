"""Going on from a run on its page: more epochs for one that finished, resuming one that was stopped."""

import pytest
from playwright.sync_api import expect

from jobs.recipe_reader import read_recipe
from jobs.submit import submit
from storage.records import Request, RunState
from tests.browser.conftest import serve_studio
from tests.conftest import wait_for_end, wait_until


@pytest.fixture
def served(working_services):
    studio = serve_studio(working_services.settings.home)
    yield studio
    studio.stop()


@pytest.fixture
def train(working_services, tiny_llama, chats):
    def train(name, epochs):
        return submit(working_services, read_recipe({
            "name": name, "base_model": str(tiny_llama), "dataset": {"source": str(chats)},
            "training": {"epochs": epochs, "learning_rate": 1e-3}}))
    return train


def test_a_finished_run_is_continued_for_more_epochs(served, pages, train, working_services):
    run = wait_for_end(working_services, train("short", 2).id)
    page = pages.open(served.url(f"/run?id={run.id}"))
    expect(page.get_by_label("Epochs in all")).to_have_value("4")
    page.get_by_label("Epochs in all").fill("1")
    page.get_by_role("button", name="Continue for more epochs").click()
    expect(page.locator("#run-continue-problems")).to_contain_text("has seen 2 epochs")
    page.get_by_label("Epochs in all").fill("3")
    page.get_by_role("button", name="Continue for more epochs").dblclick()
    page.wait_for_url(lambda url: run.id not in url)
    longer = working_services.runs.continued_by(run.id)
    assert [page.url.split("id=")[1]] == [one.id for one in longer], "a double click makes one run"
    expect(page.locator("#run-links")).to_contain_text("Goes on from short")
    ended = wait_for_end(working_services, longer[0].id)
    assert (ended.state, ended.step) == (RunState.FINISHED, run.step * 3 // 2)
    page.goto(served.url(f"/run?id={run.id}"))
    expect(page.locator("#run-links")).to_contain_text("Continued by short")


def test_a_stopped_run_is_resumed(served, pages, train, working_services):
    run = train("to stop", 200)
    wait_until(working_services, run.id, lambda run: run.step >= 5)
    working_services.queue.ask(run.id, Request.STOP)
    stopped = wait_for_end(working_services, run.id)
    page = pages.open(served.url(f"/run?id={run.id}"))
    page.get_by_role("button", name="Resume from step").click()
    page.wait_for_url(lambda url: run.id not in url)
    resumed = working_services.runs.get(page.url.split("id=")[1])
    wait_until(working_services, resumed.id, lambda run: run.step > stopped.step)
    working_services.queue.ask(resumed.id, Request.CANCEL)
    assert wait_for_end(working_services, resumed.id).state == RunState.CANCELLED
