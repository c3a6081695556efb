"""Five methods of different families, compared on the demo model by a real worker; the best one answers in the playground."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from jobs.comparison import compare
from jobs.methods import METHODS
from tests.browser.conftest import PATIENCE, serve_studio

MINUTES = 5 * 60_000  # ms; training waits for its share of a busy machine
STEPS = 2


@pytest.fixture(scope="module")
def studio(working_services):
    """The page before the worker that serves the whole session."""
    studio = serve_studio(working_services.settings.home)
    yield studio
    studio.stop()


def test_five_methods_are_compared_and_the_best_answers_in_the_playground(pages, studio):
    page = pages.open(studio.url("/"))
    page.locator("#base-facts dl").wait_for()
    page.get_by_role("button", name="Try the example").click()
    expect(page.locator("#data")).to_contain_text("poet.jsonl", timeout=PATIENCE)

    # one click fills in some well-known methods; another family takes the place of one
    page.get_by_role("button", name="Compare methods").click()
    expect(page.locator("#compare-line")).to_contain_text("This makes 5 runs", timeout=PATIENCE)
    page.locator("#compare-methods .token", has_text="OFT").locator(".token-remove").click()
    page.locator("#compare-methods input").fill("Fourier")
    page.get_by_role("option", name="FourierFT", exact=True).click()
    page.locator("#compare-steps input").fill(str(STEPS))
    expect(page.locator("#compare-line")).to_contain_text("This makes 5 runs", timeout=PATIENCE)
    page.get_by_role("button", name="Start the comparison").click()

    # the page fills while the runs go
    page.wait_for_url(re.compile(r"/sweep\?id="), timeout=60_000)
    sweep_id = page.url.split("id=")[1]
    expect(page.locator("#sweep-status")).to_contain_text("5 finished", timeout=MINUTES)
    sweep, runs = studio.services.sweeps.get(sweep_id), studio.services.sweeps.runs(sweep_id)
    assert len({METHODS[run.method].family for run in runs}) == 5
    assert all(run.step == run.total_steps == STEPS and run.recipe["training"]["batch_size"] == 16 for run in runs)
    assert [run.recipe["training"]["learning_rate"] for run in runs] == [METHODS[run.method].learning_rate for run in runs]

    # every row is marked as its figures say
    compared = compare(sweep, runs)
    assert len(compared.beaten_by) == 5 and compared.best in compared.unbeaten
    for run in runs:
        row = page.locator(f"#sweep-table tr[data-href='/run?id={run.id}']")
        expect(row).to_contain_text("Finished")
        expect(row).to_contain_text("Beaten by" if compared.beaten_by[run.id] else "Nobody beats it")
        if run.id == compared.best:
            expect(row).to_contain_text("Best")
    charts = page.locator("#sweep-comparison .st-scatter")
    expect(charts).to_have_count(2)
    expect(charts.first.locator(".st-spot.st-unbeaten")).to_have_count(len(compared.unbeaten))
    expect(page.locator("#sweep-comparison")).to_contain_text("Peak memory of the training process")
    found = Axe().run(page).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["target"]) for rule in found if rule["impact"] in ("serious", "critical")] == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1240, "height": 900})

    # the best one answers, beside its base model
    page.get_by_role("link", name="Open the best in the playground").click()
    page.wait_for_url(re.compile(f"/playground\\?run={compared.best}"))
    page.locator("#prompt textarea").fill("Where does the moss fox live?")
    page.locator("#send").click()
    expect(page.locator(".st-pane")).to_have_count(2)
    for pane in page.locator(".st-pane").all():
        expect(pane.locator("footer")).to_contain_text("tokens", timeout=MINUTES)
        expect(pane.locator(".st-answer")).not_to_be_empty()
