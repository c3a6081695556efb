"""Uploaded data is kept under the hash of its content: nothing twice, nothing lost, nothing changed afterwards."""

import errno
import hashlib
import os
import re
import shutil
import time
import uuid
from dataclasses import replace
from pathlib import Path

from jobs.data.archives import Unpacked, unpacked
from jobs.data.looking import find_files
from jobs.models.hashing import file_sha256
from jobs.services import Services
from storage.problems import ArtefactCorrupt, DiskFull, NotFound
from storage.records import Dataset


def keep_files(services: Services, paths: list[Path], name: str = "", origin: dict | None = None, own: bool = False,
               parent: Dataset | None = None, notes: dict | None = None) -> Dataset:
    """Copy files, or folders of them, into the studio's home and remember them; the same content again gives the same dataset.

    Archives are unpacked: the dataset's files are those inside. Its origin's `notes` say which files were not taken.
    `origin` says where they come from (see Dataset). Files that are the studio's `own`, and never change any more, need no copy.
    With a `parent` it is the next version of that dataset, also where another dataset has the same content; `notes` say how it is
    read. Raises NotFound for a missing file and DiskFull where there is no room.
    """
    files, not_taken = find_files(paths)
    for path in files:
        if not path.is_file():
            raise NotFound(f"There is no file '{path}'. Check the path.")
    uploads = services.settings.uploads_dir
    try:
        with unpacked(files, uploads, lambda needed: check_free_space(services, needed)) as found:
            name = name or ", ".join(safe_name(path.name) for path in files)
            return _keep_all(services, replace(found, notes=[*not_taken, *found.notes]), name, origin, own, parent, notes or {})
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFull("The disk became full while an archive was unpacked. Free some space and upload it again.") from error
        raise


def _keep_all(services: Services, found: Unpacked, name: str, origin: dict | None, own: bool, parent: Dataset | None,
              notes: dict) -> Dataset:
    uploads = services.settings.uploads_dir
    owned = found.made.union(found.files if own else [])
    check_free_space(services, sum(path.stat().st_size for path in found.files if path not in owned))
    kept = [_keep(uploads, path, path in owned) for path in found.files]
    contents = [*(f"{f['name']} {f['sha256']}" for f in kept), *found.notes, *([f"of {parent.family}"] if parent else [])]
    together = hashlib.sha256("\n".join(contents).encode()).hexdigest()
    origin = {**(origin or {"kind": "upload"}), **({"notes": found.notes} if found.notes else {})}
    dataset = services.datasets.add(Dataset(
        id=uuid.uuid4().hex[:12], name=name, sha256=together, bytes=sum(f["bytes"] for f in kept), files=kept,
        created_at=time.time(), origin=origin,
        **({"family": parent.family, "parent_id": parent.id} if parent else {}), **notes))
    for path, file in zip(found.files, kept, strict=True):
        if not (uploads / file["path"]).is_file():
            _keep(uploads, path, path in owned)  # deleted data with the same content was being removed just now
    return dataset


def find_dataset(services: Services, dataset_id: str) -> Dataset | None:
    """The dataset of that id, or None where none has it; raises NotFound for a deleted one, which can be restored."""
    dataset = services.trash.find("dataset", dataset_id)
    if dataset and dataset.deleted_at is not None:
        raise NotFound(f"The data '{dataset.name}' was deleted. Restore it on the Library page, or upload it again.")
    return dataset


def dataset_paths(services: Services, dataset: Dataset) -> list[Path]:
    """Where the files of a dataset lie; raises NotFound when somebody removed one."""
    paths = [services.settings.uploads_dir / file["path"] for file in dataset.files]
    for path in paths:
        if not path.is_file():
            raise NotFound(f"The file '{path.name}' of the dataset '{dataset.name}' is gone from {path.parent}. "
                           "Upload it again.")
    return paths


def checked_paths(services: Services, dataset: Dataset) -> list[Path]:
    """The same, once every file is what was uploaded; raises ArtefactCorrupt for one that was damaged or changed."""
    paths = dataset_paths(services, dataset)
    for path, file in zip(paths, dataset.files, strict=True):
        if file_sha256(path) != file["sha256"]:
            raise ArtefactCorrupt(f"The file '{path.name}' of the dataset '{dataset.name}' is not what was uploaded: it was "
                                  f"damaged or changed in {path.parent}. Upload it again.")
    return paths


def check_free_space(services: Services, needed: int) -> None:
    """Raise DiskFull unless `needed` bytes fit and the settings' floor stays free."""
    settings = services.settings  # runs and adapters may lie on other disks than the home
    places = (settings.home, settings.runs_dir, settings.adapters_dir)
    free, folder = min((shutil.disk_usage(place).free, place) for place in places)
    floor = settings.free_space_floor
    if free < needed + floor:
        raise DiskFull(f"The disk of {folder} has {free / 1e9:.1f} GB free, and {(needed + floor) / 1e9:.1f} "
                       "GB are needed. Delete runs or data for good on the Library page, or other files, then try again.")


def safe_name(name: str) -> str:
    """A file's name as the studio keeps it: without what means something to a file system, and not too long."""
    return re.sub(r"[^\w.\- ]", "_", name)[-100:].lstrip(".") or "data"


def _keep(uploads: Path, path: Path, own: bool = False) -> dict:
    name = safe_name(path.name)
    partial = uploads / f".{uuid.uuid4().hex}.part"
    try:
        sha256 = _second_name(path, partial) if own else _copy(path, partial)
        folder = uploads / sha256[:16]
        folder.mkdir(exist_ok=True)
        partial.replace(folder / name)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFull(f"The disk became full while '{path.name}' was copied. Free some space and upload it "
                           "again.") from error
        raise
    finally:
        partial.unlink(missing_ok=True)
    return {"name": name, "path": f"{folder.name}/{name}", "bytes": (folder / name).stat().st_size, "sha256": sha256}


def _copy(path: Path, target: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as source, target.open("wb") as copy:
        while block := source.read(1 << 20):
            digest.update(block)
            copy.write(block)
        copy.flush()
        os.fsync(copy.fileno())
    return digest.hexdigest()


def _second_name(path: Path, target: Path) -> str:
    try:
        os.link(path, target)
    except OSError:  # another disk, or one that cannot
        return _copy(path, target)
    return file_sha256(path)
