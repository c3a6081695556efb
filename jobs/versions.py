"""New versions of a dataset: one file of JSON lines each, written row by row. The version that one is made of never changes."""

import errno
import os
import shutil
import uuid
from pathlib import Path

from jobs.data import SUFFIXES, LoadedData
from jobs.data.exporting import json_line
from jobs.services import Services
from jobs.uploads import keep_files
from storage.problems import DiskFull
from storage.records import Dataset

BUFFER = 1 << 20


class NewVersion:
    """A version on its way. A context manager: what is not kept by its end is gone. `part`: which one of the parent it is."""

    def __init__(self, services: Services, parent: Dataset, part: str = ""):
        self.services, self.parent = services, parent
        self.name = f"{parent.name} ({part})" if part else parent.name
        self.file_name = f"{_stem(parent.files[0]['name'])}{f'-{part}' if part else ''}.jsonl"
        self.folder = services.settings.temporary_dir / f"version-{uuid.uuid4().hex}"
        self.rows = 0

    def __enter__(self) -> "NewVersion":
        self.folder.mkdir(parents=True)
        self.path = self.folder / self.file_name
        self._stream = self.path.open("wb", buffering=BUFFER)
        return self

    def __exit__(self, *_error) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)  # first: a full disk would not let the buffer out
        self._stream.close()

    def add(self, values: dict) -> None:
        """Write a row with all its columns. Raises DiskFull."""
        try:
            self._stream.write(json_line(values))
        except OSError as error:
            raise _explained(error) from error
        self.rows += 1

    def keep(self, origin: dict, data: LoadedData, validation_id: str = "") -> Dataset:
        """Remember it as the next version, to be read as `data` was; `origin` says how it was made. Raises DiskFull.

        The same content again gives the version that it already is.
        """
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise _explained(error) from error
        notes = {"task": data.task, "format": data.format, "columns": data.columns, "rows": self.rows,
                 "validation_id": validation_id}
        kept = keep_files(self.services, [self.path], self.name, origin, own=True, parent=self.parent, notes=notes)
        if kept.validation_id != validation_id:
            self.services.datasets.note(kept.id, validation_id=validation_id)
        return kept


def export_name(dataset: Dataset, format: str) -> str:
    """What a file with the rows of a version is called, such as 'questions v2.csv'."""
    return f"{_stem(dataset.name)}{f' v{dataset.version}' if dataset.version > 1 else ''}.{format}"


def _stem(name: str) -> str:
    """A file's name without what it says about its kind, such as .csv.gz."""
    path = Path(name)
    while path.suffix.lower() in SUFFIXES:
        path = path.with_suffix("")
    return path.name


def _explained(error: OSError) -> Exception:
    if error.errno == errno.ENOSPC:
        return DiskFull("The disk became full while a new version of the data was written. Free some space and try again.")
    return error
