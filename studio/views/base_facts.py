"""A base model in one line of facts, and a download in a line of progress."""

from jobs import units
from jobs.models.shelf import ShelfEntry
from storage.records import Download
from studio.render import render
from studio.text import say


def facts_line(entry: ShelfEntry | None) -> str:
    """The facts of a model on the shelf, the problem that keeps it from being used, or what to do where there is none."""
    if entry is None:
        return render("base.html", problem=None, facts=None)
    if entry.problem:
        return render("base.html", problem=entry.problem, facts=None)
    facts = entry.facts
    context = say("figure.tokens", count=f"{facts.context_length:,}") if facts.context_length else units.NOTHING
    return render(
        "base.html",
        problem=None,
        facts=[
            (say("figure.parameters"), units.amount(facts.parameters)),
            (say("figure.layers"), facts.layers or units.NOTHING),
            (say("figure.context"), context),
            (say("figure.licence"), facts.licence or say("figure.licence_unknown")),
            (say("figure.size"), units.size(facts.bytes_on_disk)),
        ],
    )


def download_line(download: Download, worker_alive: bool) -> str:
    """How far a download is, with its problem where it failed."""
    if download.state == "failed":
        return render("download.html", problems=[download.problem])
    known = download.state == "running" and download.total_bytes
    return render(
        "download.html",
        problems=[],
        text=say(f"train.download.{download.state}", name=download.hub_id),
        amount=say("train.download.amount", done=units.size(download.done_bytes), total=units.size(download.total_bytes))
        if known
        else "",
        share=min(1, download.done_bytes / download.total_bytes) if known else None,
        done=download.state in ("finished", "cancelled"),
        hint="" if worker_alive or download.state in ("finished", "cancelled") else say("worker.missing"),
    )
