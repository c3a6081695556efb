"""The library's data."""

import time
from collections import Counter
from collections.abc import Mapping

from jobs import units
from storage.records import Dataset
from studio.delete_part import Answer
from studio.render import render
from studio.text import say


def dataset_list(
    datasets: list[Dataset], uses: Mapping[str, int], now: float | None = None, answer: Answer = Answer(), target: str = ""
) -> str:
    """Every dataset with its size and how many runs learnt from it; the question of `answer` below the one it is about."""
    now = time.time() if now is None else now
    versions = Counter(dataset.family for dataset in datasets if dataset.family)
    rows = [
        {
            "id": dataset.id,
            "name": dataset.name,
            "version": _version(dataset, versions[dataset.family]),
            "rows": units.NOTHING if dataset.rows is None else f"{dataset.rows:,}",
            "files": len(dataset.files),
            "bytes": dataset.bytes,
            "since": units.ago(now - dataset.created_at),
            "used_by": used_by(uses.get(dataset.id, 0)),
            "question": answer.question_at("dataset", dataset.id),
            "focus": answer.focus_at("dataset", dataset.id),
        }
        for dataset in datasets
    ]
    return render("library_data.html", rows=rows, target=target)


def _version(dataset: Dataset, count: int) -> str:
    """Its place among several versions; empty for the only one."""
    return say("data.version_of", version=dataset.version, count=count) if count > 1 else ""


def used_by(runs: int) -> str:
    if runs <= 1:
        return say("library.runs_one") if runs else say("library.runs_none")
    return say("library.runs", count=f"{runs:,}")
