"""Data from an allowed folder and from the Hub, in a real browser."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import serve_studio
from tests.hub_server import HubServer


def rows(word: str, count: int = 30) -> str:
    return "question,answer\n" + "".join(f"{word} {number},because {number}\n" for number in range(count))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    (folder / "inner").mkdir()
    (folder / "inner" / "below.csv").write_text(rows("below"))
    (folder / "above.csv").write_text(rows("above"))
    (folder / "link.csv").symlink_to("/etc/passwd")
    return folder


@pytest.fixture(scope="module")
def allowing(tmp_path_factory, shared):
    studio = serve_studio(tmp_path_factory.mktemp("allowing"), STUDIO_DATA_FOLDERS=str(shared))
    yield studio
    studio.stop()


@pytest.fixture
def page(pages, allowing) -> Page:
    page = pages.open(allowing.url())
    page.get_by_role("button", name="Other sources").click()
    return page


def pick(page: Page, field: str, option: str) -> None:
    page.locator(f"#{field} input").click()
    page.get_by_role("option", name=option).click()


def test_files_below_an_allowed_folder_are_taken_from_there(page, allowing, shared):
    pick(page, "folder", str(shared))
    pick(page, "folder", "inner/")
    expect(page.locator("#folder input")).to_have_value(str(shared / "inner"))
    pick(page, "folder-files", "below.csv")
    page.get_by_role("button", name="Use these files").click()
    expect(page.locator("#data")).to_contain_text("below.csv")
    dataset = allowing.services.datasets.find(page.locator("#dataset textarea, #dataset input").input_value())
    assert dataset.origin == {"kind": "folder", "path": str(shared / "inner")}
    pick(page, "folder", f"Up to {shared}")
    page.locator("#folder-files input").click()
    expect(page.get_by_role("option")).to_have_count(1)
    expect(page.get_by_role("option")).to_contain_text("above.csv")


def test_a_path_outside_the_allowed_folders_is_refused_with_a_sentence(page):
    folder = page.locator("#folder input")
    folder.fill("/etc")
    folder.press("Enter")
    expect(page.locator("#data-problems")).to_contain_text("'/etc' is not below a folder that the page may read")
    page.get_by_role("button", name="Use these files").click()
    expect(page.locator("#data-problems")).to_contain_text("Choose a folder, and one or more files in it.")


def test_without_allowed_folders_there_is_no_such_field(pages, studio):
    page = pages.open(studio.url())
    page.get_by_role("button", name="Other sources").click()
    expect(page.locator("#hub-data")).to_be_visible()
    expect(page.locator("#folder")).to_have_count(0)


def test_a_dataset_of_the_hub_is_fetched_and_shown(page, allowing, tmp_path, monkeypatch):
    (tmp_path / "train.csv").write_text(rows("from the hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with HubServer({}, datasets={"me/questions": tmp_path}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        field = page.get_by_label("Hub dataset")
        field.fill("questions")
        page.locator("#hub-get").click()
        expect(page.locator("#data-problems")).to_contain_text("'questions' is not a dataset on the Hub. One looks like owner/name")
        field.fill("me/questions:dev")
        field.press("Enter")
        expect(page.locator("#data-problems")).to_contain_text("has no split 'dev'; it has train.", timeout=60_000)
        field.fill("me/questions")
        page.locator("#hub-get").click()
        expect(page.locator("#data")).to_contain_text("me/questions:default:train", timeout=60_000)
        expect(page.locator("#data-problems")).not_to_contain_text("split")
        dataset = allowing.services.datasets.find(page.locator("#dataset textarea, #dataset input").input_value())
        assert dataset.origin["revision"] == hub.commit("datasets/me/questions")


def test_a_form_that_names_a_path_of_this_machine_is_refused(page, shared):
    """The field is hidden, and a client could write anything into it."""
    write = "(field, path) => { field.value = path; field.dispatchEvent(new Event('input', {bubbles: true})); }"
    page.locator("#dataset textarea, #dataset input").evaluate(write, str(shared / "above.csv"))
    page.get_by_role("button", name="Start training").click()
    expect(page.locator("#start-problems")).to_contain_text("is no data of this studio. Upload the file")
