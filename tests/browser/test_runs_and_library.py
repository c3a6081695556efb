"""The lab book and the library."""

import hashlib

from playwright.sync_api import Page, expect


def open_runs(pages, studio) -> Page:
    page = pages.open(studio.url("/runs"))
    page.locator("#runs-table tbody tr").first.wait_for()
    return page


def names(page: Page) -> list[str]:
    return page.locator("#runs-table tbody .st-name a").all_inner_texts()


def choose(page: Page, field: str, option: str) -> None:
    page.locator(f"#{field} input").click()
    page.get_by_role("option", name=option, exact=True).click()


def test_the_newest_run_comes_first_with_its_figures(pages, filled_studio):
    page = open_runs(pages, filled_studio)
    assert names(page)[:2] == ["waiting its turn", "still learning"]
    row = page.locator("#runs-table tr", has_text="poet")
    for figure in ("Finished", "demo-base", "LoRA", "0.54", "640 MB", "1.2 MB", "52 s"):
        expect(row).to_contain_text(figure)
    expect(page.locator("#runs-table tr", has_text="still learning")).to_contain_text("Running 50%")


def test_runs_are_searched_filtered_and_sorted(pages, filled_studio):
    page = open_runs(pages, filled_studio)
    page.locator("#runs-search input, #runs-search textarea").fill("ia3")
    expect(page.locator("#runs-table tbody tr")).to_have_count(1)
    page.locator("#runs-search input, #runs-search textarea").fill("no such run")
    expect(page.locator("#runs-table")).to_contain_text("No run fits this search")
    page.locator("#runs-search input, #runs-search textarea").fill("")
    choose(page, "runs-state", "Failed")
    expect(page.locator("#runs-table tbody tr")).to_have_count(1)
    assert names(page) == ["too fast"]
    choose(page, "runs-state", "Finished")
    expect(page.locator("#runs-table tbody tr")).to_have_count(2)
    choose(page, "runs-sort", "Peak memory, lowest first")
    expect(page.locator("#runs-table tbody tr").first).to_contain_text("400 MB")


def test_a_run_opens_by_its_link_and_by_its_row(pages, filled_studio):
    page = open_runs(pages, filled_studio)
    page.get_by_role("link", name="too fast", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/run?id={filled_studio.book.failed}")
    page.go_back()
    page.locator("#runs-table tr", has_text="thrown away").locator("td").nth(2).click()
    page.wait_for_url(f"**/run?id={filled_studio.book.cancelled}")


def test_the_library_lists_adapters_with_their_hashes(pages, filled_studio):
    page = pages.open(filled_studio.url("/library"))
    card = page.get_by_role("article", name="poet")
    card.get_by_text("Files and hashes").click()
    weights = filled_studio.services.settings.adapters_dir / filled_studio.book.finished / "adapter_model.safetensors"
    expect(card).to_contain_text(hashlib.sha256(weights.read_bytes()).hexdigest())
    with page.expect_download() as zip_file:
        card.get_by_role("link", name="Download the zip of poet").click()
    assert zip_file.value.suggested_filename == "poet.zip"
    expect(page.get_by_role("article")).to_have_count(3)  # finished twice, stopped once


def test_an_adapter_is_trained_on_from_the_library(pages, filled_studio):
    page = pages.open(filled_studio.url("/library"))
    page.get_by_role("link", name="Train on from poet", exact=True).click()
    page.wait_for_url(f"**/?start_from={filled_studio.book.finished}")
    expect(page.locator("#start-from input")).to_have_value("poet (LoRA, demo-base)")
    expect(page.get_by_label("Name")).to_have_value("")
