"""The playground's page, with a stand-in for its process that answers slowly and always the same."""

import asyncio
import json
import threading

import pytest
import uvicorn
from playwright.sync_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from jobs.playground.request import GenerationSettings

WORDS = ["O ", "hush, ", "<b>and</b> ", "let ", "it ", "go."]


class StandIn:
    """Speaks the playground's protocol. `slow` makes an answer last until it is stopped."""

    def __init__(self):
        self.requests: list[dict] = []
        self.slow = False
        self.ended_early = threading.Event()

    def app(self) -> Starlette:
        return Starlette(
            routes=[Route("/load", self.load, methods=["POST"]), Route("/generate", self.generate, methods=["POST"])]
        )

    async def load(self, request: Request):
        return JSONResponse({})

    async def generate(self, request: Request):
        question = await request.json()
        self.requests.append(question)
        return StreamingResponse(
            self.events([pane["name"] for pane in question["panes"]]), media_type="application/x-ndjson"
        )

    async def events(self, panes: list[str]):
        try:
            for pane in panes:
                if "fail" in self.requests[-1]["prompt"] and pane != "base":
                    yield json.dumps({"pane": pane, "problem": "This adapter does not fit. Choose another."}) + "\n"
                    continue
                for word in WORDS * (500 if self.slow else 1):
                    yield json.dumps({"pane": pane, "text": word}) + "\n"
                    await asyncio.sleep(0.02)
                yield (
                    json.dumps(
                        {
                            "pane": pane,
                            "done": True,
                            "text": "".join(WORDS),
                            "tokens": 6,
                            "seconds": 0.12,
                            "seconds_to_first_token": 0.02,
                            "finish_reason": "stop",
                        }
                    )
                    + "\n"
                )
        except (asyncio.CancelledError, GeneratorExit):
            self.ended_early.set()
            raise


@pytest.fixture(scope="module")
def stand_in(filled_studio):
    stand_in = StandIn()
    path = filled_studio.services.settings.playground_socket
    server = uvicorn.Server(uvicorn.Config(stand_in.app(), uds=str(path), log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
    yield stand_in
    server.should_exit = True
    thread.join(timeout=10)
    path.unlink(missing_ok=True)


@pytest.fixture
def playground(pages, filled_studio, stand_in) -> Page:
    page = pages.open(filled_studio.url(f"/playground?run={filled_studio.book.finished}"))
    page.locator(".st-pane").first.wait_for()
    return page


def ask(page: Page, prompt: str) -> None:
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.get_by_label("Prompt", exact=True).press("Enter")


def test_it_opens_with_that_very_adapter_beside_the_base(playground, filled_studio, stand_in):
    assert playground.locator(".st-pane h2").all_inner_texts() == ["demo-base", "poet"]
    ask(playground, "Where does the moss fox live?")
    panes = playground.locator(".st-pane")
    for pane in (panes.nth(0), panes.nth(1)):
        expect(pane.locator(".st-answer")).to_have_text("O hush, <b>and</b> let it go.")
        expect(pane.locator("footer")).to_have_text("6 tokens in 0.1 s")
    asked = stand_in.requests[-1]
    assert asked["panes"][1]["adapter_folder"] == str(
        filled_studio.services.settings.adapters_dir / filled_studio.book.finished
    )
    assert asked["panes"][0]["adapter_folder"] is None
    assert GenerationSettings.model_validate(asked["settings"]) == GenerationSettings()  # untouched fields, folded away
    expect(playground.get_by_role("button", name="Send")).to_be_enabled()


def test_another_adapter_gets_a_pane_of_its_own(playground, stand_in):
    playground.locator("#playground-adapters input").click()
    playground.get_by_role("option", name="stopped early").click()
    expect(playground.locator(".st-pane h2")).to_have_text(["demo-base", "poet", "stopped early"])
    playground.keyboard.press("Escape")
    ask(playground, "Hello")
    expect(playground.locator(".st-pane footer").nth(2)).to_have_text("6 tokens in 0.1 s")
    assert len(stand_in.requests[-1]["panes"]) == 3


def test_stopping_ends_the_answers_and_keeps_what_was_written(playground, stand_in):
    stand_in.slow = True
    ask(playground, "Tell me everything")
    expect(playground.locator(".st-answer").first).to_contain_text("hush")
    playground.get_by_role("button", name="Stop").click()
    expect(playground.locator(".st-pane footer").first).to_have_text("stopped")
    expect(playground.locator(".st-answer").first).to_contain_text("hush")
    expect(playground.get_by_role("button", name="Send")).to_be_enabled()
    stand_in.slow = False
    assert stand_in.ended_early.wait(5), "the process goes on writing what nobody waits for"


def test_a_problem_stays_in_its_own_pane(playground):
    ask(playground, "please fail")
    expect(playground.locator(".st-pane").nth(1)).to_contain_text("This adapter does not fit. Choose another.")
    expect(playground.locator(".st-pane").nth(0).locator(".st-answer")).to_contain_text("O hush,")


def test_a_wrong_setting_is_told_and_the_prompt_stays(playground):
    playground.get_by_role("button", name="Sampling settings").click()
    expect(playground.get_by_label("Temperature")).to_have_value("0")
    playground.get_by_label("Temperature").fill("9")
    ask(playground, "Hello")
    expect(playground.locator("#playground-problems")).to_contain_text("temperature is 9")
    expect(playground.get_by_label("Prompt", exact=True)).to_have_value("Hello")
