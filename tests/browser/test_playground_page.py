"""The playground's page, with a stand-in for its process that answers slowly and always the same."""

import asyncio
import json
import threading
import time

import pytest
import uvicorn
from playwright.sync_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from jobs.playground.request import GenerationSettings
from tests.browser.conftest import serious

SCORES = [[{"label": "question", "probability": 0.6}, {"label": "order", "probability": 0.4}],
          [{"label": "order", "probability": 0.93}, {"label": "question", "probability": 0.07}]]  # of a model that labels texts
WORDS = ["O ", "hush, ", "<b>and</b> ", "let ", "it ", "go."]


class StandIn:
    """Speaks the playground's protocol. `slow` makes an answer last until it is stopped."""

    def __init__(self):
        self.requests: list[dict] = []
        self.slow = False
        self.stopped: list[str] = []
        self.ended_early = threading.Event()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/load", self.load, methods=["POST"]),
                Route("/generate", self.generate, methods=["POST"]),
                Route("/stop", self.stop, methods=["POST"]),
            ]
        )

    async def load(self, request: Request):
        return JSONResponse({})

    async def stop(self, request: Request):
        self.stopped.append((await request.json())["pane"])
        return JSONResponse({}, 202)

    async def generate(self, request: Request):
        question = await request.json()
        self.requests.append(question)
        self.stopped.clear()
        return StreamingResponse(
            self.events([pane["name"] for pane in question["panes"]], question["prompt"]), media_type="application/x-ndjson"
        )

    async def events(self, panes: list[str], prompt: str):
        """All panes a word at a time; one that was stopped ends with what it has."""
        try:
            if "fail" in prompt:
                for pane in panes[1:]:
                    yield json.dumps({"pane": pane, "problem": "This adapter does not fit. Choose another."}) + "\n"
                panes = panes[:1]
            left = dict.fromkeys(panes, "")
            for word in WORDS * (500 if self.slow else 1):
                for pane in list(left):
                    if pane in self.stopped:
                        yield ended(pane, left.pop(pane), "cancelled")
                        continue
                    left[pane] += word
                    yield json.dumps({"pane": pane, "text": word}) + "\n"
                await asyncio.sleep(0.02)
            for number, (pane, text) in enumerate(left.items()):
                scores = SCORES[number] if "label" in prompt else None
                yield ended(pane, text, "stop", **({"scores": scores} if scores else {}))
        except (asyncio.CancelledError, GeneratorExit):
            self.ended_early.set()
            raise


def ended(pane: str, text: str, reason: str, **reading) -> str:
    return json.dumps({
        "pane": pane, "done": True, "text": text, "tokens": 6, "seconds": 0.12, "seconds_to_first_token": 0.02,
        "tokens_per_second": 50.0, "finish_reason": reason, **reading}) + "\n"


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
    thread.join(timeout=60)
    path.unlink(missing_ok=True)


@pytest.fixture
def playground(pages, filled_studio, stand_in) -> Page:
    page = pages.open(filled_studio.url(f"/playground?run={filled_studio.book.finished}"))
    page.locator(".st-pane").first.wait_for()
    return page


def ask(page: Page, prompt: str) -> None:
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.get_by_label("Prompt", exact=True).press("Enter")


def test_it_opens_with_that_very_adapter_beside_the_base(playground, filled_studio, stand_in):
    assert playground.locator(".st-pane h2").all_inner_texts() == ["demo-base", "poet"]
    ask(playground, "Where does the moss fox live?")
    panes = playground.locator(".st-pane")
    for pane in (panes.nth(0), panes.nth(1)):
        expect(pane.locator(".st-answer")).to_have_text("O hush, <b>and</b> let it go.")
        expect(pane.locator("footer span")).to_have_text(["6 tokens in 0.1 s", "first after 20 ms", "50 tokens/s"])
    asked = stand_in.requests[-1]
    assert asked["panes"][1]["adapter_folder"] == str(
        filled_studio.services.settings.adapters_dir / filled_studio.book.finished
    )
    assert asked["panes"][0]["adapter_folder"] is None
    assert GenerationSettings.model_validate(asked["settings"]) == GenerationSettings()  # untouched fields, folded away
    expect(playground.get_by_role("button", name="Send")).to_be_enabled()


def test_labels_are_bars_in_one_order_for_all_panes(playground):
    ask(playground, "Which label is it?")
    panes = playground.locator(".st-pane")
    for number, shares in enumerate((["40.0%", "60.0%"], ["93.0%", "7.0%"])):
        expect(panes.nth(number).locator(".st-scores span")).to_have_text(["order", "question"])
        expect(panes.nth(number).locator(".st-scores b")).to_have_text(shares)
    bars = [panes.nth(number).locator(".st-surest u").bounding_box()["width"] for number in (0, 1)]
    assert 1.4 < bars[1] / bars[0] < 1.7, "bars of all panes have one scale"
    assert serious(playground) == []


def test_another_adapter_gets_a_pane_of_its_own(playground, stand_in):
    playground.locator("#playground-adapters input").click()
    playground.get_by_role("option", name="stopped early").click()
    expect(playground.locator(".st-pane h2")).to_have_text(["demo-base", "poet", "stopped early"])
    playground.keyboard.press("Escape")
    ask(playground, "Hello")
    expect(playground.locator(".st-pane footer").nth(2)).to_contain_text("6 tokens in 0.1 s")
    assert len(stand_in.requests[-1]["panes"]) == 3


def test_stopping_ends_the_answers_and_keeps_what_was_written(playground, stand_in):
    stand_in.slow = True
    ask(playground, "Tell me everything")
    expect(playground.locator(".st-answer").first).to_contain_text("hush")
    playground.get_by_role("button", name="Stop all").click()
    expect(playground.locator(".st-pane footer").first).to_have_text("stopped")
    expect(playground.locator(".st-answer").first).to_contain_text("hush")
    expect(playground.get_by_role("button", name="Send")).to_be_enabled()
    stand_in.slow = False
    assert stand_in.ended_early.wait(60), "the process goes on writing what nobody waits for"


def test_one_pane_is_stopped_by_itself(playground, stand_in, filled_studio):
    stand_in.slow = True
    ask(playground, "Tell me everything")
    expect(playground.locator(".st-answer").nth(1)).to_contain_text("hush")
    playground.get_by_role("button", name="Stop poet").click()
    expect(playground.locator(".st-pane footer").nth(1)).to_contain_text("stopped6 tokens in 0.1 s")
    assert stand_in.stopped == [filled_studio.book.finished]
    expect(playground.get_by_role("button", name="Stop demo-base")).to_be_visible()
    expect(playground.locator(".st-pane").nth(1).get_by_role("button", name="Stop")).to_have_count(0)
    playground.get_by_role("button", name="Stop all").click()
    expect(playground.get_by_role("button", name="Send")).to_be_enabled()
    stand_in.slow = False


def test_another_role_is_asked_while_the_picked_one_still_answers(playground, stand_in, filled_studio):
    services = filled_studio.services
    runs = {adapter.name: adapter.run_id for adapter in services.adapters.all() if adapter.name in ("poet", "stopped early")}
    for name, run_id in runs.items():
        services.roles.save(run_id, name, [f"What would a {name} say?"])
    playground.reload()
    stand_in.slow = True
    playground.get_by_label("Route by request", exact=True).check()
    ask(playground, "Say it as a poet")
    expect(playground.locator(".st-pane h2")).to_have_text(["poet"])
    expect(playground.locator(".st-answer").first).to_contain_text("hush")
    stand_in.slow = False
    playground.get_by_role("button", name="Answer instead: stopped early").click()
    expect(playground.locator(".st-pane h2")).to_have_text(["stopped early"])
    expect(playground.locator(".st-pane footer")).to_contain_text("6 tokens in 0.1 s")
    expect(playground.get_by_role("button", name="Send")).to_be_enabled()
    assert [request["panes"][0]["name"] for request in stand_in.requests[-2:]] == [runs["poet"], runs["stopped early"]]
    for role in services.roles.all():
        services.roles.delete(role.id)


def wait_for_note(page: Page, studio, comparison_id: str, note: str) -> None:
    """The page says nothing of a note that is kept, so the record is looked at until it is there."""
    deadline = time.monotonic() + 60
    while (found := studio.services.comparisons.get(comparison_id).note) != note:
        assert time.monotonic() < deadline, f"the note is '{found}'"
        page.wait_for_timeout(50)


def test_a_blind_vote_shows_the_names_afterwards_and_is_kept(playground, filled_studio):
    playground.get_by_label("Blind", exact=True).check()
    ask(playground, "Whose answer is this?")
    expect(playground.locator(".st-pane h2")).to_have_text(["Answer A", "Answer B"])
    assert "demo-base" not in playground.locator("#panes").inner_html()
    best = playground.get_by_role("button", name="Best: Answer B")
    best.focus()
    playground.keyboard.press("Enter")
    names = playground.locator(".st-pane h2")
    expect(names.filter(has_text="poet")).to_be_visible()
    kept = filled_studio.services.comparisons.all()[0]
    assert kept.blind and kept.verdict == "best" and kept.conversation[0]["content"] == "Whose answer is this?"
    said = {"base": "demo-base", filled_studio.book.finished: "poet"}[kept.best]
    expect(playground.locator("#judge")).to_contain_text(f"Best: {said}")
    assert names.nth(1).inner_text() == said
    playground.get_by_role("button", name="Equally good").click()
    expect(playground.locator("#judge [role=status]")).to_contain_text("Equally good")
    playground.get_by_label("Note").fill("alike")
    playground.get_by_label("Note").press("Enter")
    playground.get_by_label("Prompt", exact=True).focus()
    expect(playground.locator(".st-best-pane")).to_have_count(0)
    assert filled_studio.services.comparisons.get(kept.id).verdict == "tie"
    wait_for_note(playground, filled_studio, kept.id, "alike")
    playground.get_by_label("Note").fill("")
    playground.get_by_label("Note").press("Enter")
    wait_for_note(playground, filled_studio, kept.id, "")


def test_a_conversation_goes_on_from_one_answer_or_in_each_pane(playground, stand_in):
    playground.get_by_label("Conversation").click()
    playground.get_by_role("option", name="Each pane has its own").click()
    ask(playground, "Hello")
    expect(playground.locator(".st-pane footer").nth(1)).to_contain_text("6 tokens")
    expect(playground.get_by_label("Prompt", exact=True)).to_have_value("")
    ask(playground, "please fail")
    expect(playground.locator(".st-problems").first).to_be_visible()
    asked = stand_in.requests[-1]["panes"]
    assert [[message["role"] for message in pane["messages"]] for pane in asked] == [["user", "assistant", "user"]] * 2
    expect(playground.locator(".st-thread").first).to_contain_text("O hush,")
    playground.get_by_label("Conversation").click()
    playground.get_by_role("option", name="All follow one answer").click()
    ask(playground, "Again")
    expect(playground.locator(".st-pane footer").nth(1)).to_contain_text("6 tokens")
    asked = stand_in.requests[-1]["panes"]
    assert asked[0]["messages"] == asked[1]["messages"] and len(asked[0]["messages"]) == 5
    playground.get_by_role("button", name="Go on from this: poet").click()
    expect(playground.locator(".st-pane").nth(1)).to_contain_text("goes on")
    playground.get_by_role("button", name="Start afresh").click()
    expect(playground.locator(".st-turn:visible")).to_have_count(0)


def test_an_answer_becomes_a_row_of_data(playground, filled_studio):
    ask(playground, "Teach me")
    playground.get_by_role("button", name="Add to data: poet").click()
    expect(playground.locator("#collected")).to_contain_text("1 row was added to 'Answers from the playground', version 1.")
    playground.get_by_role("button", name="Best: poet").click()
    playground.get_by_role("button", name="Add to data as preferences").click()
    expect(playground.locator("#collected")).to_contain_text("another one that differs")  # both say the same
    made = next(data for data in filled_studio.services.datasets.all() if data.name == "Answers from the playground")
    assert made.origin == {"kind": "answers", "added": 1}


def test_a_list_of_prompts_is_answered_kept_and_can_be_stopped(playground, stand_in, filled_studio, tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("First of the list?\nSecond of the list?\n")
    playground.get_by_role("button", name="Prompts from a file").click()
    playground.locator("#prompt-file input[type=file]").set_input_files(path)
    expect(playground.locator("#prompt-file")).to_contain_text("prompts.txt")
    playground.get_by_role("button", name="Ask them all").click()
    expect(playground.locator("#prompts-progress")).to_contain_text("2 of 2 prompts were answered and kept.")
    kept = [comparison.conversation[0]["content"] for comparison in filled_studio.services.comparisons.all()[:2]]
    assert kept == ["Second of the list?", "First of the list?"]
    expect(playground.get_by_role("button", name="Send")).to_be_enabled()
    stand_in.slow = True
    playground.get_by_role("button", name="Ask them all").click()
    expect(playground.locator("#prompts-progress")).to_contain_text("Prompt 1 of 2")
    expect(playground.locator(".st-answer").first).to_contain_text("hush")
    playground.get_by_label("Prompt", exact=True).fill("Out of turn")
    playground.get_by_label("Prompt", exact=True).press("Enter")
    expect(playground.locator("#playground-problems")).to_contain_text("Answers are still coming.")
    expect(playground.get_by_role("button", name="Send")).to_be_disabled()
    playground.get_by_role("button", name="Stop all").click()
    expect(playground.locator("#prompts-progress")).to_contain_text("Stopped: 0 of 2")
    expect(playground.get_by_role("button", name="Send")).to_be_enabled()
    stand_in.slow = False
    playground.get_by_role("link", name="See and judge them").click()
    expect(playground.locator("#comparisons")).to_contain_text("Second of the list?")


def test_what_is_told_while_a_list_is_answered_stays(playground, tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("".join(f"Number {number}?\n" for number in range(12)))
    playground.get_by_role("button", name="Prompts from a file").click()
    playground.locator("#prompt-file input[type=file]").set_input_files(path)
    expect(playground.locator("#prompt-file")).to_contain_text("prompts.txt")
    playground.get_by_role("button", name="Ask them all").click()
    expect(playground.locator("#prompts-progress")).to_contain_text("Prompt 1 of 12")
    playground.get_by_label("Prompt", exact=True).fill("Out of turn")
    playground.get_by_label("Prompt", exact=True).press("Enter")
    expect(playground.locator("#prompts-progress")).to_contain_text("12 of 12 prompts were answered and kept.")
    expect(playground.locator("#playground-problems")).to_contain_text("Answers are still coming.")


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
