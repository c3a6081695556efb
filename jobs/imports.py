"""Kept data as examples: read once for each way of reading it, then opened in a moment by everybody who needs it."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from jobs.data import LoadedData, Look, import_rows, import_validation, look, open_imported
from jobs.data.loading import OnProgress
from jobs.made_once import made_once
from jobs.services import Services
from jobs.uploads import dataset_paths
from storage.records import Dataset

READING = 1  # counted up where the same files would be read otherwise than before


def read_dataset(services: Services, dataset: Dataset, format: str = "auto", columns: dict[str, str] | None = None,
                 task: str | None = None, group_by: str = "", on_progress: OnProgress = lambda rows: None) -> LoadedData:
    """All examples of a dataset; the first time they are imported, which takes about a minute for a gigabyte.

    Raises DataInvalid, and NotFound where a file is gone.
    """
    seen = first_look(services, dataset, format, columns, task)
    data = _kept(services, dataset, _way(seen, group_by),
                 lambda folder: import_rows(seen, folder, group_by, on_progress=on_progress))
    return replace(data, reason=seen.found.reason)


def first_look(services: Services, dataset: Dataset, format: str = "auto", columns: dict[str, str] | None = None,
               task: str | None = None) -> Look:
    """What a dataset is taken for, from a sample of its rows: a second or two, however large it is; see jobs.data.look."""
    files = tuple((path, path.stat().st_mtime_ns) for path in dataset_paths(services, dataset))
    seen = _look(files, format, tuple((columns or {}).items()), task)
    notes = dataset.origin.get("notes", ())  # files of an archive that are not trained on
    return replace(seen, findings=[*notes, *seen.findings]) if notes else seen


def read_again(services: Services, dataset: Dataset, seen: Look) -> LoadedData | None:
    """The examples of a dataset that was already read in this way; None where it still has to be."""
    folder = _folder(services, dataset, _way(seen, ""))
    return replace(open_imported(folder), reason=seen.found.reason) if folder.is_dir() else None


def read_validation(services: Services, dataset: Dataset, like: LoadedData) -> LoadedData:
    """A dataset to measure with, read as the training data was; rows with a label never trained are left out."""
    way = [like.task, like.format, sorted(like.columns.items()), like.labels, like.sha256]
    paths = dataset_paths(services, dataset)
    return _kept(services, dataset, way, lambda folder: import_validation(paths, like, folder))


@lru_cache(16)
def _look(files: tuple, format: str, columns: tuple, task: str | None) -> Look:
    return look([path for path, _ in files], format, dict(columns) or None, task)


def _way(seen: Look, group_by: str) -> list:
    return [seen.found.task, seen.found.format, sorted(seen.found.columns.items()), group_by]


def _folder(services: Services, dataset: Dataset, way: list) -> Path:
    key = hashlib.sha256(json.dumps([READING, dataset.sha256, way]).encode()).hexdigest()[:24]
    return services.settings.imports_dir / key


def _kept(services: Services, dataset: Dataset, way: list, read: Callable[[Path], LoadedData]) -> LoadedData:
    return open_imported(made_once(_folder(services, dataset, way), read))
