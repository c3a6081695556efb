"""From what was measured to what has passed, in words."""

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict

from jobs import units
from jobs.certificate.wanted import Limits
from jobs.recipe import SMALLER_IS_BETTER

Name = Literal["score", "expected", "consistency", "round_trip", "forgetting", "repetition", "empty"]
TITLES: dict[str, str] = {
    "score": "Task score", "expected": "Expected content", "consistency": "Same question in different words",
    "round_trip": "There and back", "forgetting": "Forgetting", "repetition": "Repetition", "empty": "Empty answers"}
SCORES: dict[str, str] = {
    "eval_loss": "loss for each token of the answers", "accuracy": "accuracy", "macro_f1": "macro F1", "f1": "F1 of the entities",
    "rmse": "root mean square error", "pearson": "Pearson's correlation", "spearman": "Spearman's correlation",
    "reward_accuracy": "share of answers rated the right way"}
ROUNDING = 1e-9
IN_POINTS = ("accuracy", "macro_f1", "f1", "reward_accuracy")


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Figure(Record):
    """One thing that was measured, for the adapter and for the base model, or why it could not be."""

    name: Name
    score: str = ""  # of a task's score, which one: a key of SCORES
    measured: float | None = None
    base: float | None = None
    rows: int = 0
    of: str = ""  # what the rows are: "validation rows", "answers", …
    base_is: str = ""  # where the base model has no such score, what stands in its place
    broken: bool = False  # the adapter gave infinity, or no number
    why: str = ""  # it could not be measured


class Check(Record):
    """A figure beside its limit. `passed` is None where there was nothing to check."""

    name: Name
    title: str
    measured: float | None
    base: float | None
    limit: float
    passed: bool | None
    words: str
    rows: int


class Answered(Record):
    """What was asked, and what came of it; `found` says whether the answer holds what is expected, where something is."""

    prompt: str
    expected: list[str] = []
    answer: str
    base_answer: str
    found: bool | None = None
    base_found: bool | None = None
    group: int | None = None  # of questions that ask the same


def judge(figures: list[Figure], limits: Limits) -> tuple[list[Check], bool | None]:
    """All checks, and whether everything that could be checked has passed; None where nothing could."""
    checks = [_check(figure, limits) for figure in figures if figure.score in ("", main_score(figures))]
    decided = [check.passed for check in checks if check.passed is not None]
    return checks, all(decided) if decided else None


def main_score(figures: list[Figure]) -> str:
    """The first of the task's scores is the one that decides; the others are told."""
    return next((figure.score for figure in figures if figure.name == "score"), "")


def gain(figure: Figure) -> float | None:
    """What a task's score gains over the base model: relative where smaller is better, else in points."""
    if figure.measured is None or figure.base is None:
        return None
    if figure.score not in SMALLER_IS_BETTER:
        return figure.measured - figure.base
    return (figure.base - figure.measured) / figure.base if figure.base else float(-figure.measured)


def _check(figure: Figure, limits: Limits) -> Check:
    limit = {"score": limits.least_gain, "expected": limits.least_expected, "consistency": limits.least_consistency,
             "round_trip": limits.least_consistency, "forgetting": limits.most_forgetting, "repetition": limits.most_repetition,
             "empty": limits.most_empty}[figure.name]
    passed, words = _judged(figure, limit)
    return Check(name=figure.name, title=TITLES[figure.name], measured=figure.measured, base=figure.base, limit=limit,
                 passed=passed, words=words, rows=figure.rows)


def _judged(figure: Figure, limit: float) -> tuple[bool | None, str]:
    if figure.why:
        return None, figure.why
    counted = f"{figure.rows:,} {figure.of if figure.rows != 1 else figure.of.removesuffix('s')}"
    if figure.broken:
        return False, f"The adapter gives infinity, or no number, on {counted}: its weights are damaged."
    if figure.name == "score":
        return _judged_score(figure, limit, counted)
    if figure.name == "forgetting":
        rise = _rise(figure)
        return at_most(rise, limit), (f"On {counted} the loss is {units.figure(figure.measured)} and the base model's "
                               f"{units.figure(figure.base)}: {_changed(rise)}. It may rise by {units.share(limit)}.")
    besides = f" The base model: {units.share(figure.base)}." if figure.base is not None else ""
    shown = units.share(figure.measured)
    match figure.name:
        case "expected":
            return at_least(figure.measured, limit), (f"{shown} of {counted} hold what is expected.{besides} "
                                              f"At least {units.share(limit)} must.")
        case "repetition":
            return at_most(figure.measured, limit), (f"{shown} of {counted} go in circles.{besides} "
                                                     f"At most {units.share(limit)} may.")
        case "empty":
            return at_most(figure.measured, limit), f"{shown} of {counted} are empty.{besides} At most {units.share(limit)} may be."
        case "consistency":
            what = f"The answers to {counted} have {shown} of their words in common (F1, the mean over all pairs)."
        case _:
            what = f"Of {counted}, translated there and back, {shown} of the words are as before (F1)."
    return at_least(figure.measured, limit), f"{what}{besides} At least {units.share(limit)} is wanted."


def _judged_score(figure: Figure, limit: float, counted: str) -> tuple[bool, str]:
    won, points = gain(figure), figure.score in IN_POINTS
    shown = units.share if points else units.figure
    base = f"with {figure.base_is}" if figure.base_is else "the base model"
    name = SCORES[figure.score][0].upper() + SCORES[figure.score][1:]
    what = f"{name} on {counted}: {shown(figure.measured)}, {base} {shown(figure.base)}"
    if figure.score in SMALLER_IS_BETTER:
        change, least = _changed(-won), f"a fall of {units.share(limit)}"
    else:
        change, least = f"{100 * won:+.1f} points" if points else f"{won:+.3g}", f"{100 * limit:g} points more" if points else \
            f"{limit:g} more"
    wanted = f"At least {least} is wanted." if limit else "It must not be worse."
    return at_least(won, limit), f"{what} ({change}). {wanted}"


def at_least(value: float, limit: float) -> bool:
    """0.82 - 0.80 is a little less than 0.02 to a computer, and not to people."""
    return value >= limit - ROUNDING


def at_most(value: float, limit: float) -> bool:
    return value <= limit + ROUNDING


def _rise(figure: Figure) -> float:
    return (figure.measured - figure.base) / figure.base if figure.base else float(figure.measured)


def _changed(share: float) -> str:
    return "the same" if share == 0 else f"{units.share(abs(share))} {'more' if share > 0 else 'less'}"


def verdict(passed: bool | None) -> str:
    return {True: "Passed", False: "Failed", None: "Not checked"}[passed]


def as_markdown(report: dict) -> str:
    """The section of a model card for a stored report."""
    return "\n".join(["## Certificate", "", *_markdown_lines(report), ""])


def _markdown_lines(report: dict) -> Iterator[str]:
    yield f"**{verdict(report['passed'])}.** Measured by Adapter Studio against the base model, with greedy answers."
    yield from ("", "| Check | | What was measured |", "| --- | --- | --- |")
    for check in report["checks"]:
        yield f"| {check['title']} | {verdict(check['passed'])} | {_cell(check['words'])} |"
    yield from ("", "All figures, prompts and answers are in `certificate.json`.")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
