"""The shelf: the base models that are already on this machine."""

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jobs.models.hashing import write_json
from jobs.models.hub import HubRecord, read_record, split_hub_id
from jobs.models.inspect import BaseModelFacts, inspect_base_model
from jobs.models.model_files import read_json
from jobs.models.problems import BaseModelUnknown, FolderMissing
from storage.problems import BaseModelRefused

Source = Literal["shelf", "folder", "hub"]
HUB = "hub"  # the subfolder of the models' folder that holds downloads
FOLDERS = "folders.json"


@dataclass(frozen=True)
class ShelfEntry:
    """A model on the shelf, with its facts or with the problem that keeps it from being used."""

    name: str
    path: Path
    source: Source
    hub_id: str | None
    revision: str | None  # commit
    facts: BaseModelFacts | None
    problem: str | None


@dataclass(frozen=True)
class ResolvedBase:
    """The folder that a recipe's base_model stands for."""

    name: str
    path: Path
    source: Source
    hub_id: str | None = None
    revision: str | None = None  # commit


class Shelf:
    """Built-in models, folders in `models_dir` or added by path, and finished downloads under `models_dir`/hub."""

    def __init__(self, models_dir: Path, built_in: dict[str, Path]):
        self.models_dir = Path(models_dir)
        self.built_in = built_in

    def list(self) -> list[ShelfEntry]:
        """Every model, in a steady order; one that cannot be used has a problem instead of facts."""
        entries = []
        for base in self._bases():
            facts, problem = None, None
            try:
                facts = inspect_base_model(base.path)
            except BaseModelRefused as refused:
                problem = str(refused)
            entries.append(ShelfEntry(base.name, base.path, base.source, base.hub_id, base.revision, facts, problem))
        return entries

    def resolve(self, wanted: str | Path) -> ResolvedBase:
        """The model that a shelf name, a folder or a Hub id (`org/name`, `org/name@revision`) means.

        Does not look inside. Raises BaseModelUnknown, which says what to do instead, or FolderMissing.
        """
        wanted = str(wanted).strip()
        bases = list(self._bases())
        for base in bases:
            if base.name == wanted:
                return base
        folder = Path(wanted).expanduser()
        if wanted and folder.is_dir():
            return ResolvedBase(name=folder.resolve().name, path=folder.resolve(), source="folder")
        if wanted.startswith(("/", ".", "~")):
            raise FolderMissing(folder.absolute())
        if hub := split_hub_id(wanted):
            return self._downloaded(*hub)
        raise BaseModelUnknown(_unknown(wanted, [base.name for base in bases]))

    def add_folder(self, path: Path | str) -> ShelfEntry:
        """Put a folder on the shelf where it lies; raises a BaseModelRefused unless it can be used."""
        facts = inspect_base_model(path)
        folder = facts.path.resolve()
        folders = self._added_folders()
        if folder not in folders:
            write_json(self.models_dir / FOLDERS, {"folders": [str(known) for known in (*folders, folder)]})
        base = next(base for base in self._bases() if base.path.resolve() == folder)
        return ShelfEntry(base.name, base.path, base.source, base.hub_id, base.revision, facts, None)

    def _bases(self) -> Iterator[ResolvedBase]:
        """Each path and each name once."""
        names, paths = set(), set()
        for base in (*self._local(), *self._downloads()):
            if base.path.resolve() in paths:
                continue
            name = base.name if base.name not in names else str(base.path)
            names.add(name)
            paths.add(base.path.resolve())
            yield ResolvedBase(name, base.path, base.source, base.hub_id, base.revision)

    def _local(self) -> Iterator[ResolvedBase]:
        for name, path in self.built_in.items():
            yield ResolvedBase(name, path, "shelf")
        if self.models_dir.is_dir():
            for path in sorted(self.models_dir.iterdir()):
                if path.is_dir() and path.name != HUB and not path.name.startswith("."):
                    yield ResolvedBase(path.name, path, "shelf")
        for path in self._added_folders():
            yield ResolvedBase(path.name, path, "shelf")

    def _downloads(self) -> Iterator[ResolvedBase]:
        seen = set()
        for record, path in self._records():
            # The newest download of a model goes by its plain id.
            name = f"{record.hub_id}@{record.commit[:7]}" if record.hub_id in seen else record.hub_id
            seen.add(record.hub_id)
            yield ResolvedBase(name, path, "hub", record.hub_id, record.commit)

    def _downloaded(self, hub_id: str, revision: str | None) -> ResolvedBase:
        records = [(record, path) for record, path in self._records() if record.hub_id == hub_id]
        for record, path in records:
            pinned = revision and len(revision) >= 7 and record.commit.startswith(revision)
            if revision is None or pinned or revision == record.revision:
                return ResolvedBase(hub_id, path, "hub", hub_id, record.commit)
        wanted = f"{hub_id}@{revision}" if revision else hub_id
        here = (
            f" Already here: {', '.join(f'{hub_id}@{record.commit[:7]}' for record, _ in records)}." if records else ""
        )
        close = _close_names(wanted, [base.name for base in self._bases()])
        raise BaseModelUnknown(
            f"'{wanted}' is neither a folder nor a model on the shelf.{here}{close} If it is a Hub id, fetch it first: "
            f"press Get on the Train page, or run: python app.py models get {wanted}"
        )

    def _records(self) -> tuple[tuple[HubRecord, Path], ...]:
        """Finished downloads, newest first."""
        found = []
        for path in (self.models_dir / HUB).glob("*/*"):
            if path.is_dir() and (record := read_record(path)):
                found.append((record, path))
        return tuple(sorted(found, key=lambda item: (item[0].downloaded_at, item[0].commit), reverse=True))

    def _added_folders(self) -> tuple[Path, ...]:
        path = self.models_dir / FOLDERS
        return tuple(Path(folder) for folder in read_json(path)["folders"]) if path.is_file() else ()


def _unknown(wanted: str, names: list[str]) -> str:
    return (
        f"No base model is called '{wanted}'.{_close_names(wanted, names)} "
        f"On the shelf: {', '.join(names) or 'nothing yet'}. Give one of these, a folder, or a Hub id such as org/name."
    )


def _close_names(wanted: str, names: list[str]) -> str:
    """A suggestion where something on the shelf is spelt alike."""
    by_last_part = {os.path.basename(name).lower(): name for name in names}
    close = difflib.get_close_matches(wanted, names, n=1) or [
        by_last_part[part] for part in difflib.get_close_matches(os.path.basename(wanted).lower(), by_last_part, n=1)
    ]
    return f" Did you mean '{close[0]}'?" if close else ""
