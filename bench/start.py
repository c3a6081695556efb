"""How soon the page can be used after the server was started, on a fresh home, in a real browser that has been started before.

Bar: within 3 s, the median of five starts; with a worker starting beside it too.
"""

import statistics
import tempfile

from bench._studio import Studio, a_browser, rounded

STARTS = 5
USABLE = 3.0  # seconds


def measure(arguments: list[str]) -> dict:
    with a_browser() as browser:
        start_and_stop(browser)  # the browser's own first page is slower, whatever it shows
        alone = [start_and_stop(browser) for _ in range(STARTS)]
        beside_worker = [start_and_stop(browser, "--with-worker") for _ in range(STARTS)]
    return {"passed": statistics.median(alone) <= USABLE and statistics.median(beside_worker) <= USABLE,
            "seconds_to_usable_page": rounded(alone), "seconds_to_usable_page_with_a_worker_starting": rounded(beside_worker)}


def start_and_stop(browser, *options: str) -> float:
    with tempfile.TemporaryDirectory() as home, Studio(home, *options) as studio:
        page = browser.new_page()
        seconds = studio.open(page)
        page.close()
        return seconds
