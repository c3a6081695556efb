"""One version of a dataset: what it is, where it comes from, its other versions, and who learnt from it."""

import time
from collections.abc import Sequence
from urllib.parse import urlencode

from jobs import units
from jobs.data import LoadedData
from storage.records import Dataset, Run
from studio.render import render
from studio.text import ENGLISH, say

EXPORTS = ("jsonl", "csv", "parquet")
NAMED_COLUMNS = 40
NAMED_RUNS = 20


def title(dataset: Dataset, versions: Sequence[Dataset]) -> str:
    """Its name and its place among its versions."""
    lead = say("data.version_of", version=dataset.version, count=len(versions)) if len(versions) > 1 else ""
    return render("title.html", title=dataset.name, lead=lead)


def notice(dataset: Dataset, parent: Dataset | None) -> str:
    """What changed from the version that it was made of, with the way back."""
    if parent is None:
        return ""
    return render("data_notice.html", text=made_by(dataset), parent=parent)


def links(dataset: Dataset, base: str, limit: int, template: str = "") -> str:
    """Train on it with what is chosen here (`template`: the name of a built-in one), or take it elsewhere."""
    choice = {"data": dataset.id, "base": base, "max_length": limit, "chat_template": template}
    choice = {name: value for name, value in choice.items() if value}
    return render("data_links.html", dataset=dataset, train=f"/?{urlencode(choice)}", exports=EXPORTS)


def about(
    dataset: Dataset, data: LoadedData | None, columns: Sequence[str], versions: Sequence[Dataset], validation: Dataset | None,
    runs: Sequence[Run], now: float | None = None,
) -> str:
    """Its figures, its versions and the runs that learnt from it. `data` is None until its rows were read."""
    now = time.time() if now is None else now
    rows = data.rows if data else dataset.rows
    figures = [
        ("report.rows", units.NOTHING if rows is None else f"{rows:,}"),
        ("report.kept", f"{data.kept:,}" if data else units.NOTHING),
        ("report.left_out", f"{data.left_out_count:,}" if data else units.NOTHING),
        ("data.columns", f"{len(columns):,}" if columns else units.NOTHING),
        ("figure.size", units.size(dataset.bytes)),
        ("data.added", units.ago(now - dataset.created_at)),
    ]
    return render(
        "data_about.html",
        figures=[(say(key), value) for key, value in figures],
        columns=", ".join(columns[:NAMED_COLUMNS]),
        more_columns=max(0, len(columns) - NAMED_COLUMNS),
        dataset=dataset,
        origin=made_by(dataset),
        versions=[
            {"dataset": version, "rows": "" if version.rows is None else say("figure.rows", count=f"{version.rows:,}"),
             "made": made_by(version), "ago": units.ago(now - version.created_at)}
            for version in versions
        ],
        validation=validation,
        runs=runs[:NAMED_RUNS],
        more_runs=max(0, len(runs) - NAMED_RUNS),
    )


def made_by(dataset: Dataset) -> str:
    """Where a version comes from, in a sentence."""
    kind = dataset.origin.get("kind", "upload")
    detail = dataset.origin.get("part") or dataset.origin.get("mend", "")
    key = next(key for key in (f"data.origin.{kind}.{detail}", f"data.origin.{kind}", "") if key in ENGLISH or not key)
    made = say(key, **_words(dataset.origin)) if key else kind
    lost = dataset.origin.get("unreadable", 0)
    if not lost:
        return made
    return say("data.origin.unreadable_one" if lost == 1 else "data.origin.unreadable", made=made, unreadable=f"{lost:,}")


def _words(origin: dict) -> dict[str, str]:
    return {name: f"{value:,}" if isinstance(value, int) else str(value) for name, value in origin.items()}
