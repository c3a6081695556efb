"""What holds for every page."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

PAGES = ("train", "guide", "runs", "run", "running run", "playground", "library", "accuracy", "fit")


def address(studio, page: str) -> str:
    paths = {
        "train": "/",
        "guide": "/guide?method=oft",
        "runs": "/runs",
        "run": f"/run?id={studio.book.finished}",
        "running run": f"/run?id={studio.book.running}",
        "playground": f"/playground?run={studio.book.finished}",
        "library": "/library",
        "accuracy": "/accuracy",
        "fit": "/fit?device=cuda&memory=24",
    }
    return studio.url(paths[page])


def settled(page: Page, name: str) -> Page:
    """Once what the page shows has arrived."""
    shown = {
        "train": "#base-facts dl",
        "guide": "#guide-table .st-detail-row",
        "runs": "#runs-table tbody tr",
        "run": "#run-samples h2",
        "running run": "#run-live button",
        "playground": "#playground-problems .st-problems",
        "library": "#adapters article",
        "accuracy": "#accuracy table",
        "fit": "#capacity-table tbody tr",
    }
    page.locator(shown[name]).first.wait_for()
    return page


@pytest.mark.parametrize(
    ("name", "dark"), [(name, dark) for dark in (False, True) for name in PAGES if not (dark and name == "running run")]
)
def test_a_page_has_one_title_and_axe_finds_nothing_serious(pages, filled_studio, name, dark):
    page = settled(pages.open(address(filled_studio, name), dark=dark), name)
    assert page.locator("h1").count() == 1
    expect(page).to_have_title(f"{page.locator('h1').inner_text()} – Adapter Studio")
    assert "__i18n__" not in page.inner_text("body")
    for folded in page.locator("button.label-wrap").all():
        folded.click()
    found = Axe().run(page).response["violations"]
    serious = [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
    assert serious == []


@pytest.mark.parametrize("name", PAGES)
def test_a_narrow_screen_scrolls_only_downwards(pages, filled_studio, name):
    page = settled(pages.open(address(filled_studio, name), width=390, height=844), name)
    for folded in page.locator("button.label-wrap").all():
        folded.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = page.evaluate("""() => [...document.querySelectorAll("main *")].filter((element) => {
        const box = element.getBoundingClientRect();
        const mayBeWider = ".st-scroll, .st-unseen, .st-skip, .st-table thead, pre, [role=status]";
        return box.width && box.right > 391 && !element.closest(mayBeWider);
    }).map((element) => element.outerHTML.slice(0, 120))""")
    assert wide == []


def test_the_keyboard_alone_reaches_every_page(pages, filled_studio):
    page = pages.open(filled_studio.url("/"))
    for name in ("Guide", "Runs", "Playground", "Library", "Train"):
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        link = page.get_by_role("navigation").get_by_role("link", name=name)
        for _ in range(8):
            page.keyboard.press("Tab")
            if link.evaluate("link => link === document.activeElement"):
                break
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        expect(page.get_by_role("navigation").get_by_role("link", name=name)).to_have_attribute("aria-current", "page")


def test_the_skip_link_leads_to_the_content_of_the_same_page(pages, filled_studio):
    page = settled(pages.open(address(filled_studio, "run")), "run")
    before = page.url
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#st-title")).to_be_focused()
    assert page.url == before


def test_the_chosen_theme_stays_on_every_page(pages, filled_studio):
    page = pages.open(filled_studio.url("/library"))
    page.get_by_role("button", name="Switch between light and dark").click()
    assert "dark" in page.locator("body").get_attribute("class")
    page.goto(filled_studio.url("/runs"))
    page.locator("h1").wait_for()
    expect(page.locator("body.dark")).to_be_visible()


@pytest.mark.parametrize(
    ("path", "words", "next_step"),
    [
        ("/runs", "No runs yet", "Start a run"),
        ("/library", "No adapters yet", "Start a run"),
        ("/accuracy", "Nothing to compare yet", "Start a run"),
        ("/run", "No run chosen", "Open the lab book"),
        ("/run?id=nothing", "There is no run 'nothing'", "Open the lab book"),
    ],
)
def test_an_empty_page_says_what_to_do_next(pages, studio, path, words, next_step):
    page = pages.open(studio.url(path))
    expect(page.locator(".st-empty")).to_contain_text(words)
    expect(page.locator(".st-empty").get_by_role("link", name=next_step)).to_be_visible()
