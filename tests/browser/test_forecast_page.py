"""Known before the start: settings that do not fit are marked, one click mends them, and the run takes what was forecast."""

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from storage.records import RunState
from tests.browser.conftest import serve_studio
from tests.conftest import WorkerProcess, wait_for_end

LIMIT = 1_600_000_000  # bytes that a trainer may take: its libraries need about a third of them
LONG = "the moss fox sleeps in the green hills " * 60
MINUTES = 4 * 60_000   # ms; forecasts and training wait for their share of a busy machine


@pytest.fixture
def small_studio(tmp_path):
    """A studio whose trainers may take little memory, with a worker."""
    limit = {"STUDIO_MEMORY_LIMIT": str(LIMIT)}
    studio = serve_studio(tmp_path / "home", **limit)
    worker = WorkerProcess(studio.services.settings, **limit)
    yield studio
    worker.stop()
    studio.stop()


def test_settings_that_do_not_fit_are_marked_and_mended_with_one_click(small_studio, pages):
    page = pages.open(small_studio.url("/"))
    expect(page.locator("#base-facts dl")).to_be_visible()
    rows = "".join(json.dumps({"text": f"{number} {LONG}"}) + "\n" for number in range(54))
    page.locator("#upload input[type=file]").set_input_files(
        {"name": "long.jsonl", "mimeType": "application/octet-stream", "buffer": rows.encode()})
    expect(page.locator("#data")).to_contain_text("All 54 rows can be used")
    for setting, value in (("batch_size", 48), ("max_length", 256), ("epochs", 1)):
        page.locator(f"#TrainingSettings-{setting} input").fill(str(value))

    verdict = page.locator("#forecast .st-forecast:not(.st-stale) .st-pill")
    expect(verdict).to_have_text("Does not fit", timeout=MINUTES)
    expect(page.locator("#forecast")).to_contain_text("Activations")
    page.get_by_role("button", name="Start training").click()
    expect(page.locator("#start-refusal")).to_contain_text("Not started: it would run out of memory.")
    assert small_studio.services.runs.search() == []
    changes = page.locator("#forecast-changes")
    expect(changes).to_contain_text("at a time:", timeout=MINUTES)
    assert serious(page) == []

    changes.get_by_role("button").first.click()
    expect(verdict).to_have_text("Fits", timeout=MINUTES)
    expect(page.locator("#start-refusal")).to_be_empty()
    expect(page.locator("#forecast h3")).to_be_focused()
    assert int(page.locator("#TrainingSettings-batch_size input").input_value()) < 48
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url("**/run?id=*")
    run = wait_for_end(small_studio.services, page.url.partition("id=")[2], MINUTES / 1000)
    assert run.state == RunState.FINISHED and not run.adjustments, run.problem
    assert run.recipe["training"]["batch_size"] * run.recipe["training"]["accumulation"] == 48
    assert run.peak_memory_bytes < 1.1 * run.forecast_memory_bytes


def serious(page: Page) -> list[str]:
    parts = {"include": [["#forecast"], ["#forecast-changes"], ["#start-refusal"]]}
    return [f"{rule['id']}: {node['target']}" for rule in Axe().run(page, context=parts).response["violations"]
            if rule["impact"] in ("serious", "critical") for node in rule["nodes"]]
