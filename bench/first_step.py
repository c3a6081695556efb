"""From a click on Start to the first optimizer step that the run's page shows, for the demo model, in a real browser.

The worker has been up for a little while; each run is the Train page's own example. The first run of all also makes the tokens of
the data, which the later ones find. Beside the whole time it is told where it goes, from the run's record: a moment is in seconds
after the click, and `first_step` is the end of the optimizer's first step.

Bar: within 2.0 s, the median of five starts.
"""

import statistics
import tempfile
import time
from urllib.parse import parse_qs, urlsplit

from bench._studio import Studio, a_browser, cancel, rounded, start_example, wait_for_step, wait_for_worker
from jobs.services import Services, open_services
from storage.settings import StudioSettings

STARTS = 5
FIRST_STEP = 2.0  # seconds


def measure(arguments: list[str]) -> dict:
    starts = int(arguments[0]) if arguments else STARTS
    with a_browser() as browser, tempfile.TemporaryDirectory() as home, Studio(home, "--with-worker") as studio:
        page = browser.new_page()
        studio.open(page)
        wait_for_worker(studio)
        services = open_services(StudioSettings.from_env({"STUDIO_HOME": home}))
        moments = [start_and_cancel(page, studio, services) for _ in range(starts)]
    seen = [told["seen"] for told in moments]
    return {"passed": statistics.median(seen) <= FIRST_STEP, "seconds_from_start_to_first_step": rounded(seen),
            "moments": {name: rounded([told[name] for told in moments]) for name in moments[0]}}


def start_and_cancel(page, studio: Studio, services: Services) -> dict[str, float]:
    """Moments of one start, in seconds after the click."""
    clock = time.time() - time.monotonic()
    clicked = start_example(page, studio) + clock
    opened = time.time()
    wait_for_step(page)
    seen = time.time()
    run = services.runs.get(parse_qs(urlsplit(page.url).query)["id"][0])
    lines = services.runs.log_lines(run.id, 100)
    preparing = next(line.at for line in lines if line.text.startswith("Preparing"))
    cancel(page)
    moments = {"queued": run.created_at, "run_page_opened": opened, "claimed": run.claimed_at, "preparing": preparing,
               "training": run.training_since, "first_step": run.claimed_at + run.seconds_to_first_step, "seen": seen}
    return {name: at - clicked for name, at in moments.items()}
