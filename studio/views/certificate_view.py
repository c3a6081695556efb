"""A certificate as the page of its run shows it: asked for, under way, or made."""

import time
from dataclasses import dataclass

from jobs import units
from jobs.certificate.judge import IN_POINTS
from storage.records import Certificate
from studio.render import render
from studio.text import say

OPEN = ("queued", "running")
PILLS = {True: ("finished", "certificate.passed"), False: ("failed", "certificate.failed"), None: ("calm", "certificate.unchecked")}


@dataclass(frozen=True)
class Row:
    title: str
    pill: str
    result: str
    measured: str
    base: str
    words: str


def certificate(asked: Certificate | None, works: bool, now: float | None = None) -> str:
    """`works`: whether there is a worker."""
    report = asked.report if asked and asked.state == "finished" else None
    return render(
        "certificate.html", asked=asked, open=asked is not None and asked.state in OPEN, phase=_phase(asked),
        idle=asked is not None and asked.state == "queued" and not works, report=report, rows=_rows(report) if report else [],
        verdict=_verdict(report) if report else None, made=_made(report, now or time.time()) if report else "")


def _phase(asked: Certificate | None) -> str:
    if asked is None or asked.state not in OPEN:
        return ""
    return say(f"certificate.{asked.phase}") if asked.phase else say("certificate.queued" if asked.state == "queued" else
                                                                     "certificate.loading")


def _made(report: dict, now: float) -> str:
    return say("certificate.made", ago=units.ago(now - report["made_at"]), device=report["device"],
               time=units.duration(report["seconds"]))


def _verdict(report: dict) -> tuple[str, str, str]:
    """The pill, its word, and a sentence."""
    pill, word = PILLS[report["passed"]]
    failed = ", ".join(check["title"].lower() for check in report["checks"] if check["passed"] is False)
    sentence = say("certificate.some_failed", checks=failed) if failed else \
        say("certificate.none_checked" if report["passed"] is None else "certificate.all_passed")
    return pill, say(word), sentence


def _rows(report: dict) -> list[Row]:
    score = next((figure["score"] for figure in report["figures"] if figure["name"] == "score"), "")
    rows = []
    for check in report["checks"]:
        plain = check["name"] == "forgetting" or (check["name"] == "score" and score not in IN_POINTS)
        shown = units.figure if plain else units.share
        pill, word = PILLS[check["passed"]]
        rows.append(Row(check["title"], pill, say(word), shown(check["measured"]), shown(check["base"]), check["words"]))
    return rows
