"""A real browser on the real pages: a server on a free port with a temporary home, and pages that may not complain."""

import threading
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from jobs.forecast.process import Forecaster
from jobs.services import Services, open_services
from storage.settings import StudioSettings
from tests.browser.lab_book import LabBook, fill_lab_book

# What Gradio logs about its own requests that end because the person goes to another page
LEAVING = ("AbortError: signal is aborted", "Unexpected error Connection errored out")
PATIENCE = 60_000  # ms; a busy machine is slow, and a wait ends as soon as what it waits for is there
expect.set_options(timeout=PATIENCE)


@dataclass
class Studio:
    """A served studio: its address and the services behind it."""

    address: str
    services: Services
    server: uvicorn.Server
    thread: threading.Thread
    book: LabBook | None = None

    def url(self, path: str = "/") -> str:
        return self.address + path

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(timeout=10)


@cache
def the_forecaster() -> Forecaster:
    return Forecaster()


def serve_studio(home: Path, **environ: str) -> Studio:
    """The web application on a free port of this machine, in a thread of this process; `environ` has more STUDIO_* variables."""
    from studio.web import create_web_app

    services = open_services(StudioSettings.from_env({"STUDIO_HOME": str(home), **environ}))
    services = replace(services, forecaster=the_forecaster())  # what it imports, it imports once
    server = uvicorn.Server(
        uvicorn.Config(create_web_app(services), host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
        assert thread.is_alive(), "the server ended before it had started"
    port = server.servers[0].sockets[0].getsockname()[1]
    return Studio(f"http://127.0.0.1:{port}", services, server, thread)


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A studio with nothing in it but what comes with it."""
    studio = serve_studio(tmp_path_factory.mktemp("studio"))
    yield studio
    studio.stop()


@pytest.fixture(scope="session")
def filled_studio(tmp_path_factory):
    """A studio with a lab book of runs in every state. Tests read it, and add runs of their own where they change one."""
    studio = serve_studio(tmp_path_factory.mktemp("filled"))
    studio.book = fill_lab_book(studio.services)
    yield studio
    studio.stop()


def serious(page: Page) -> list[str]:
    """What axe finds on a page that keeps people out."""
    return [f"{rule['id']}: {node['target']}" for rule in Axe().run(page).response["violations"]
            if rule["impact"] in ("serious", "critical") for node in rule["nodes"]]


class WatchedPages:
    """Opens pages, and remembers what they complained about."""

    def __init__(self, browser: Browser):
        self.browser = browser
        self.contexts: list[BrowserContext] = []
        self.complaints: list[str] = []

    def open(self, url: str, *, width: int = 1240, height: int = 900, dark: bool = False) -> Page:
        context = self.browser.new_context(
            viewport={"width": width, "height": height},
            reduced_motion="reduce",
            color_scheme="dark" if dark else "light",
            accept_downloads=True,
        )
        self.contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on(
            "console",
            lambda message: (
                message.type == "error"
                and not message.text.startswith(LEAVING)
                and self.complaints.append(f"console: {message.text}")
            ),
        )
        page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        own = urlsplit(url).netloc
        page.on(
            "request",
            lambda request: (
                self._is_foreign(request.url, own) and self.complaints.append(f"a request left the studio: {request.url}")
            ),
        )
        page.goto(url)
        page.locator("h1").wait_for()
        return page

    @staticmethod
    def _is_foreign(url: str, own: str) -> bool:
        return urlsplit(url).scheme in ("http", "https", "ws", "wss") and urlsplit(url).netloc != own

    def close(self) -> None:
        for context in self.contexts:
            context.close()


@pytest.fixture
def pages(browser):
    """Opens pages; the test fails when one logs an error, throws one, or asks another host for anything."""
    watched = WatchedPages(browser)
    yield watched
    watched.close()
    assert watched.complaints == []
