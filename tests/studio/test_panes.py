"""What the panes of the playground show, and what is asked and kept of them, without a browser."""

from pathlib import Path

import pytest

from jobs.playground.problems import PlaygroundLost
from jobs.playground.request import GenerationSettings
from storage.problems import StudioError
from storage.records import Verdict
from studio.answering import Stops, answers, keep, request_for
from studio.playground_bases import Base
from studio.views.panes import OWN, SHARED, SINGLE, Answer, Panes

BASE_MODEL = Base("text-generation /base", "base model", "base model", "/base", "text-generation")
FOLDERS = {"base": None, "p": "/adapters/p", "s": "/adapters/s"}


@pytest.fixture
def panes():
    return Panes({"base": Answer("base", "base model", ""), "p": Answer("p", "poet", "LoRA"), "s": Answer("s", "sage", "IA³")})


def done(pane: str, text: str, **named) -> dict:
    return {"pane": pane, "done": True, "text": text, "tokens": 3, "seconds": 0.5, "finish_reason": "stop", **named}


def answered(panes: Panes, **texts: str) -> Panes:
    for pane, text in texts.items():
        panes = panes.after(done(pane, text))
    return panes


class Client:
    """Gives events that were written before, and remembers what it was asked to stop."""

    def __init__(self, *events: dict, problem: Exception | None = None):
        self.events, self.problem, self.stopped = events, problem, []

    def generate(self, request):
        yield from self.events
        if self.problem:
            raise self.problem

    def stop(self, request_id, pane):
        self.stopped.append((request_id, pane))


def test_panes_take_in_events_in_any_order(panes):
    panes = panes.asked("Hm?")
    assert "Loading" in panes.after({"waiting": True, "for": "model"}).html
    for event in ({"pane": "base", "text": "Hel"}, {"pane": "nobody", "text": "x"}, {"pane": "base", "text": "lo"}):
        panes = panes.after(event)
    assert panes.answers["base"].text == "Hello"
    ended = panes.after(done("base", "Hello.", tokens=1, seconds_to_first_token=0.0214, tokens_per_second=41.7))
    assert ended.answers["base"].figures == ["1 token in 0.5 s", "first after 21 ms", "42 tokens/s"]
    assert not ended.answers["base"].busy and ended.stopped("base") == ended, "a finished answer is not stopped"
    assert panes.failed("Gone.").answers["p"].problem == "Gone."
    stopped = panes.stopped("base").after({"pane": "base", "text": "more"}).after(done("base", "Hello"))
    assert stopped.answers["base"].note == "stopped" and stopped.answers["base"].tokens == 3 and stopped.answers["p"].busy


def test_each_pane_goes_on_with_its_own_thread(panes):
    first = answered(panes.asked("One?", OWN), base="A", p="B").after({"pane": "s", "problem": "It broke."})
    second = panes.going_on(first, OWN).asked("Two?", OWN)
    assert [message["content"] for message in second.messages("p")] == ["One?", "B", "Two?"]
    assert second.messages("s") == [], "where nothing was answered there is nothing to go on from"
    question = request_for(BASE_MODEL, FOLDERS, second, GenerationSettings(), Stops())
    assert [len(pane.messages) for pane in question.panes] == [3, 3, 0] and question.panes[1].adapter_folder == Path("/adapters/p")
    assert not panes.going_on(first, SINGLE).asked("Two?").messages("p"), "each prompt by itself"


def test_all_follow_the_chosen_answer_else_the_best_else_the_first(panes, services):
    first = answered(panes.asked("One?", SHARED), base="A", p="B", s="C")
    assert first.leader == "base" and first.following("s").leader == "s"
    kept = keep(services, BASE_MODEL, first, GenerationSettings())
    judged = first.judged(kept).judged(services.comparisons.judge(kept.id, Verdict.BEST, "p"))
    assert judged.leader == "p" and judged.following("s").leader == "s"
    second = panes.going_on(judged, SHARED).asked("Two?", SHARED)
    assert {second.messages(id)[1]["content"] for id in panes.answers} == {"B"}
    third = Panes.of("base model", []).going_on(answered(second, p="D"), SHARED)
    assert [message["content"] for message in third.answers["base"].thread] == ["One?", "B", "Two?", "D"], "its pane is gone"


def test_names_are_hidden_until_the_verdict(panes, services):
    blind = answered(panes.asked("One?", blind=True, shuffle=list.reverse), base="A", p="B", s="C")
    kept = blind.judged(keep(services, BASE_MODEL, blind, GenerationSettings()))
    html = kept.html + kept.judge_html
    assert not any(tell in html for tell in ("poet", "sage", "base model", "tokens in")) and html.index(">C<") < html.index(">A<")
    told = kept.judged(services.comparisons.judge(kept.kept.id, Verdict.BEST, "s"))
    assert told.html.index("sage") < told.html.index("poet") and told.verdict == "Best: sage" and kept.kept.blind


def test_answers_come_until_they_end_or_are_stopped(panes):
    asked, stops = panes.asked("One?"), Stops()
    events = [{"pane": "base", "text": "He"}, {"pane": "p", "text": "Ho"}, done("p", "Ho"), done("base", "Hey"), done("s", "Ha")]
    question = request_for(BASE_MODEL, FOLDERS, asked, GenerationSettings(), stops)
    client, seen = Client(*events), []
    for now in answers(client, question, asked, stops):
        seen.append(now)
        stops.panes.add("p")
    assert client.stopped == [(question.id, "p")] and seen[-1].answers["p"].note == "stopped" and not seen[-1].busy
    stops = Stops(all=True)
    assert [now.busy for now in answers(Client(*events), question, asked, stops)] == [False]
    lost = list(answers(Client(events[2], problem=PlaygroundLost()), question, asked, Stops()))[-1]
    assert lost.answers["base"].problem and not lost.answers["p"].problem


def test_what_cannot_be_asked_is_said(panes):
    many = Panes({str(number): Answer(str(number), "x", "") for number in range(10)}).asked("One?")
    with pytest.raises(StudioError, match="Choose 8 at most"):
        request_for(BASE_MODEL, dict.fromkeys(many.answers), many, GenerationSettings(), Stops())
    chat = panes.going_on(answered(panes.asked("One?", OWN), p="B"), OWN).asked("Two?", OWN)
    with pytest.raises(StudioError, match="characters"):
        request_for(BASE_MODEL, FOLDERS, panes.asked("x" * 1_000_001), GenerationSettings(), Stops())
    with pytest.raises(StudioError, match="chat template"):
        request_for(BASE_MODEL, FOLDERS, chat, GenerationSettings(raw=True), Stops())


def test_a_comparison_is_kept_with_what_each_was_asked(panes, services):
    assert keep(services, BASE_MODEL, panes.asked("One?").failed("No."), GenerationSettings()) is None
    first = answered(panes.asked("One?", OWN), base="A", p="B").after({"pane": "s", "problem": "It broke."})
    kept = keep(services, BASE_MODEL, first, GenerationSettings(system="Be brief."))
    assert [message["role"] for message in kept.conversation] == ["system", "user"] and kept.answers[2]["problem"] == "It broke."
    second = answered(panes.going_on(first, OWN).asked("Two?", OWN), base="C", p="D", s="E")
    kept = keep(services, BASE_MODEL, second, GenerationSettings())
    assert len(kept.conversation) == 1 and [len(answer["conversation"]) for answer in kept.answers] == [3, 3, 1]
    read = panes.asked("Three?").after({"pane": "p", "done": True, "text": "0.5", "tokens": 1, "seconds": 0.1, "number": 0.5})
    kept = keep(services, BASE_MODEL, read.stopped(), GenerationSettings())
    assert [answer.get("reading") for answer in kept.answers] == [None, {"number": 0.5}, None]
