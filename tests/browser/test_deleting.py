"""Deleting asks in the page, can be undone, and is for good only when it is said twice."""

import pytest
from playwright.sync_api import Page, expect

from jobs.uploads import keep_files
from storage.problems import NotFound
from tests.browser.conftest import serve_studio
from tests.browser.lab_book import fill_lab_book


@pytest.fixture
def own_studio(tmp_path):
    """A studio of this test's own, since it deletes things."""
    studio = serve_studio(tmp_path / "studio")
    studio.book = fill_lab_book(studio.services)
    yield studio
    studio.stop()


def ask(page: Page, name: str):
    """Press the button of that name, and wait for the question, which has the focus then."""
    page.get_by_role("button", name=name, exact=True).click()
    question = page.locator(".st-question")
    expect(question).to_be_focused()
    return question


def test_an_adapter_is_deleted_and_brought_back_with_the_keyboard_alone(own_studio, pages):
    page = pages.open(own_studio.url("/library"))
    article = page.get_by_role("article", name="poet")
    delete = article.get_by_role("button", name="Delete poet")
    delete.focus()
    page.keyboard.press("Enter")
    question = article.locator(".st-question")
    expect(question).to_be_focused()
    expect(question).to_contain_text("Delete 'poet'? 14.1 kB come back in 7 days")
    expect(question).to_contain_text("Its run stays in the lab book")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # Keep it
    expect(question).to_have_count(0)
    expect(delete).to_be_focused()
    page.keyboard.press("Enter")
    expect(question).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".st-notice")).to_be_focused()
    expect(page.locator(".st-notice")).to_contain_text("'poet' is deleted.")
    expect(article).to_have_count(0)
    assert own_studio.services.adapters.find(own_studio.book.finished) is None
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # Undo
    expect(article).to_be_visible()
    assert own_studio.services.adapters.find(own_studio.book.finished)


def test_a_run_says_on_its_page_that_it_is_deleted_and_comes_back_with_its_adapter(own_studio, pages):
    page = pages.open(own_studio.url(f"/run?id={own_studio.book.finished}"))
    expect(page.get_by_role("link", name="Download zip")).to_be_visible()
    question = ask(page, "Delete poet")
    expect(question).to_contain_text("Its adapter leaves the library and the playground")
    question.get_by_role("button", name="Delete").click()
    expect(page.locator(".st-notice")).to_contain_text("'poet' is deleted.")
    expect(page.get_by_role("link", name="Download zip")).to_have_count(0)
    page.reload()
    expect(page.locator(".st-notice")).to_contain_text("This run was deleted")
    book = pages.open(own_studio.url("/runs"))
    expect(book.locator("#runs-table tbody tr")).to_have_count(6)
    expect(book.get_by_role("link", name="poet", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("link", name="Download zip")).to_be_visible()
    assert own_studio.services.adapters.find(own_studio.book.finished)


def test_deleting_for_good_asks_again_and_then_gives_the_disk_its_bytes_back(own_studio, pages):
    services, run_id = own_studio.services, own_studio.book.finished
    services.trash.delete("run", run_id)
    page = pages.open(own_studio.url("/library"))
    deleted = page.get_by_role("table", name="Recently deleted")
    expect(deleted.get_by_role("row", name="poet")).to_contain_text("Run")
    question = ask(page, "Delete poet for good")
    expect(question).to_contain_text("14.1 kB come back at once, and nothing can restore it.")
    question.get_by_role("button", name="Delete for good").click()
    expect(page.locator(".st-notice")).to_contain_text("'poet' is gone for good; 14.1 kB came back.")
    expect(deleted).to_have_count(0)
    with pytest.raises(NotFound):
        services.runs.get(run_id)
    assert not (services.settings.adapters_dir / run_id).exists()


def test_data_that_runs_need_is_refused_with_their_names_and_other_data_goes(own_studio, pages, tmp_path):
    spare = tmp_path / "spare <b>data.csv"
    spare.write_text("text,label\n" + "a,b\n" * 500)
    kept = keep_files(own_studio.services, [spare])
    page = pages.open(own_studio.url("/library"))
    page.get_by_role("button", name="Delete poet.jsonl").click()
    refusal = page.get_by_role("alert")
    expect(refusal).to_contain_text("the waiting run 'waiting its turn' and the running run 'still learning'")
    expect(refusal).to_be_focused()
    row = page.get_by_role("table", name="Data").get_by_role("row", name=kept.name)
    for text in ("2.0 kB", "no run"):
        expect(row).to_contain_text(text)
    question = ask(page, f"Delete {kept.name}")
    question.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("table", name="Recently deleted").get_by_role("row", name=kept.name)).to_be_visible()
    page.get_by_role("button", name=f"Restore {kept.name}").click()
    expect(page.locator(".st-notice")).to_contain_text("is back.")
    assert own_studio.services.datasets.find(kept.id)


def test_what_somebody_else_deleted_meanwhile_is_told_and_the_page_is_up_to_date(own_studio, pages):
    page = pages.open(own_studio.url("/library"))
    question = ask(page, "Delete poet")
    own_studio.services.trash.delete("run", own_studio.book.finished)
    question.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no adapter")
    expect(page.get_by_role("article", name="poet")).to_have_count(0)
    expect(page.get_by_role("table", name="Recently deleted").get_by_role("row", name="poet")).to_be_visible()


def test_on_a_narrow_screen_nothing_sticks_out(own_studio, pages):
    own_studio.services.trash.delete("run", own_studio.book.failed)
    page = pages.open(own_studio.url("/library"), width=360)
    ask(page, "Delete too fast for good")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
