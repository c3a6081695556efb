"""The studio's own weight: what it takes on the disk, in memory and over the wire, and how soon it answers when it remembers much.

The installed packages (those that the studio needs, and with those that its tests need) and the repository's own files; the seconds
from the start of `python app.py serve` on a fresh home to an answer of /healthz (`python -m bench start` goes on from there to the
page that can be used); the memory of every process of an idle studio, 20 s after its start and with the Train page opened once;
what the pages weigh with an empty browser cache, and when each can be used; callbacks with a lab book of 10,000 runs, as long as
the browser waits for them (`python -m bench lab_book` measures the same lab book inside).

Bars: /healthz answers within 2.0 s, the median of five starts; the idle web process takes under 250 MB (its resident set), and has
no torch in it: no module by that name after every page was served, no such library mapped in the running process; callbacks of the
Runs and the Train page take under 200 ms at the 95th percentile with 10,000 runs.
"""

import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from playwright.sync_api import Browser, expect

from bench._studio import ROOT, Studio, a_browser, callbacks_of, choose_methods, latencies, percentile, rounded, search_runs
from bench.lab_book import RUNS, fill
from jobs.services import open_services
from storage.settings import StudioSettings

STARTS = 5
IDLE_AFTER = 20        # seconds after the start
IDLE_SECONDS = 10      # that an idle studio's processor time is counted for
LARGEST = 10           # packages that are told apart
READY = 2.0            # seconds
IDLE_BYTES = 250e6
CALLBACK = 0.2         # seconds
HEAVY = ("torch", "transformers", "peft", "datasets", "sklearn")
PAGES = {"train": "/", "guide": "/guide", "runs": "/runs", "playground": "/playground", "library": "/library"}
# what a page fills in last, and what a person would use first
USABLE = {"train": ("#base-facts", "#start"), "guide": ("#guide-table", "#guide-search input, #guide-search textarea"),
          "runs": ("#runs-table", "#runs-search input, #runs-search textarea"),
          "playground": ("#playground-base", "#prompt textarea"), "library": ("#adapters", "#adapters")}
SERVE_ALL = """
import json, sys
from starlette.testclient import TestClient
from jobs.services import open_services
from storage.settings import StudioSettings
from studio.web import create_web_app
with TestClient(create_web_app(open_services(StudioSettings.from_env())), base_url="http://127.0.0.1") as client:
    for path in sys.argv[1:]:
        client.get(path).raise_for_status()
print(json.dumps(sorted(sys.modules)))
"""


def measure(arguments: list[str]) -> dict:
    starts = [seconds_to_ready() for _ in range(STARTS)]
    heavy = [name for name in HEAVY if name in modules_after_serving()]
    with a_browser() as browser:
        idle = idle_studio(browser)
        pages = weigh_pages(browser)
        callbacks = callbacks_with_runs(browser)
    web = idle["processes"]["web"]
    return {
        "passed": (statistics.median(starts) <= READY and web["rss_megabytes"] * 1e6 < IDLE_BYTES and not heavy
                   and not web["has_libtorch"] and max(percentile(answers) for answers in callbacks.values()) < CALLBACK),
        "seconds_to_ready": rounded(starts),
        "heavy_modules_in_the_web_process": heavy,
        "idle": idle,
        "pages": pages,
        "runs": sum(RUNS.values()),
        "callbacks": {name: latencies(answers) for name, answers in callbacks.items()},
        "installed": installed(),
    }


# ---- on the disk


def installed() -> dict:
    """Megabytes of the environment, of what the studio needs of it, of the largest packages, and of the repository's own files."""
    sizes = {canonicalize_name(found.name): package_bytes(found) for found in importlib.metadata.distributions()}
    needed = {name: sizes[name] for name in needed_packages()}
    largest = sorted(needed, key=needed.get, reverse=True)[:LARGEST]
    return {"environment_megabytes": megabytes(folder_bytes(Path(sys.prefix))), "packages": len(sizes),
            "needed_megabytes": megabytes(sum(needed.values())), "needed_packages": len(needed),
            "largest_packages_megabytes": {name: megabytes(sizes[name]) for name in largest},
            "repository_megabytes": megabytes(sum((ROOT / name).lstat().st_size for name in own_files()))}


def needed_packages() -> set[str]:
    """The installed packages that requirements.txt names, and those that they need in turn."""
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    waiting = [Requirement(words[0]) for line in lines if (words := line.partition("#")[0].split()) and words[0][0] != "-"]
    found: set[str] = set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if name in found:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system
        found.add(name)
        needs = [Requirement(text) for text in distribution.requires or ()]
        waiting += [need for need in needs if need.marker is None or any(
            need.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras))]
    return found


def package_bytes(distribution: importlib.metadata.Distribution) -> int:
    paths = (Path(file.locate()) for file in distribution.files or ())
    return sum(path.lstat().st_size for path in paths if path.is_file())


def folder_bytes(folder: Path) -> int:
    return sum(os.lstat(os.path.join(place, name)).st_size for place, _, names in os.walk(folder) for name in names)


def own_files() -> list[str]:
    """The repository's files as git keeps them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


# ---- in memory


def seconds_to_ready() -> float:
    with tempfile.TemporaryDirectory() as home, Studio(home) as studio:
        return studio.wait_until_up()


def modules_after_serving() -> set[str]:
    """What a fresh interpreter has imported once it has served every page."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run([sys.executable, "-c", SERVE_ALL, *PAGES.values()], cwd=ROOT, stdout=subprocess.PIPE, text=True,
                              check=True, env={**os.environ, "STUDIO_HOME": home})
    return set(json.loads(done.stdout.splitlines()[-1]))


def idle_studio(browser: Browser) -> dict:
    """Every process of a studio with a worker that nobody uses: memory in megabytes, and its share of one core."""
    with tempfile.TemporaryDirectory() as home, Studio(home, "--with-worker") as studio:
        page = browser.new_page()
        studio.open(page)
        page.close()
        time.sleep(max(0.0, studio.began + IDLE_AFTER - time.monotonic()))
        web = psutil.Process(studio.process.pid)
        processes = {"web": web, **{name_of(process): process for process in web.children(recursive=True)}}
        memory = {name: memory_of(process) for name, process in processes.items()}
        before = {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}
        time.sleep(IDLE_SECONDS)
        for name, process in processes.items():
            memory[name]["share_of_a_core"] = round((sum(process.cpu_times()[:2]) - before[name]) / IDLE_SECONDS, 3)
    shared = [told.get("pss_megabytes") for told in memory.values()]
    return {"processes": memory, "all_together_pss_megabytes": None if None in shared else round(sum(shared))}


def name_of(process: psutil.Process) -> str:
    """What a process of the studio does, by its command line; its number comes along where that does not tell."""
    command = " ".join(process.cmdline())
    for part, name in (("app.py worker", "worker"), ("multiprocessing.forkserver", "trainer server"),
                       ("multiprocessing.spawn", "forecaster"), ("jobs.playground", "playground")):
        if part in command:
            return name
    if "resource_tracker" in command:
        return f"resource tracker of the {'worker' if 'worker' in ' '.join(process.parent().cmdline()) else 'web process'}"
    return f"{process.name()} {process.pid}"


def memory_of(process: psutil.Process) -> dict:
    """Resident set, and where the system tells it the share of it that this process stands for, in megabytes."""
    memory, maps = process.memory_full_info(), Path(f"/proc/{process.pid}/maps")
    shared = {"pss_megabytes": megabytes(memory.pss)} if hasattr(memory, "pss") else {}
    mapped = maps.read_text() if maps.exists() else "".join(entry.path for entry in process.memory_maps())
    return {"rss_megabytes": megabytes(memory.rss), **shared, "has_libtorch": "libtorch" in mapped}


# ---- in the browser


def weigh_pages(browser: Browser) -> dict:
    """Each page in a browser context of its own, whose cache is empty: kilobytes over the wire, requests, seconds to use."""
    with tempfile.TemporaryDirectory() as home, Studio(home) as studio:
        studio.wait_until_up()
        weigh_page(browser, studio, "train")  # the server's first page is slower, whatever it shows
        return {name: weigh_page(browser, studio, name) for name in PAGES}


def weigh_page(browser: Browser, studio: Studio, name: str) -> dict:
    context = browser.new_context()
    page, sizes = context.new_page(), []
    network = context.new_cdp_session(page)
    network.on("Network.loadingFinished", lambda finished: sizes.append(finished["encodedDataLength"]))
    network.send("Network.enable")
    shown, used = USABLE[name]
    began = time.monotonic()
    page.goto(f"{studio.address}{PAGES[name]}", wait_until="commit")
    expect(page.locator(shown)).not_to_be_empty(timeout=30_000)
    expect(page.locator(used).first).to_be_enabled(timeout=30_000)
    page.wait_for_function("!document.documentElement.classList.contains('st-arriving')", polling="raf")
    seconds = time.monotonic() - began
    page.wait_for_load_state("load")
    page.wait_for_timeout(500)  # for what comes in behind
    context.close()
    return {"kilobytes": round(sum(sizes) / 1e3), "requests": len(sizes), "seconds_to_interactive": round(seconds, 2)}


def callbacks_with_runs(browser: Browser) -> dict[str, list[float]]:
    """The seconds of each callback of the Runs and of the Train page with the lab book's 10,000 runs."""
    with tempfile.TemporaryDirectory() as home:
        fill(open_services(StudioSettings.from_env({"STUDIO_HOME": home})))
        with Studio(home) as studio:
            page = browser.new_page()
            studio.open(page)
            with callbacks_of(page) as of_train:
                choose_methods(page, 15)
            page.goto(f"{studio.address}/runs")
            expect(page.locator("#runs-table")).not_to_be_empty(timeout=30_000)
            with callbacks_of(page) as of_runs:
                search_runs(page, ["b", "banking", "banking int", "qwen lora", "run 99", "voices", "nothing like it", ""] * 3)
            page.close()
    return {"runs_page": of_runs, "train_page": of_train}


def megabytes(size: int) -> float:
    return round(size / 1e6, 1)
