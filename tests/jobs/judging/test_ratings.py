"""Ratings say who wins, how sure that is, and nothing that was not said."""

import csv
import io
import json
import math
import random

import pytest

from jobs.judging.export import best_title, example, export, preferences
from jobs.judging.ratings import MIDDLE, expected, standings
from storage.records import BASE, Comparison, Verdict


def comparison(*answerers: str, verdict: str = "", best: str = "", texts: dict | None = None, number: int = 0) -> Comparison:
    answers = [{"answerer": name, "name": f"the {name}", "text": (texts or {}).get(name, f"{name} says")} for name in answerers]
    return Comparison(f"c{number}", float(number), "", "demo-base", "text-generation", [{"role": "user", "content": "Why?"}], {},
                      answers, True, Verdict(verdict), best, "", None)


def test_nothing_was_judged():
    assert standings([]) == []
    assert standings([comparison("a", "b"), comparison("a", verdict="best", best="a")]) == []


def test_wins_losses_ties_and_bad_ones_are_counted():
    found = {standing.answerer: standing for standing in standings([
        comparison("a", "b", BASE, verdict="best", best="a"), comparison("a", "b", verdict="tie"),
        comparison("b", BASE, verdict="bad")])}
    assert [(found["a"].wins, found["a"].losses, found["a"].ties, found["a"].bad)] == [(1, 0, 1, 0)]
    assert [(found["b"].wins, found["b"].losses, found["b"].ties, found["b"].bad)] == [(0, 1, 1, 1)]
    assert found[BASE].comparisons == 2 and found[BASE].name == "the base"
    assert found["a"].rating > found["b"].rating > found[BASE].rating - 200
    assert math.isclose(sum(standing.rating for standing in found.values()) / 3, MIDDLE, abs_tol=1e-6)


def test_ratings_find_the_strengths_that_made_the_votes():
    true = {"a": 1200, "b": 1000, "c": 800}
    draw = random.Random(1)
    votes = []
    for number in range(600):
        one, other = draw.sample(list(true), 2)
        best = one if draw.random() < expected(true[one], true[other]) else other
        votes.append(comparison(one, other, verdict="best", best=best, number=number))
    found = standings(votes)
    assert [standing.answerer for standing in found] == ["a", "b", "c"]
    for standing in found:
        assert standing.low <= true[standing.answerer] <= standing.high
        assert abs(standing.rating - true[standing.answerer]) < 60
        assert standing.high - standing.low < 150


def test_few_votes_leave_wide_intervals_and_more_make_them_narrow():
    def width(times: int) -> float:
        votes = [comparison("a", "b", verdict="best", best="a" if number % 4 else "b") for number in range(times)]
        return max(standing.high - standing.low for standing in standings(votes))

    assert width(8) > 2 * width(200)
    assert standings([comparison("a", "b", verdict="best", best="a")])[0].rating < MIDDLE + 400


def test_the_same_votes_give_the_same_figures():
    votes = [comparison("a", "b", verdict="best", best="a"), comparison("a", "b", verdict="tie")]
    assert standings(votes) == standings(votes)


def test_the_table_has_a_column_for_each_answerer():
    votes = [comparison("a", "b", verdict="best", best="b", number=2), comparison("a", BASE, number=1, texts={"a": "=1+1"})]
    rows = list(csv.DictReader(io.StringIO(export(votes, "csv"))))
    assert list(rows[0]) == ["prompt", "the a", "the base", "the b", "verdict", "best", "note"]
    assert rows[0]["the a"] == "'=1+1", "a spreadsheet would calculate it"
    assert (rows[1]["best"], rows[1]["verdict"], rows[1]["the base"]) == ("the b", "best", "")
    lines = [json.loads(line) for line in export(votes, "jsonl").splitlines()]
    assert lines[1]["answers"] == {"the a": "a says", "the b": "b says"} and lines[1]["messages"][0]["content"] == "Why?"


def test_two_of_one_name_keep_columns_of_their_own():
    both = comparison("aaaaaaaa", "bbbbbbbb", verdict="best", best="bbbbbbbb")
    both = Comparison(**{**vars(both), "answers": [{**answer, "name": "twin"} for answer in both.answers]})
    assert best_title(both) == "twin (bbbbbb)"
    assert len(json.loads(export([both], "jsonl"))["answers"]) == 2


def test_json_lines_tell_what_the_answer_of_a_model_that_reads_is_made_of():
    read = comparison("a", BASE)
    scores = [{"label": "poem", "probability": 0.9}, {"label": "prose", "probability": 0.1}]
    read = Comparison(**{**vars(read), "answers": [{**read.answers[0], "reading": {"scores": scores}}, read.answers[1]]})
    line = json.loads(export([read], "jsonl"))
    assert line["readings"] == {"the a": {"scores": scores}} and list(line["answers"]) == ["the a", "the base"]
    assert "readings" not in json.loads(export([comparison("a", BASE)], "jsonl"))


def test_a_judged_comparison_gives_rows_to_learn_from():
    judged = comparison("a", "b", BASE, verdict="best", best="a", texts={"b": "a says"})
    assert example(judged, "b")["messages"][-1] == {"role": "assistant", "content": "a says"}
    rows = list(preferences(judged))
    assert [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows] == [("a says", "base says")]
    assert list(preferences(comparison("a", "b", verdict="tie"))) == []


@pytest.mark.parametrize(("one", "other", "chance"), [(1000, 1000, 0.5), (1400, 1000, 10 / 11)])
def test_four_hundred_points_are_ten_to_one(one, other, chance):
    assert math.isclose(expected(one, other), chance)
