"""A sweep in a real browser: made on the Train page, watched and cancelled on its own."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from storage.records import Request, RunState
from tests.browser.lab_book import finish
from tests.browser.sweep_book import add_sweep, claim, end, filled_sweep


def open_sweep(pages, studio, sweep_id: str, **looks) -> Page:
    page = pages.open(studio.url(f"/sweep?id={sweep_id}"), **looks)
    page.locator("#sweep-table tbody tr").first.wait_for()
    return page


def runs_in_table(page: Page) -> list[str]:
    return page.locator("#sweep-table tbody .st-sweep-run a").all_inner_texts()


def choose(page: Page, field: str, option: str) -> None:
    page.locator(f"#{field} input").click()
    page.get_by_role("option", name=option, exact=True).click()


def test_several_values_make_a_sweep_of_runs(pages, studio):
    page = pages.open(studio.url("/"))
    page.locator("#base-facts dl").wait_for()
    page.get_by_role("button", name="Try the example").click()
    expect(page.locator("#data")).to_contain_text("poet.jsonl")
    page.get_by_role("button", name="Try several values").click()
    page.get_by_label("Learning rates").fill("1e-3, 2e-3")
    expect(page.locator("#sweep-line")).to_contain_text("This makes 2 runs.")
    page.get_by_label("Ranks").fill("4, four")
    expect(page.locator("#sweep-line")).to_contain_text("Rank is 'four'. It must be a whole number.")
    page.get_by_label("Ranks").fill("4, 8")
    expect(page.locator("#sweep-line")).to_contain_text("This makes 4 runs.")
    choose(page, "train-sweep-methods", "LoRA")
    choose(page, "train-sweep-methods", "Prompt tuning")
    expect(page.locator("#sweep-line")).to_contain_text("This makes 6 runs.")
    expect(page.get_by_label("Virtual tokens")).to_have_count(1)  # the radio above still says LoRA
    page.locator("#name textarea, #name input").fill("many poets")
    page.get_by_role("button", name="Start training").dblclick()
    page.wait_for_url("**/sweep?id=*")
    expect(page.locator("h1")).to_have_text("many poets")
    expect(page.locator("#sweep-status")).to_contain_text("6 waiting")
    runs = studio.services.runs.search("many poets")
    assert len(runs) == 6, "a double click is one sweep"
    assert {run.name for run in runs} >= {"many poets · lora · r 4 · lr 0.001", "many poets · prompt-tuning · lr 0.002"}


def test_a_sweep_is_watched_until_its_best_is_known(pages, studio):
    services = studio.services
    sweep = add_sweep(services, "watched sweep", seed=[1, 2])
    first, second = services.sweeps.runs(sweep.id)
    page = open_sweep(pages, studio, sweep.id)
    expect(page.locator("#sweep-status")).to_contain_text("2 waiting")
    expect(page.get_by_role("link", name="Run the best again")).to_have_count(0)
    running = claim(services, first, 0.5)
    expect(page.locator("#sweep-status")).to_contain_text("1 training, 1 waiting")
    expect(page.locator("#sweep-table")).to_contain_text("Running 50%")
    finish(services, running, eval_loss=0.7)
    expect(page.locator("#sweep-table tr", has_text="Best")).to_contain_text("0.7")
    end(services, second, 0.4)
    expect(page.locator("#sweep-status")).to_contain_text("2 finished")
    expect(page.locator("#sweep-table tr", has_text="Best")).to_contain_text("0.4")
    expect(page.locator("#sweep-parallel desc")).to_have_text(re.compile("The best is Run 2: seed 2, Evaluation loss 0.4"))
    expect(page.get_by_role("link", name="Run the best again")).to_have_attribute("href", f"/?from={second.id}")
    expect(page.get_by_role("button", name="Cancel the rest")).to_be_hidden()


def test_the_rest_is_cancelled_after_a_question(pages, studio):
    services = studio.services
    sweep = filled_sweep(services)
    page = open_sweep(pages, studio, sweep.id)
    page.get_by_role("button", name="Cancel the rest").click()
    page.get_by_role("button", name="Keep it going").click()
    assert services.sweeps.runs(sweep.id)[8].state == RunState.QUEUED
    page.get_by_role("button", name="Cancel the rest").click()
    page.get_by_role("button", name="Yes, cancel them").click()
    expect(page.locator("#sweep-status")).to_contain_text("4 finished, 1 failed, 3 cancelled, 1 training")
    assert services.sweeps.runs(sweep.id)[6].request == Request.CANCEL
    expect(page.get_by_role("button", name="Cancel the rest")).to_be_hidden()


def test_the_table_is_sorted_and_leads_to_the_runs(pages, studio):
    sweep = filled_sweep(studio.services)
    page = open_sweep(pages, studio, sweep.id)
    assert runs_in_table(page)[:4] == ["Run 3", "Run 2", "Run 4", "Run 1"]
    choose(page, "sweep-sort", "As they were queued")
    expect(page.locator("#sweep-table tbody .st-sweep-run a").first).to_have_text("Run 1")
    page.locator("#sweep-table tr", has_text="Failed").locator("td").nth(2).click()
    page.wait_for_url("**/run?id=*")
    page.get_by_role("link", name="One run of a sweep").click()
    page.wait_for_url(f"**/sweep?id={sweep.id}")


def test_nothing_is_sent_again_where_nothing_changed(pages, studio):
    sweep = filled_sweep(studio.services)
    page = open_sweep(pages, studio, sweep.id)
    page.locator("#sweep-parallel svg").wait_for()
    for _ in range(2):
        with page.expect_response(lambda answer: "predict" in answer.url) as answer:
            pass
    sent = json.loads(answer.value.body())["data"]
    assert len(sent) > 8 and "value" not in json.dumps(sent), sent


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious(pages, studio, dark):
    page = open_sweep(pages, studio, filled_sweep(studio.services).id, dark=dark)
    page.locator("#sweep-parallel svg").wait_for()
    page.get_by_role("button", name="Cancel the rest").click()
    page.get_by_role("button", name="Yes, cancel them").wait_for()
    found = Axe().run(page).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["target"]) for rule in found if rule["impact"] in ("serious", "critical")] == []
    assert "__i18n__" not in page.inner_text("body")


def test_a_narrow_page_scrolls_the_drawing_and_nothing_else(pages, studio):
    page = open_sweep(pages, studio, filled_sweep(studio.services).id, width=390, dark=True)
    page.locator("#sweep-parallel svg").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    drawing = page.locator(".st-parallel")
    assert drawing.evaluate("box => box.scrollWidth > box.clientWidth")
    drawing.focus()
    expect(drawing).to_be_focused()


def test_a_sweep_that_is_not_there_says_what_to_do(pages, studio):
    page = pages.open(studio.url("/sweep?id=nothing"))
    expect(page.locator(".st-empty")).to_contain_text("There is no sweep 'nothing'")
    expect(page.get_by_role("link", name="Open the lab book")).to_be_visible()
