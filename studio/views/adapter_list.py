"""The library's adapters."""

import time

from jobs import units
from storage.records import Adapter
from studio.delete_part import Answer
from studio.render import render
from studio.text import say
from studio.views.run_view import method_title


def adapter_list(adapters: list[Adapter], now: float | None = None, answer: Answer = Answer(), target: str = "") -> str:
    """Every adapter with its sizes and its files' hashes, or what to do where there is none.

    The question of `answer` stands where its adapter is; buttons speak to the ask box `target`.
    """
    if not adapters:
        return render(
            "empty.html", what=say("library.empty"), next=say("library.empty_help"), links=[(say("run.open_train"), "/")]
        )
    now = time.time() if now is None else now
    return render(
        "library.html",
        target=target,
        adapters=[
            (
                adapter,
                method_title(adapter.method),
                units.ago(now - adapter.created_at),
                answer.question_at("adapter", adapter.run_id),
                answer.focus_at("adapter", adapter.run_id),
            )
            for adapter in adapters
        ],
    )
