"""The page, measured in a real browser: how soon it answers while a run trains.

Bar: callbacks under 200 ms at the 95th percentile while a run trains. A callback's time is what the browser waited for the
server's answer. The three voices are trained by their own recipes too: one minute of training is what the README promises.
"""

import tempfile

from playwright.sync_api import Page, expect

from bench._studio import (
    ROOT,
    Studio,
    a_browser,
    callbacks_of,
    cancel,
    choose_methods,
    latencies,
    percentile,
    search_runs,
    start_example,
    wait_for_step,
    wait_for_worker,
)

STARTS = 3
TRAINING_SECONDS = 30  # that callbacks are measured for
CALLBACK = 0.2  # seconds


def measure(arguments: list[str]) -> dict:
    callbacks, voices = [], {}
    with a_browser() as browser, tempfile.TemporaryDirectory() as home, Studio(home, "--with-worker") as studio:
        page = browser.new_page()
        studio.open(page)
        wait_for_worker(studio)
        for _ in range(STARTS):
            callbacks += train_and_use(page, studio)
        for voice in ("poet", "scientist", "pirate"):
            voices[voice] = studio.train(ROOT / "assets" / "recipes" / f"{voice}.yaml")
    return {
        "passed": percentile(callbacks) <= CALLBACK and max(voices.values()) <= 60,
        "callbacks_while_training": latencies(callbacks),
        "training_seconds_of_the_voices": {voice: round(seconds, 1) for voice, seconds in voices.items()},
    }


def train_and_use(page: Page, studio: Studio) -> list[float]:
    """Start the example from the page and use the pages while it trains; returns the seconds of each callback."""
    start_example(page, studio)
    wait_for_step(page)
    run_page = page.url
    with callbacks_of(page) as answers:
        page.wait_for_timeout(TRAINING_SECONDS / 2 * 1000)  # the run page asks once a second
        page.goto(studio.address)
        expect(page.locator("#start")).to_be_enabled()
        choose_methods(page, TRAINING_SECONDS / 2)
        page.goto(f"{studio.address}/runs")
        search_runs(page, ("p", "po", "poet", ""))
    page.goto(run_page)
    cancel(page)
    return answers
