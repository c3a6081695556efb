"""The page of comparisons, without a browser."""

import pytest

from storage.records import Verdict
from studio.comparisons_page import ComparisonsPage
from studio.views.comparisons_view import Looking, answers_of, comparisons_list, standings_table


@pytest.fixture
def keep(services):
    def make(question: str = "One?", **named):
        names = {"base": "plain", "p": "poet", "s": "sage"}
        answers = [{"answerer": id, "name": name, "text": f"{name} says"} for id, name in names.items()]
        asked = [{"role": "user", "content": question}]
        return services.comparisons.keep(base_model="b", task="text-generation", conversation=asked, settings={}, answers=answers,
                                         **named)
    return make


def test_standings_name_everybody_who_was_judged(services, keep):
    assert "Nobody has judged yet" in standings_table([keep()])
    for _ in range(4):
        services.comparisons.judge(keep().id, Verdict.BEST, "p")
    html = standings_table(services.comparisons.all())
    assert html.index("poet") < html.index("plain") and 'href="/run?id=p"' in html and 'href="/run?id=base"' not in html


def test_a_blind_comparison_shows_no_names_until_its_verdict(services, keep):
    blind = keep(blind=True)
    shown = answers_of(blind)
    assert [answer["title"] for answer in shown] == ["Answer A", "Answer B", "Answer C"]
    assert shown == answers_of(services.comparisons.get(blind.id)), "the order stays"
    assert sorted(answer["place"] for answer in shown) == [0, 1, 2]
    judged = services.comparisons.judge(blind.id, Verdict.TIE)
    assert [answer["title"] for answer in answers_of(judged)] == ["plain", "poet", "sage"]


def test_answers_of_models_that_read_are_drawn_as_in_their_panes(services):
    readings = {"p": {"poem": 0.9, "prose": 0.1}, "s": {"prose": 0.7, "poem": 0.3}}
    answers = [{"answerer": id, "name": id, "text": "its text", "reading": {
        "scores": [{"label": label, "probability": share} for label, share in found.items()]}} for id, found in readings.items()]
    kept = services.comparisons.keep(base_model="b", task="text-classification", conversation=[{"role": "user", "content": "Hm"}],
                                     settings={}, answers=[*answers, {"answerer": "base", "name": "plain", "text": "no labels"}])
    html = comparisons_list([kept], "b", "any", Looking(opened=kept.id))
    assert html.count('class="st-scores"') == 2 and "its text" not in html and "<p>no labels</p>" in html
    assert [html.index(share) for share in ("90.0%", "10.0%", "30.0%", "70.0%")] == sorted(
        html.index(share) for share in ("90.0%", "10.0%", "30.0%", "70.0%")), "labels are in one order"
    assert html.count("data-ask=\"best ") == 3


def test_the_list_is_judged_filtered_and_deleted_from(services, keep):
    page, first, second = ComparisonsPage(services), keep("First?"), keep("<b>Second?</b>")
    looking = page._done("best", first.id, ["2"], Looking(opened=first.id))
    assert services.comparisons.get(first.id).best == "s" and looking.opened == first.id
    every = services.comparisons.all("b")
    assert "First?" not in comparisons_list(every, "b", "open", Looking())
    html = comparisons_list(every, "b", "any", Looking(opened=second.id))
    assert "<b>Second" not in html and "2 comparisons" in html and "sage is best" in html and "poet says" in html
    looking = page._done("delete", first.id, [], looking)
    assert f'data-ask="delete-yes {first.id}"' in comparisons_list(every, "b", "any", looking)
    page._done("delete-yes", first.id, [], looking)
    assert [comparison.id for comparison in services.comparisons.all()] == [second.id]
    assert "no comparison" in page._shown_or_said("b", "any", Looking(), "tie", first.id, [])[0]
