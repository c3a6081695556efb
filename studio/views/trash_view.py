"""What was deleted and can still be restored."""

import time

from jobs import units
from storage.trash import Deleted
from studio.delete_part import DAYS, Answer, day
from studio.render import render


def trash_view(
    deleted: list[tuple[Deleted, int]], now: float | None = None, answer: Answer = Answer(), target: str = ""
) -> str:
    """Every deleted thing with the bytes that it still takes and the day it goes; empty where nothing is deleted."""
    now = time.time() if now is None else now
    rows = [
        {
            "kind": thing.kind,
            "id": thing.id,
            "name": thing.name,
            "bytes": size,
            "deleted": units.ago(now - thing.deleted_at),
            "gone": day(thing.gone_at),
            "question": answer.question_at(thing.kind, thing.id),
            "focus": answer.focus_at(thing.kind, thing.id),
        }
        for thing, size in deleted
    ]
    return render("library_trash.html", rows=rows, bytes=sum(size for _, size in deleted), days=DAYS, target=target)
