"""The Data page with a real worker: a messy file is looked at, mended, split and trained on."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from jobs.uploads import keep_files
from storage.records import RunState
from tests.browser.conftest import serve_studio
from tests.conftest import WorkerProcess

MINUTES = 2 * 60_000  # ms; reports and trainings wait for their share of a busy machine
NASTY = "<img src=x onerror=alert(1)> ${1+1} {{x}} <b>bold</b>"


def turn(asked: str, answered: str) -> str:
    return json.dumps({"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]})


def messy() -> str:
    """Forty good rows, then: four repeats, an empty answer, two broken lines, an e-mail address, spaces at the ends."""
    good = [turn(f"How many stones lie in heap {number}?", f"There are {number * 7} stones in it.") for number in range(40)]
    bad = [turn("Who is there?", ""), '{"messages": [', "not JSON at all",
           turn("Whom do I ask?", "Write to jane.doe@gmail.com and wait."), turn("Say hello.", "  Hello to you.  ")]
    return "".join(f"{line}\n" for line in [*good, *good[:4], *bad])


@pytest.fixture(scope="module")
def data_studio(tmp_path_factory):
    studio = serve_studio(tmp_path_factory.mktemp("data"))
    worker = WorkerProcess(studio.services.settings)
    yield studio
    worker.stop()
    studio.stop()


@pytest.fixture
def messy_data(data_studio, tmp_path):
    path = tmp_path / "messy.jsonl"
    path.write_text(messy())
    return keep_files(data_studio.services, [path])


def opened(pages, studio, dataset_id: str, **looks) -> Page:
    page = pages.open(studio.url(f"/data?id={dataset_id}"), **looks)
    reported(page)
    page.locator("#row .st-tokens").first.wait_for(timeout=MINUTES)
    return page


def reported(page: Page) -> None:
    page.locator("#data-report h2").wait_for(timeout=MINUTES)


def finding(page: Page, kind: str) -> Locator:
    return page.locator(f"#data-report [data-finding={kind}]")


def mend(page: Page, kind: str, button: str) -> str:
    """Press a button of a finding; returns the id of the version that was made, whose page is open then."""
    before = page.url
    finding(page, kind).get_by_role("button", name=button, exact=True).click()
    page.wait_for_url(lambda url: url != before and "from=" in url, timeout=MINUTES)
    page.locator("#data-notice .st-notice").wait_for()
    return re.search(r"id=(\w+)", page.url)[1]


def test_a_messy_file_is_reported_mended_split_and_trained_on(pages, data_studio):
    services = data_studio.services
    page = pages.open(data_studio.url("/"))
    page.locator("#base-facts dl").wait_for()
    page.locator("#upload input[type=file]").set_input_files(
        {"name": "messy file.jsonl", "mimeType": "application/octet-stream", "buffer": messy().encode()})
    expect(page.locator("#data")).to_contain_text("46 of 49 rows can be used")

    # the short form of the report comes by itself, and leads to the whole one
    page.locator("#data-report .st-report-short").wait_for(timeout=MINUTES)
    expect(page.locator("#data-report")).to_contain_text("left out")
    page.get_by_role("link", name="See what the model will see").click()
    page.wait_for_url("**/data?id=*")
    reported(page)
    first = re.search(r"id=(\w+)", page.url)[1]
    about = page.locator("#data-about")
    for text in ("49", "46", "messages", services.datasets.find(first).sha256):
        expect(about).to_contain_text(text)
    expect(finding(page, "exact_duplicates")).to_contain_text("4 of 46 rows repeat an earlier row exactly")
    for place in ("line 45", "line 46", "line 47"):  # an empty answer and two broken lines, where they stand
        expect(page.locator("#data-report")).to_contain_text(place)

    # a row of a finding, as the model gets it: what is learnt looks otherwise, and not by its colour alone
    mail = page.locator("#data-report [data-finding]", has_text="e-mail address")
    mail.locator("summary").click()
    expect(mail).not_to_contain_text("jane.doe@gmail.com")
    mail.get_by_role("button", name="See the row of line 48").click()
    expect(page.locator("#row-number input")).to_have_value("45")
    tokens = page.locator("#row .st-tokens")
    expect(tokens).to_contain_text("Whom do I ask?", timeout=MINUTES)
    expect(tokens.locator(".st-learnt").first).to_contain_text("Write to jane.doe@gmail.com")
    expect(tokens.locator(".st-context").first).to_contain_text("Whom do I ask?")
    expect(tokens.locator(".st-special").first).to_contain_text("<|begin|>")
    learnt, context = (tokens.locator(f".st-{look} i").first.evaluate(
        "token => [getComputedStyle(token).borderBottomWidth, getComputedStyle(token).fontWeight]")
        for look in ("learnt", "context"))
    assert learnt == ["2px", "600"] and context == ["0px", "400"]

    # each mend makes a version, and the one before stays as it was
    second = mend(page, "exact_duplicates", "Keep one of each")
    expect(page.locator("#data-notice")).to_contain_text("4 of 49 rows dropped")
    expect(page.get_by_role("link", name="Back to version 1")).to_have_attribute("href", f"/data?id={first}")
    reported(page)
    mail = page.locator("#data-report [data-finding]", has_text="e-mail address").get_attribute("data-finding")
    third = mend(page, mail, "Mask")
    reported(page)
    fourth = mend(page, page.locator("#data-report [data-finding]", has_text="without an answer").get_attribute("data-finding"),
                  "Drop rows left out")
    expect(page.locator("#data-about .st-versions li")).to_have_count(4)
    expect(page.locator("#data-about")).to_contain_text("Version 4")
    assert [services.datasets.find(id).rows for id in (first, second, third, fourth)] == [49, 43, 43, 42]
    page.locator("#row-number input").fill("41")
    expect(page.locator("#row .st-tokens .st-learnt").first).to_contain_text("[e-mail]", timeout=MINUTES)

    # split: two versions, of which one measures the other
    page.locator("#split-kept input, #split-kept textarea").fill("0.25")
    page.get_by_role("button", name="Split into two versions").click()
    page.wait_for_url(lambda url: fourth in url and "from=" in url and f"id={fourth}&" not in url, timeout=MINUTES)
    part = services.datasets.find(re.search(r"id=(\w+)", page.url)[1])
    expect(page.locator("#data-about")).to_contain_text("Measured with")
    assert services.datasets.find(part.validation_id).rows + part.rows == 42

    # train on it to the end
    page.get_by_role("link", name="Train on this").click()
    page.wait_for_url("**/?data=*")
    page.locator("#base-facts dl").wait_for()
    expect(page.locator("#data")).to_contain_text("All 32 rows can be used" if part.rows == 32 else "rows can be used")
    expect(page.locator("#validation input")).to_have_value(services.datasets.find(part.validation_id).name)
    page.get_by_label("Epochs").fill("1")
    page.locator("#name textarea, #name input").first.fill("mended")
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url("**/run?id=*", timeout=MINUTES)
    expect(page.locator("#run-links")).to_contain_text("Download zip", timeout=MINUTES)
    run = services.runs.search("mended")[0]
    assert run.state == RunState.FINISHED and run.eval_loss is not None
    assert (run.recipe["dataset"]["source"], run.recipe["dataset"]["validation"]) == (part.id, part.validation_id)
    page.goto(data_studio.url(f"/data?id={part.id}"))
    expect(page.locator("#data-about").get_by_role("link", name="mended")).to_be_visible()


def test_the_length_decides_where_rows_are_cut(pages, data_studio, messy_data):
    page = opened(pages, data_studio, messy_data.id)
    expect(page.locator("#data-report")).to_contain_text("At 512 tokens, no row is cut.")
    page.locator("#data-limit input").fill("12")
    expect(page.locator("#data-report")).to_contain_text("At 12 tokens, 100% of the rows")
    expect(page.locator("#row .st-cut-here")).to_have_text("Cut here, after 12 tokens")
    expect(page.locator("#row")).to_contain_text("cut off")
    page.get_by_role("button", name=re.compile("^Use ")).click()
    expect(page.locator("#row .st-cut-here")).to_have_count(0)
    length = page.locator("#data-limit input").input_value()
    expect(page.get_by_role("link", name="Train on this")).to_have_attribute("href", re.compile(f"max_length={length}"))


def test_a_row_is_shown_through_another_template(pages, data_studio, messy_data):
    page = opened(pages, data_studio, messy_data.id)
    page.locator("#row-next").click()
    expect(page.locator("#row")).to_contain_text("heap 1?")
    page.locator("#row-template button.label-wrap").click()
    page.locator("#template input").click()
    page.get_by_role("option", name="ChatML", exact=True).click()
    expect(page.locator("#row .st-tokens")).to_contain_text("<|im_start|>user")
    expect(page.locator("#template-text textarea")).to_have_value(re.compile("im_start"))
    page.locator("#template-text textarea").fill("{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}")
    page.get_by_role("button", name="Show the row through it").click()
    expect(page.locator("#row .st-tokens")).to_contain_text("[assistant] There are 7 stones")
    page.locator("#template-text textarea").fill("{% for m in messages %}")
    page.get_by_role("button", name="Show the row through it").click()
    expect(page.locator("#data-row [role=alert]")).to_contain_text("template")


def test_what_rows_say_is_shown_as_text(pages, data_studio, tmp_path):
    path = tmp_path / f"{'x' * 20}.jsonl"
    path.write_text("".join(turn(f"{NASTY} {number}", f"  {NASTY} jane{number}@gmail.com ") + "\n" for number in range(12)))
    page = opened(pages, data_studio, keep_files(data_studio.services, [path], name=NASTY).id)
    expect(page.locator("h1")).to_have_text(NASTY)
    expect(page.locator("#row .st-tokens .st-learnt").first).to_contain_text(NASTY)
    for folded in page.locator("#data-report summary").all():
        folded.click()
    assert page.locator("main img[src=x], main #row b, #data-report b").count() == 0


def test_how_data_is_read_is_remembered(pages, data_studio, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("question,answer,other\n" + "".join(f"Why {n}?,Because {n}.,Or not {n}.\n" for n in range(30)))
    dataset = keep_files(data_studio.services, [path])
    page = opened(pages, data_studio, dataset.id)
    page.locator("#column-1 input").click()
    page.get_by_role("option", name="other", exact=True).click()
    expect(page.locator("#row .st-tokens .st-learnt").first).to_contain_text("Or not 0.", timeout=MINUTES)
    page.reload()
    expect(page.locator("#column-1 input")).to_have_value("other")
    expect(page.locator("#row .st-tokens .st-learnt").first).to_contain_text("Or not 0.", timeout=MINUTES)
    assert data_studio.services.datasets.find(dataset.id).columns == {"prompt": "question", "completion": "other"}


def test_data_is_exported_from_its_page_and_found_in_the_library(pages, data_studio, messy_data):
    page = pages.open(data_studio.url("/library"))
    page.get_by_role("link", name="messy.jsonl", exact=True).first.click()
    page.wait_for_url("**/data?id=*")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    assert b"heap 3?" in download.value.path().read_bytes()


def test_data_that_is_not_there_says_where_to_find_some(pages, data_studio):
    page = pages.open(data_studio.url("/data?id=nothing"))
    expect(page.locator(".st-empty")).to_contain_text("There is no data 'nothing'")
    expect(page.get_by_role("link", name="Open the library")).to_be_visible()
    expect(page.locator("#split-button")).to_be_hidden()


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious(pages, data_studio, messy_data, dark):
    page = opened(pages, data_studio, messy_data.id, dark=dark)
    page.locator("#data-limit input").fill("15")
    page.locator("#row .st-cut-here").wait_for()
    assert page.locator("h1").count() == 1
    assert "__i18n__" not in page.inner_text("body")
    for folded in page.locator("button.label-wrap, #data-report summary").all():
        folded.click()
    found = Axe().run(page).response["violations"]
    serious = [f"{rule['id']}: {node['target']} {node['failureSummary']}" for rule in found
               if rule["impact"] in ("serious", "critical") for node in rule["nodes"]]
    assert serious == []


def test_a_narrow_screen_scrolls_only_downwards(pages, data_studio, messy_data):
    page = opened(pages, data_studio, messy_data.id, width=390, height=844)
    for folded in page.locator("button.label-wrap, #data-report summary").all():
        folded.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = page.evaluate("""() => [...document.querySelectorAll("main *")].filter((element) => {
        const box = element.getBoundingClientRect();
        return box.width && box.right > 391 && !element.closest(".st-scroll, .st-unseen, .st-skip, pre, [role=status]");
    }).map((element) => element.outerHTML.slice(0, 120))""")
    assert wide == []
