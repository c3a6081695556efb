"""What a certificate asks for, how answers compare, and what passes: all without a model."""

import json

import pytest

from jobs.certificate.certifying import CARD, FILE, write_certificate
from jobs.certificate.judge import Figure, judge
from jobs.certificate.likeness import agreement, goes_in_circles, holds, is_empty, token_f1
from jobs.certificate.wanted import (
    Limits,
    Wanted,
    groups_as_text,
    groups_from_text,
    prompts_as_text,
    prompts_from_text,
    read_wanted,
    read_wanted_file,
)
from storage.problems import RecipeInvalid

EVERYTHING = """
prompts:
  - {prompt: "What is 7 x 8?", expected: 56}
  - {prompt: "Name a colour.", expected: [red, Blue]}
groups:
  - ["How are you?", "How do you do?"]
least_gain: 0.1
most_empty: 0.5
"""


def test_a_file_says_what_is_wanted_and_the_rest_is_as_usual(tmp_path):
    (tmp_path / "wanted.yaml").write_text(EVERYTHING)
    wanted = read_wanted_file(tmp_path / "wanted.yaml")
    assert [one.expected for one in wanted.prompts] == [["56"], ["red", "Blue"]] and wanted.groups[0][1] == "How do you do?"
    assert (wanted.least_gain, wanted.most_empty, wanted.least_expected, wanted.rows) == (0.1, 0.5, 0.9, 200)
    assert read_wanted(wanted.model_dump(mode="json")) == wanted, "the record is read back as it was"
    (tmp_path / "empty.yaml").write_text("")
    assert read_wanted_file(tmp_path / "empty.yaml") == Wanted()
    assert 50 <= len(Wanted().general_lines()) <= 80 and Wanted(general_text="one\n\n two ").general_lines() == ["one", "two"]


@pytest.mark.parametrize("values, said", [
    ({"least_gian": 0.1}, "Did you mean 'least_gain'?"), ({"least_expected": 2}, "It must be at most 1"),
    ({"prompts": [{"prompt": "a", "expected": []}]}, "expected"), ({"groups": [["alone"]]}, "groups"),
    ({"most_forgetting": float("nan")}, "most_forgetting"), (["a list"], "list of settings"), ({"rows": 0}, "at least 1")])
def test_what_cannot_be_wanted_is_told(values, said):
    with pytest.raises(RecipeInvalid, match=said):
        read_wanted(values)


def test_prompts_and_groups_are_written_as_text_and_read_back():
    text = "Capital of France? => Paris\nIs a => b? => yes | true "
    prompts = prompts_from_text(text + "\n\n")
    assert prompts == [{"prompt": "Capital of France?", "expected": ["Paris"]},
                       {"prompt": "Is a => b?", "expected": ["yes", "true"]}]
    groups = groups_from_text("\none\n two\n\n\nthree\nfour\n")
    assert groups == [["one", "two"], ["three", "four"]]
    wanted = read_wanted({"prompts": prompts, "groups": groups})
    assert prompts_from_text(prompts_as_text(wanted.prompts)) == prompts
    assert groups_from_text(groups_as_text(wanted.groups)) == groups
    with pytest.raises(RecipeInvalid, match="Line 2 .*'no arrow'"):
        prompts_from_text("a => b\nno arrow")
    with pytest.raises(RecipeInvalid, match="'alone' stands alone"):
        groups_from_text("one\ntwo\n\nalone")


def test_answers_are_compared_by_their_words():
    assert token_f1("The cat sat.", "the CAT sat!") == 1 and token_f1("", " ") == 1 and token_f1("a", "") == 0
    assert token_f1("a b c d", "a b") == pytest.approx(2 * 2 / 6)
    assert token_f1("a a b", "a b b") == pytest.approx(2 * 2 / 6), "each word counts as often as it stands there"
    assert token_f1("猫が好き", "猫が嫌い") > 0.4, "scripts without spaces are compared by letters"
    assert agreement(["a b", "a b", "c d"]) == pytest.approx(1 / 3)
    assert holds("The capital is  Paris, of course.", ["rome", "IS PARIS"]) and not holds("Par is", ["paris"])
    assert is_empty(" \n") and not is_empty(".")


def test_circles_are_four_words_that_come_more_than_three_times():
    assert goes_in_circles("to be or not " * 4) and not goes_in_circles("to be or not " * 3)
    assert goes_in_circles("ha " * 8) and not goes_in_circles("") and not goes_in_circles("One, two, three. " * 2)
    assert goes_in_circles("我们走吧" * 4)


def figures(**changes) -> list[Figure]:
    usual = {
        "score": {"score": "eval_loss", "measured": 1.0, "base": 2.0, "rows": 20, "of": "validation rows"},
        "expected": {"measured": 0.9, "base": 0.5, "rows": 10, "of": "listed prompts"},
        "consistency": {"measured": 0.5, "base": 0.5, "rows": 3, "of": "questions"},
        "forgetting": {"measured": 2.2, "base": 2.0, "rows": 900, "of": "tokens of general text"},
        "repetition": {"measured": 0.1, "base": 0.0, "rows": 20, "of": "answers"},
        "empty": {"measured": 0.0, "base": 0.0, "rows": 20, "of": "answers"}}
    return [Figure(name=name, **{**values, **changes.get(name, {})}) for name, values in usual.items()]


def test_figures_at_their_limits_pass():
    checks, passed = judge(figures(), Limits())
    assert passed and [check.passed for check in checks] == [True] * 6
    points = figures(score={"score": "accuracy", "measured": 0.82, "base": 0.80})
    assert judge(points, Limits())[1], "0.82 - 0.80 is a gain of 0.02"
    assert checks[0].words == ("Loss for each token of the answers on 20 validation rows: 1, the base model 2 (50% less). "
                               "At least a fall of 2% is wanted.")


@pytest.mark.parametrize("changes", [
    {"score": {"measured": 1.98}}, {"score": {"measured": 2.5}}, {"score": {"measured": None, "broken": True}},
    {"expected": {"measured": 0.89}}, {"consistency": {"measured": 0.4}}, {"forgetting": {"measured": 2.4}},
    {"repetition": {"measured": 0.2}}, {"empty": {"measured": 0.05}},
    {"score": {"score": "accuracy", "measured": 0.51, "base": 0.5}}, {"score": {"score": "rmse", "measured": 2.0}}])
def test_one_figure_beyond_its_limit_fails_the_whole(changes):
    checks, passed = judge(figures(**changes), Limits())
    assert passed is False and [check.name for check in checks if check.passed is False] == list(changes)


def test_what_could_not_be_measured_is_neither_passed_nor_failed():
    missing = [Figure(name="score", why="No data."), Figure(name="forgetting", why="No text.")]
    assert [(check.passed, check.words) for check in judge(missing, Limits())[0]] == [(None, "No data."), (None, "No text.")]
    assert judge(missing, Limits())[1] is None
    assert judge([*missing, *figures()[4:]], Limits())[1] is True
    equal = figures(score={"measured": 2.0})
    assert judge(equal, Limits(least_gain=0))[1] is True and judge(equal, Limits())[1] is False


def test_only_the_first_score_of_a_task_decides():
    two = [Figure(name="score", score="accuracy", measured=0.9, base=0.5, rows=9, of="validation rows"),
           Figure(name="score", score="macro_f1", measured=0.1, base=0.5, rows=9, of="validation rows")]
    checks, passed = judge(two, Limits())
    assert passed and len(checks) == 1 and "(+40.0 points)" in checks[0].words


def test_the_model_card_has_one_certificate_however_often_it_is_made(tmp_path):
    (tmp_path / CARD).write_text("# Poet\n\nText.\n")
    checks, passed = judge(figures(empty={"measured": 0.5}), Limits())
    report = {"passed": passed, "checks": [check.model_dump(mode="json") for check in checks]}
    write_certificate(tmp_path, report)
    write_certificate(tmp_path, report)
    card = (tmp_path / CARD).read_text()
    assert card.startswith("# Poet\n\nText.\n\n## Certificate\n") and card.count("## Certificate") == 1
    assert "**Failed.**" in card and "| Empty answers | Failed | 50% of 20 answers are empty." in card
    assert json.loads((tmp_path / FILE).read_text()) == report
