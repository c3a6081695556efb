"""Folders on this machine from which the page may take data: those that an administrator allowed, and what lies below them."""

from dataclasses import dataclass
from pathlib import Path

from jobs.data import SUFFIXES
from jobs.services import Services
from jobs.uploads import keep_files
from storage.problems import NotFound, StudioError
from storage.records import Dataset
from storage.settings import StudioSettings

MOST_ENTRIES = 1000  # of one folder that are listed


class FolderNotAllowed(StudioError):
    """A path that lies in none of the allowed folders."""

    def __init__(self, path: Path, settings: StudioSettings):
        allowed = ", ".join(str(folder) for folder in settings.data_folders) or "no folder"
        super().__init__(f"'{path}' is not below a folder that the page may read ({allowed}). Upload the file, or ask the "
                         "administrator to add its folder to STUDIO_DATA_FOLDERS.")


@dataclass(frozen=True)
class FolderFile:
    """A data file in an allowed folder."""

    name: str
    bytes: int


@dataclass(frozen=True)
class FolderView:
    """What an allowed folder holds. `parent` is None for one that was allowed itself."""

    path: Path
    parent: Path | None
    folders: list[str]
    files: list[FolderFile]
    more: int = 0  # entries that are not listed


def allowed_folders(settings: StudioSettings) -> list[Path]:
    """The allowed folders that are there now, links in their paths resolved."""
    return [folder.resolve() for folder in settings.data_folders if folder.is_dir()]


def list_folder(settings: StudioSettings, path: Path) -> FolderView:
    """The data files and folders in an allowed folder; links that lead out of it are not among them.

    Raises FolderNotAllowed, or NotFound where there is no such folder.
    """
    folder = _allowed(settings, path)
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise NotFound(f"The folder '{folder}' cannot be read ({error.strerror}). Choose another one.") from error
    folders, files = [], []
    for entry in entries[:MOST_ENTRIES]:
        if not _is_allowed(settings, entry):
            continue
        if entry.is_dir():
            folders.append(entry.name)
        elif entry.is_file() and entry.name.lower().endswith(tuple(SUFFIXES)):
            files.append(FolderFile(entry.name, entry.stat().st_size))
    parent = None if folder in allowed_folders(settings) else folder.parent
    return FolderView(folder, parent, folders, files, max(0, len(entries) - MOST_ENTRIES))


def keep_from_folder(services: Services, path: Path, names: list[str]) -> Dataset:
    """Copy files of an allowed folder into the studio as one dataset. Raises FolderNotAllowed, or what keep_files does."""
    paths = [_allowed(services.settings, path / name) for name in names]
    origin = {"kind": "folder", "path": str(path.resolve())}
    return keep_files(services, paths, origin=origin)


def _allowed(settings: StudioSettings, path: Path) -> Path:
    """The path without links; where it is gone, its own words say so later."""
    if not _is_allowed(settings, path):
        raise FolderNotAllowed(path, settings)
    return path.resolve()


def _is_allowed(settings: StudioSettings, path: Path) -> bool:
    try:
        real = path.resolve()
    except (OSError, RuntimeError):  # links that lead to each other
        return False
    home = settings.home.resolve()  # its own files are no data, also where an allowed folder holds it
    return not real.is_relative_to(home) and any(real.is_relative_to(folder) for folder in allowed_folders(settings))
