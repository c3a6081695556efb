"""The Train page in a real browser, without a worker: what is typed, uploaded and started."""

import json
import re

import pytest
from playwright.sync_api import Page, expect

from jobs.recipe_reader import read_recipe_file
from storage.records import RunState
from studio.train_page import EXAMPLE

EPOCHS = f"{read_recipe_file(EXAMPLE).training.epochs:g}"


@pytest.fixture
def train(pages, studio) -> Page:
    return opened(pages, studio)


def opened(pages, studio, path: str = "/") -> Page:
    page = pages.open(studio.url(path))
    page.locator("#base-facts dl").wait_for()
    return page


def upload(page: Page, name: str, content: str | bytes) -> None:
    content = content.encode() if isinstance(content, str) else content
    page.locator("#upload input[type=file]").set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )


def choose(page: Page, field: str, option: str) -> None:
    page.locator(f"#{field} input").click()
    page.get_by_role("option", name=option, exact=True).click()


def test_the_example_fills_everything_in_and_starts(train, studio):
    expect(train.locator("#base-facts")).to_contain_text("Parameters")
    train.get_by_role("button", name="Try the example").click()
    expect(train.locator("#data")).to_contain_text("poet.jsonl")
    expect(train.locator("#data")).to_contain_text("Recognised as Chat messages")
    expect(train.locator("#name textarea, #name input")).to_have_value("poet")
    expect(train.get_by_label("Epochs")).to_have_value(EPOCHS)
    expect(train.get_by_label("Learning rate")).to_have_value("0.002")
    train.get_by_role("button", name="Start training").dblclick()
    train.wait_for_url("**/run?id=*")
    expect(train.locator("h1")).to_have_text("poet")
    expect(train.locator("#run-status")).to_contain_text("Next in the queue")
    expect(train.locator("#run-status")).to_contain_text("python app.py worker")  # none runs here
    started = [run for run in studio.services.runs.search("poet") if run.state == RunState.QUEUED]
    assert len(started) == 1, "a double click is one run"
    example = read_recipe_file(EXAMPLE).model_dump(mode="json")
    assert {**started[0].recipe, "dataset": None} == {**example, "dataset": None}
    assert studio.services.bell.pending() == 2, "the run, and the health report of its data"


def test_starting_with_nothing_says_what_is_missing_and_keeps_the_form(train):
    train.get_by_label("Epochs").fill("0")
    train.locator("#name textarea, #name input").fill("my name")
    train.get_by_role("button", name="Start training").click()
    problems = train.locator("#start-problems")
    expect(problems).to_contain_text("2 things to put right")
    expect(problems).to_contain_text("Epochs is 0")
    expect(problems).to_contain_text("There is no data yet")
    expect(train.locator("#name textarea, #name input")).to_have_value("my name")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("empty.csv", "", "empty"),
        ("photo.csv", b"\x89PNG\r\n\x1a\n" + bytes(64), "image"),
        ("broken.jsonl", '{"text": \n{"text": \n', "lines 1 and 2"),
    ],
)
def test_a_bad_file_gets_a_sentence_and_the_form_stays(pages, studio, name, content, sentence):
    page = opened(pages, studio)
    page.get_by_label("Epochs").fill("7")
    upload(page, name, content)
    expect(page.locator("#data-problems")).to_contain_text(sentence)
    expect(page.locator("#data")).to_contain_text(name)  # it is kept
    expect(page.get_by_label("Epochs")).to_have_value("7")
    assert any(kept.name == name for kept in studio.services.datasets.all())
    page.get_by_label("Epochs").fill("0")
    page.get_by_role("button", name="Start training").click()
    expect(page.locator("#start-problems")).to_contain_text("2 things to put right")
    expect(page.locator("#start-problems")).to_contain_text("Epochs is 0")
    expect(page.locator("#start-problems")).to_contain_text(sentence)


def test_columns_are_recognised_and_can_be_changed(train, studio):
    rows = "".join(f"Why {number}?,Because {number}.,Or not {number}.\n" for number in range(20))
    upload(train, "three columns.csv", "question,answer,other\n" + rows)
    expect(train.locator("#data")).to_contain_text("All 20 rows can be used")
    expect(train.get_by_label("Completion")).to_have_value("answer")
    choose(train, "column-1", "other")
    expect(train.locator("#data thead")).to_contain_text("other Completion")
    train.locator("#name textarea, #name input").fill("by hand")
    train.get_by_role("button", name="Start training").click()
    train.wait_for_url("**/run?id=*")
    run = studio.services.runs.search("by hand")[0]
    assert run.recipe["dataset"]["columns"] == {"prompt": "question", "completion": "other"}


def test_labelled_texts_suggest_classification_and_the_format_can_be_overruled(train):
    rows = "".join(f"text number {number},{'good' if number % 2 else 'bad'}\n" for number in range(20))
    upload(train, "labelled.csv", "text,label\n" + rows)
    expect(train.locator("#task input")).to_have_value("Text classification")
    expect(train.locator("#data")).to_contain_text("2 classes")
    choose(train, "format", "Plain text")
    expect(train.locator("#task input")).to_have_value("Text generation")
    expect(train.locator("#data")).to_contain_text("Plain text")


def test_labels_of_one_class_only_get_a_sentence(train):
    upload(train, "one-class.csv", "text,label\n" + "".join(f"text {number},yes\n" for number in range(9)))
    expect(train.locator("#data")).to_contain_text("Recognised")
    choose(train, "format", "Labelled texts")
    expect(train.locator("#data-problems")).to_contain_text("'yes'")
    expect(train.locator("#format input")).to_have_value("Labelled texts")


def test_what_a_row_says_is_shown_as_text(train):
    upload(
        train,
        "nasty.jsonl",
        json.dumps({"text": "<img src=x onerror=alert(1)> ${1+1} {{x}}"}) + "\n" + json.dumps({"text": "b"}),
    )
    expect(train.locator("#data td").first).to_have_text("<img src=x onerror=alert(1)> ${1+1} {{x}}")
    assert train.locator("#data td img").count() == 0


def test_the_settings_follow_the_method_and_a_typed_learning_rate_stays(train):
    expect(train.get_by_label("Rank", exact=True)).to_be_visible()
    train.get_by_role("radio", name=re.compile("^Prompt tuning")).check()
    expect(train.get_by_label("Virtual tokens")).to_be_visible()
    expect(train.get_by_label("Rank", exact=True)).to_be_hidden()
    expect(train.get_by_label("Learning rate")).to_have_value("0.03")
    train.get_by_label("Learning rate").fill("0.005")
    train.get_by_label("Learning rate").press("Tab")
    train.get_by_role("radio", name=re.compile("^QLoRA")).check()
    expect(train.get_by_label("Rank", exact=True)).to_be_visible()
    expect(train.get_by_label("Learning rate")).to_have_value("0.005")


def test_every_method_can_be_searched_and_has_its_own_fields(train):
    train.get_by_label("Alpha").fill("77")
    train.locator("#all-methods input").click()
    train.locator("#all-methods input").press_sequentially("adal")
    train.get_by_role("option", name="AdaLoRA (low rank)").click()
    expect(train.get_by_label("Rank at the end")).to_be_visible()
    expect(train.get_by_label("Rank", exact=True)).to_be_hidden()
    expect(train.get_by_label("Alpha")).to_have_value("77")
    expect(train.locator("#method input:checked")).to_have_count(0)
    expect(train.locator("#about-method")).to_contain_text("Zhang et al. 2023, arXiv 2303.10512")
    train.get_by_role("radio", name=re.compile("^Prompt tuning")).check()
    expect(train.locator("#all-methods input")).to_have_value("Prompt tuning (prompts)")
    train.get_by_role("button", name="More about the method").click()
    start = train.get_by_label("Start text")
    expect(train.locator("#method-main-choice-0")).to_be_visible()
    expect(start).to_be_hidden()
    choose(train, "method-main-choice-0", "A text")
    start.fill("Be kind")
    choose(train, "method-main-choice-0", "Random numbers")
    expect(start).to_be_hidden()
    choose(train, "method-main-choice-0", "A text")
    expect(start).to_have_value("Be kind")


def test_one_choice_is_one_question_to_the_server(train):
    """The answer to a second one would overwrite what was typed since the first."""
    train.get_by_role("radio", name=re.compile("^Prompt tuning")).check()
    expect(train.locator("#all-methods input")).to_have_value("Prompt tuning (prompts)")
    train.get_by_role("button", name="More about the method").click()
    asked = []
    train.on("request", lambda request: request.method == "POST" and asked.append(request.post_data_json["fn_index"]))
    choose(train, "method-main-choice-0", "A text")
    expect(train.get_by_label("Start text")).to_be_visible()
    train.get_by_label("Start text").fill("Be kind")
    choose(train, "method-main-choice-0", "Random numbers")
    expect(train.get_by_label("Start text")).to_be_hidden()
    settings_touched = max(asked, key=asked.count)
    assert asked.count(settings_touched) == 2, asked


def test_an_address_fills_in_a_method_with_settings(pages, studio):
    page = opened(pages, studio, "/?method=vera&method_settings.r=64&training.batch_size=1")
    expect(page.locator("#all-methods input")).to_have_value("VeRA (shared parts)")
    expect(page.get_by_label("Rank", exact=True)).to_have_value("64")
    expect(page.get_by_label("Batch size")).to_have_value("1")
    expect(page.locator("#precision")).to_contain_text("Precision")


def test_a_run_can_be_repeated_with_changes(pages, filled_studio):
    page = opened(pages, filled_studio, f"/?from={filled_studio.book.running}")
    expect(page.get_by_role("radio", name=re.compile("^Prompt tuning"))).to_be_checked()
    expect(page.locator("#data")).to_contain_text("poet.jsonl")
    expect(page.locator("#name textarea, #name input")).to_have_value("still learning")
    expect(page.get_by_label("Epochs")).to_have_value(EPOCHS)


def test_a_folder_that_is_no_model_is_refused_with_a_reason(train, tmp_path):
    train.get_by_role("button", name="Add another").click()
    train.locator("#base-wanted textarea, #base-wanted input").fill(str(tmp_path))
    train.get_by_role("button", name="Get", exact=True).click()
    expect(train.locator("#base-progress")).to_contain_text("config.json")


def test_a_download_shows_how_far_it_is(train, studio):
    downloads = studio.services.downloads
    train.get_by_role("button", name="Add another").click()
    train.locator("#base-wanted textarea, #base-wanted input").fill("somebody/model")
    train.locator("#base-wanted textarea, #base-wanted input").press("Enter")
    expect(train.locator("#base-progress")).to_contain_text("Waiting for a worker to fetch somebody/model")
    mine = downloads.claim("somebody/model")
    downloads.progress(mine, done_bytes=25_000_000, total_bytes=100_000_000)
    expect(train.locator("#base-progress")).to_contain_text("25.0 MB of 100 MB")
    expect(train.locator("#base-progress [role=progressbar]")).to_have_attribute("aria-valuenow", "25")
    train.reload()
    expect(train.locator("#base-progress")).to_contain_text("25.0 MB of 100 MB")
    downloads.progress(mine, state="failed", problem="The Hub cannot be reached. Try again later.")
    expect(train.locator("#base-progress")).to_contain_text("The Hub cannot be reached")


def test_a_download_can_be_cancelled_and_asked_for_again(train, studio):
    downloads = studio.services.downloads
    expect(train.locator("#base-cancel")).to_be_hidden()
    train.get_by_role("button", name="Add another").click()
    train.locator("#base-wanted textarea, #base-wanted input").fill("somebody/large")
    train.get_by_role("button", name="Get", exact=True).click()
    train.locator("#base-cancel").click()
    expect(train.locator("#base-progress")).to_contain_text("Cancelled. What has arrived of somebody/large is kept")
    expect(train.locator("#base-cancel")).to_be_hidden()
    assert downloads.get("somebody/large").state == "cancelled"
    train.get_by_role("button", name="Get", exact=True).click()
    expect(train.locator("#base-progress")).to_contain_text("Waiting for a worker to fetch somebody/large")
    assert downloads.get("somebody/large").state == "queued"
    downloads.cancel("somebody/large")
