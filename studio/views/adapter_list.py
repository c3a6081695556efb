"""The library as a list of adapters."""

import time

from jobs import units
from storage.records import Adapter
from studio.render import render
from studio.text import say
from studio.views.run_view import method_title


def adapter_list(adapters: list[Adapter], now: float | None = None) -> str:
    """Every adapter with its sizes and its files' hashes, or what to do where there is none."""
    if not adapters:
        return render(
            "empty.html", what=say("library.empty"), next=say("library.empty_help"), links=[(say("run.open_train"), "/")]
        )
    now = time.time() if now is None else now
    return render(
        "library.html",
        adapters=[(adapter, method_title(adapter.method), units.ago(now - adapter.created_at)) for adapter in adapters],
    )
