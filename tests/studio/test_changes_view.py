"""What an adapter changed, as the page shows it."""

import math

from jobs.playground.request import GenerationSettings
from studio.answering import keep
from studio.changes_part import request_about
from studio.views.changes_view import changes, layer_map, look, percent
from studio.views.panes import SHARED, SINGLE, Panes
from tests.studio.test_panes import BASE_MODEL, Answer, answered

TOKENS = [
    {"text": "<b>", "answer": True, "base": math.log(0.02), "adapter": math.log(0.5), "change": math.log(25),
     "top_base": [{"text": " the", "logprob": math.log(0.4)}], "top_adapter": [{"text": "<b>", "logprob": math.log(0.5)}]},
    {"text": " moss", "answer": True, "base": -1.0, "adapter": -1.1, "change": -0.1, "top_base": [], "top_adapter": []},
    {"text": "asked", "answer": False, "base": None, "adapter": None, "change": None, "top_base": [], "top_adapter": []},
]
CELLS = [{"layer": 1, "module": "self_attn.q_proj", "change": 0.02}, {"layer": 0, "module": "self_attn.q_proj", "change": 0.04},
         {"layer": 0, "module": "mlp.up_proj", "change": 0.01}, {"layer": None, "module": "lm_head", "change": 0.0}]


def test_tokens_are_marked_by_how_far_they_were_moved():
    assert [look(change) for change in (0.1, 0.3, -3, 9)] == ["", "st-up st-by-1", "st-down st-by-3", "st-up st-by-4"]
    assert [percent(math.log(share)) for share in (0.5, 0.021, 0.0001)] == ["50%", "2.1%", "<0.1%"]
    html = changes("poet", TOKENS, {"by": "weights", "cells": CELLS})
    assert 'class="st-up st-by-3"' in html and "<b>" not in html and "asked" not in html and "the 40%" in html
    assert "No word was made" in changes("poet", TOKENS[1:], {"by": "outputs", "cells": []})


def test_layers_are_rows_and_modules_columns():
    found = layer_map(CELLS)
    assert found["modules"] == ["q_proj", "up_proj"] and [layer for layer, _ in found["rows"]] == [0, 1]
    assert found["rows"][0][1][0] == {"share": 1.0, "text": "4%"} and found["rows"][1][1][1] is None
    assert found["others"][0][0] == "lm_head" and layer_map([])["rows"] == []


def test_the_answer_is_looked_at_with_what_was_asked(services):
    panes = Panes({"base": Answer("base", "base model", ""), "p": Answer("p", "poet", "LoRA")})
    for settings, chat in ((GenerationSettings(system="Be brief."), SHARED), (GenerationSettings(raw=True), SINGLE)):
        first = answered(panes.asked("One?", chat), base="A", p="B")
        first = first.judged(keep(services, BASE_MODEL, first, settings))
        request = request_about(BASE_MODEL, first, "p", "/adapters/p")
        assert first.can_explain("p") and not first.can_explain("base") and request.text == "B"
        assert [message.role for message in request.messages] == ([] if settings.raw else ["system", "user"])
        assert request.prompt == ("One?" if settings.raw else "")
