"""The comparisons that were kept of one base model: who wins, and the list with its answers."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from jobs import units
from jobs.judging.export import FORMATS, best_title, titled
from jobs.judging.ratings import Standing, standings
from storage.records import BASE, Comparison, Verdict
from studio.render import render
from studio.text import say
from studio.views.panes import LETTERS
from studio.views.readings import shown_readings

LONGEST = 90  # characters of a prompt in the list
ANY, OPEN, JUDGED = STATES = ("any", "open", "judged")  # which comparisons the list shows


@dataclass(frozen=True)
class Looking:
    """What of the list is open: the comparison whose answers are shown, and the one that a person wants to delete."""

    opened: str = ""
    deleting: str = ""
    rows: int = 50


def standings_table(comparisons: Sequence[Comparison]) -> str:
    """Who was judged, the best first, with a line from the lowest to the highest that its rating may be."""
    found = standings(comparisons)
    if not found:
        return render("standings.html", rows=[], low=0, high=0)
    low, high = min(standing.low for standing in found), max(standing.high for standing in found)
    return render("standings.html", rows=[_standing(standing, low, max(high - low, 1)) for standing in found], low=low, high=high)


def _standing(standing: Standing, low: float, width: float) -> dict:
    return {
        "standing": standing,
        "is_base": standing.answerer == BASE,
        "is_run": standing.answerer != BASE and not standing.answerer.startswith("blend-"),
        "start": 100 * (standing.low - low) / width,
        "length": max(100 * (standing.high - standing.low) / width, 1),
        "at": 100 * (standing.rating - low) / width,
    }


def comparisons_list(comparisons: Sequence[Comparison], base_model: str, state: str, looking: Looking,
                     now: float | None = None) -> str:
    """The list, with the answers of the opened one; buttons speak to the page's ask box."""
    now = time.time() if now is None else now
    shown = [comparison for comparison in comparisons if state == ANY or bool(comparison.verdict) == (state == JUDGED)]
    rows = [row(comparison, looking, now) for comparison in shown[: looking.rows]]
    exports = [(say("comparisons.export", format=format.upper()), export_address(base_model, format))
               for format in FORMATS]
    return render("comparisons.html", rows=rows, count=len(shown), more=len(shown) > looking.rows, exports=exports,
                  all=len(comparisons))


def export_address(base_model: str, format: str) -> str:
    return f"/comparisons/export?format={format}&base={quote(base_model, safe='')}"


def row(comparison: Comparison, looking: Looking, now: float) -> dict:
    """One line of the list."""
    question = comparison.conversation[-1]["content"]
    return {
        "id": comparison.id,
        "question": question,
        "short": question if len(question) <= LONGEST else f"{question[: LONGEST - 1].rstrip()}…",
        "verdict": comparison.verdict.value,
        "said": say(f"comparisons.said.{comparison.verdict.value or 'open'}", name=best_title(comparison)),
        "blind": comparison.blind,
        "note": comparison.note,
        "when": units.ago(now - comparison.created_at),
        "names": len(comparison.answers),
        "opened": comparison.id == looking.opened,
        "deleting": comparison.id == looking.deleting,
        "answers": answers_of(comparison) if comparison.id == looking.opened else [],
        "can_judge": sum(not answer.get("problem") for answer in comparison.answers) > 1,
    }


def answers_of(comparison: Comparison) -> list[dict]:
    """The answers as they are shown: in another order and without names where these wait for the verdict."""
    readings = shown_readings({answer["answerer"]: answer.get("reading", {}) for answer in comparison.answers})
    found = [{"place": place, "title": title, "text": answer["text"], "problem": answer.get("problem", ""),
              "reading": readings.get(answer["answerer"]),
              "best": comparison.verdict == Verdict.BEST and answer["answerer"] == comparison.best}
             for place, (title, answer) in enumerate(titled(comparison))]
    if not comparison.blind or comparison.verdict:
        return found
    random.Random(comparison.id).shuffle(found)
    return [{**answer, "title": say("playground.answer_letter", letter=LETTERS[number])} for number, answer in enumerate(found)]
