"""The Run page: live while a trainer writes, quiet where nothing happens, complete at the end."""

import json

from playwright.sync_api import Page, Response, expect

from storage.records import Request, RunState
from tests.browser.lab_book import NASTY, add_run, finish, go_on, start


def open_run(pages, studio, run_id: str) -> Page:
    page = pages.open(studio.url(f"/run?id={run_id}"))
    page.locator("#run-status .st-pill").wait_for()
    return page


def test_a_run_is_watched_from_the_queue_to_its_end(pages, studio):
    services = studio.services
    waiting = add_run(services, "watched")
    page = open_run(pages, studio, waiting.id)
    expect(page.locator("#run-status")).to_contain_text("Next in the queue")
    expect(page.get_by_role("button", name="Stop and save")).to_be_hidden()
    run = start(services, waiting, share=0.1)
    expect(page.locator("#run-status")).to_contain_text("Step 18 of 180")
    expect(page.locator("#run-status")).to_contain_text("left")
    expect(page.get_by_role("button", name="Stop and save")).to_be_visible()
    go_on(services, run, 90)
    expect(page.locator("#run-status")).to_contain_text("Step 90 of 180")
    expect(page.locator("#run-chart [role=img]")).to_have_attribute(
        "aria-label", "Loss over 90 steps. Training went from 2.74 to 0.563. Evaluation went from 1.97 to 0.798."
    )
    expect(page.locator("#run-log")).to_contain_text("Step 90")
    page.reload()
    expect(page.locator("#run-status")).to_contain_text("Step 90 of 180")
    finish(services, run)
    expect(page.locator("#run-status")).to_contain_text("Finished")
    expect(page.get_by_role("link", name="Open in the playground")).to_have_attribute("href", f"/playground?run={run.id}")
    expect(page.locator("#run-figures")).to_contain_text("before: 3.1")
    expect(page.locator("#run-samples")).to_contain_text("In verse,")
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    page.get_by_role("button", name="Your own prompts").click()
    page.get_by_label("Prompts with expected content").fill("Is it? => yes | no")
    page.get_by_role("button", name="Make a certificate").click()
    expect(page.locator("#certificate-shown")).to_contain_text("Waiting for a worker")
    assert services.certificates.find(run.id).wanted["prompts"] == [{"prompt": "Is it?", "expected": ["yes", "no"]}]


def test_a_certificate_tells_every_check_with_the_answers(pages, filled_studio):
    page = open_run(pages, filled_studio, filled_studio.book.finished)
    shown = page.locator("#certificate-shown")
    expect(shown).to_contain_text("Not passed: expected content.")
    expect(shown.locator("tbody .st-pill")).to_have_text(["Passed", "Failed", "Not checked"])
    shown.locator("summary").click()
    expect(shown.locator("details")).to_contain_text(NASTY)
    expect(page.get_by_role("button", name="Make it anew")).to_be_enabled()


def test_nothing_is_sent_again_where_nothing_changed(pages, filled_studio):
    answers: list[Response] = []
    page = open_run(pages, filled_studio, filled_studio.book.queued)
    page.locator("#run-recipe details").first.wait_for()
    page.on("response", lambda answer: "predict" in answer.url and answers.append(answer))
    with page.expect_response(lambda answer: "predict" in answer.url):
        pass
    with page.expect_response(lambda answer: "predict" in answer.url):
        pass
    answer = json.loads(answers[-1].body())
    assert len(answer["data"]) > 8
    assert "value" not in json.dumps(answer["data"]), answer["data"]


def test_an_ended_run_is_not_asked_about_again(pages, filled_studio):
    page = open_run(pages, filled_studio, filled_studio.book.finished)
    page.locator("#run-samples h2").wait_for()
    asked = []
    page.on("request", lambda request: "gradio_api" in request.url and asked.append(request.url))
    page.wait_for_timeout(2500)  # longer than two polls would take
    assert [url for url in asked if "heartbeat" not in url] == []


def test_stopping_asks_the_trainer_to_save(pages, studio):
    run = start(studio.services, add_run(studio.services, "to stop"), share=0.3)
    page = open_run(pages, studio, run.id)
    page.get_by_role("button", name="Stop and save").click()
    expect(page.locator("#run-status")).to_contain_text("what was learnt will be saved")
    assert studio.services.runs.get(run.id).request == Request.STOP
    expect(page.get_by_role("button", name="Stop and save")).to_be_disabled()
    finish(studio.services, studio.services.runs.get(run.id), RunState.STOPPED)
    expect(page.locator("#run-status")).to_contain_text("Stopped at step 54 of 180")


def test_cancelling_has_to_be_confirmed(pages, studio):
    run = add_run(studio.services, "to cancel")
    page = open_run(pages, studio, run.id)
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Keep it going").click()
    assert studio.services.runs.get(run.id).state == RunState.QUEUED
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Yes, cancel the run").click()
    expect(page.locator("#run-status")).to_contain_text("Cancelled; nothing was kept")
    assert studio.services.runs.get(run.id).state == RunState.CANCELLED


def test_a_failed_run_says_why_and_what_to_do(pages, filled_studio):
    page = open_run(pages, filled_studio, filled_studio.book.failed)
    expect(page.locator("#run-status [role=alert]")).to_have_text(
        "The loss became infinite at step 18. Lower the learning rate, for example to 0.0002."
    )
    expect(page.get_by_role("link", name="Run again with changes")).to_have_attribute(
        "href", f"/?from={filled_studio.book.failed}"
    )
    expect(page.get_by_role("link", name="Download zip")).to_have_count(0)


def test_a_name_is_shown_as_text(pages, filled_studio):
    page = open_run(pages, filled_studio, filled_studio.book.nasty)
    expect(page.locator("h1")).to_have_text(NASTY)
    assert page.locator("main img[src=x]").count() == 0


def test_the_zip_and_the_log_are_downloads(pages, filled_studio):
    run_id = filled_studio.book.finished
    settings = filled_studio.services.settings
    (settings.runs_dir / run_id).mkdir(exist_ok=True)
    (settings.runs_dir / run_id / "log.txt").write_text("the whole log")
    page = open_run(pages, filled_studio, run_id)
    with page.expect_download() as zip_file:
        page.get_by_role("link", name="Download zip").click()
    assert zip_file.value.path().read_bytes() == (settings.adapters_dir / f"{run_id}.zip").read_bytes()
    with page.expect_download() as log_file:
        page.get_by_role("link", name="Whole log").click()
    assert log_file.value.path().read_text() == "the whole log"
    assert log_file.value.suggested_filename == "poet log.txt"


def test_the_chart_tells_its_values_under_the_pointer(pages, filled_studio):
    page = open_run(pages, filled_studio, filled_studio.book.finished)
    plot = page.locator("#run-chart .st-plot")
    plot.scroll_into_view_if_needed()
    plot.hover(position={"x": 5, "y": 50})
    expect(page.locator(".st-tip")).to_contain_text("training 2.74 (step 1)")
