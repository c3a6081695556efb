"""What models that read answer, drawn side by side."""

import pytest

from jobs.playground.request import Arrow
from studio.views.panes import Answer, Panes
from studio.views.readings import common_labels, shown_readings, spans


def scores(**labels: float) -> dict:
    return {"scores": [{"label": label, "probability": share} for label, share in labels.items()]}


def test_labels_are_in_one_order_in_all_panes_those_first_that_one_is_surest_of():
    assert common_labels([{"a": 0.6, "b": 0.4}, {"c": 0.9, "b": 0.1}]) == ["c", "a", "b"]
    many = {f"label {number}": 1 / (number + 2) for number in range(77)}
    assert common_labels([many]) == list(many)[:5]
    drawn = shown_readings({"one": scores(a=0.6, b=0.4), "two": scores(c=0.9, b=0.1), "base": {}})
    assert drawn.keys() == {"one", "two"}
    places = [drawn["two"].index(f"<span>{label}</span>") for label in "cab"]
    assert places == sorted(places)
    assert "width: 90.00%" in drawn["two"] and "90.0%" in drawn["two"] and "not one of its labels" in drawn["two"]


def test_names_of_labels_and_words_are_shown_as_they_are():
    drawn = shown_readings({"one": scores(**{"<b>": 1.0}), "two": {"words": [{"text": "<i>", "tag": "B-<u>"}]}})
    assert "&lt;b&gt;" in drawn["one"] and "&lt;i&gt;\u00a0<b>&lt;u&gt;</b>" in drawn["two"]


def test_numbers_have_bars_of_one_scale_from_zero_where_there_is_one_to_compare_with():
    assert "st-number-bar" not in shown_readings({"one": {"number": 0.0}})["one"]
    drawn = shown_readings({"one": {"number": -1.0}, "two": {"number": 3.0}})
    assert "left: 0.00%; width: 25.00%" in drawn["one"] and "−1" in drawn["one"]
    assert "left: 25.00%; width: 75.00%" in drawn["two"]


@pytest.mark.parametrize(("tags", "expected"), [
    (["B-per", "I-per", "", "B-loc"], ["per", "", "loc"]),
    (["B-per", "B-per"], ["per", "per"]),
    (["I-per", "I-loc"], ["per", "loc"]),
    (["NOUN", "", "VERB"], ["NOUN", "", "VERB"]),
    (["", ""], [""]),
])
def test_words_of_one_span_belong_together(tags, expected):
    words = [{"text": f"w{number}", "tag": tag} for number, tag in enumerate(tags)]
    found = spans(words)
    assert [span["type"] for span in found] == expected
    assert " ".join(span["text"] for span in found) == " ".join(word["text"] for word in words)


def test_a_tag_has_the_same_colour_in_every_pane_and_none_says_so():
    drawn = shown_readings({"one": {"words": [{"text": "Jane", "tag": "B-per"}, {"text": "Rome", "tag": "B-loc"}]},
                            "two": {"words": [{"text": "Rome", "tag": "B-loc"}]}, "none": {"words": [{"text": "x", "tag": ""}]}})
    assert 'class="st-tag-1">Rome\u00a0<b>loc' in drawn["one"] and 'class="st-tag-1">Rome\u00a0<b>loc' in drawn["two"]
    assert "No word has a tag" in drawn["none"]


def test_a_similarity_below_zero_is_told_as_such():
    drawn = shown_readings({"one": {"similarities": [{"text": "near", "value": 0.83}, {"text": "far", "value": -0.2}]}})["one"]
    assert "width: 83.00%" in drawn and "−0.20" in drawn and drawn.count("st-negative") == 1


def test_a_pane_draws_what_its_answer_is_made_of_and_a_new_prompt_clears_it():
    panes = Panes({"one": Answer("one", "mine", "LoRA")}).asked("Hello")
    panes = panes.after({"pane": "one", "done": True, "text": "0", "tokens": 1, "seconds": 0.1, "number": 0.0})
    assert "st-said-number" in panes.html and "st-said-number" not in panes.asked("Again").html


def test_what_was_routed_is_shown_with_the_most_first_and_not_while_names_are_hidden():
    pane = Answer("arrow-1", "a / b", "Arrow", arrow=Arrow(adapter_folders=("/a", "/b")), members=("a", "b"))
    end = {"pane": "arrow-1", "done": True, "text": "Hi", "tokens": 1, "seconds": 0.1, "routed": [0.25, 0.75]}
    html = Panes({"arrow-1": pane}).asked("Hello").after(end).html
    assert html.index("<span>b</span><b>75%</b>") < html.index("<span>a</span><b>25%</b>")
    assert "st-routed" not in Panes({"arrow-1": pane}).asked("Hello", blind=True).after(end).html
