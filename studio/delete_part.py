"""Deleting, as pages show it: a question in the place of what it is about, then what came of it, with the way back."""

import time
from dataclasses import dataclass

from jobs import housekeeping, units
from jobs.services import Services
from storage.problems import InUse, StudioError
from storage.records import Run
from storage.trash import FOR_GOOD, UNDO_SECONDS
from studio.problems import sentences
from studio.render import render
from studio.text import say

DAYS = UNDO_SECONDS // 86400
HERE = '<span class="st-unseen" tabindex="-1" data-focus></span>'  # where a question was: keyboards go on from there


@dataclass(frozen=True)
class Answer:
    """What a page shows after a button of a deletion was pressed."""

    about: tuple[str, str] = ("", "")  # kind and id
    question: str = ""  # to show where that thing is
    notice: str = ""  # to show above everything
    kept: bool = False  # the person wants to keep it: its button gets the focus back

    def question_at(self, kind: str, id: str) -> str:
        return self.question if self.about == (kind, id) else ""

    def focus_at(self, kind: str, id: str) -> bool:
        return self.kept and self.about == (kind, id)


def answer(services: Services, words: list[str], target: str) -> Answer:
    """Do what a button's data-ask says: delete, delete-yes, keep, restore, for-good or for-good-yes, then a kind and an id.

    `target` is the ask box that the buttons of the answer speak to. Problems are part of the answer.
    """
    verb, kind, id = words
    try:
        return _VERBS[verb](services, kind, id, target)
    except InUse as problem:
        return Answer((kind, id), question=render("delete_problem.html", problems=sentences(problem)))
    except StudioError as problem:  # it has changed since the page was read, and may be nowhere on it
        return Answer(notice=render("delete_problem.html", problems=sentences(problem)))


def run_is_deleted(run: Run, target: str) -> str:
    """What the page of a deleted run says; empty for any other."""
    if run.deleted_at is None:
        return ""
    if run.deleted_at == FOR_GOOD:
        return _notice(say("delete.run_going"), "run", run.id, target, focus=False)
    text = say("delete.run_deleted", ago=units.ago(time.time() - run.deleted_at), date=day(run.deleted_at + UNDO_SECONDS))
    return _notice(text, "run", run.id, target, undo=True, focus=False)


def _ask(services: Services, kind: str, id: str, target: str) -> Answer:
    return _question(services, kind, id, target, "delete")


def _ask_for_good(services: Services, kind: str, id: str, target: str) -> Answer:
    return _question(services, kind, id, target, "for-good")


def _question(services: Services, kind: str, id: str, target: str, verb: str) -> Answer:
    plan = housekeeping.plan_deletion(services, kind, id)
    return Answer((kind, id), question=render("delete_question.html", plan=plan, verb=verb, days=DAYS, target=target))


def _keep(services: Services, kind: str, id: str, target: str) -> Answer:
    return Answer((kind, id), kept=True)


def _delete(services: Services, kind: str, id: str, target: str) -> Answer:
    name = housekeeping.plan_deletion(services, kind, id).name
    housekeeping.delete(services, kind, id)
    return Answer((kind, id), notice=_notice(say("delete.done", name=name), kind, id, target, undo=True))


def _restore(services: Services, kind: str, id: str, target: str) -> Answer:
    housekeeping.restore(services, kind, id)
    name = services.trash.find(kind, id).name
    return Answer((kind, id), notice=_notice(say("delete.restored", name=name), kind, id, target))


def _delete_for_good(services: Services, kind: str, id: str, target: str) -> Answer:
    plan = housekeeping.plan_deletion(services, kind, id)
    housekeeping.delete_for_good(services, kind, id)
    text = say("delete.for_good_done", name=plan.name, size=units.size(plan.bytes))
    return Answer((kind, id), notice=_notice(text, kind, id, target))


_VERBS = {"delete": _ask, "delete-yes": _delete, "keep": _keep, "restore": _restore, "for-good": _ask_for_good,
          "for-good-yes": _delete_for_good}


def day(at: float) -> str:
    """A date as people write it: 28 Nov 2026."""
    moment = time.localtime(at)
    return f"{moment.tm_mday} {time.strftime('%b %Y', moment)}"


def _notice(text: str, kind: str, id: str, target: str, undo: bool = False, focus: bool = True) -> str:
    return render("delete_notice.html", text=text, kind=kind, id=id, target=target, undo=undo, focus=focus)
