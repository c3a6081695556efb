"""Uploaded data is kept under the hash of its content: nothing twice, nothing lost, nothing changed afterwards."""

import errno
import hashlib
import os
import re
import shutil
import time
import uuid
from pathlib import Path

from jobs.services import Services
from storage.problems import DiskFull, NotFound
from storage.records import Dataset


def keep_files(services: Services, paths: list[Path], name: str = "") -> Dataset:
    """Copy files into the studio's home and remember them; the same content again gives the dataset it already is.

    Raises NotFound for a missing file and DiskFull where there is no room.
    """
    for path in paths:
        if not path.is_file():
            raise NotFound(f"There is no file '{path}'. Check the path.")
    check_free_space(services, sum(path.stat().st_size for path in paths))
    kept = [_keep(services.settings.uploads_dir, path) for path in paths]
    together = hashlib.sha256("\n".join(f"{f['name']} {f['sha256']}" for f in kept).encode()).hexdigest()
    return services.datasets.add(Dataset(
        id=uuid.uuid4().hex[:12], name=name or ", ".join(f["name"] for f in kept), sha256=together,
        bytes=sum(f["bytes"] for f in kept), files=kept, created_at=time.time()))


def dataset_paths(services: Services, dataset: Dataset) -> list[Path]:
    """Where the files of a dataset lie; raises NotFound when somebody removed one."""
    paths = [services.settings.uploads_dir / file["path"] for file in dataset.files]
    for path in paths:
        if not path.is_file():
            raise NotFound(f"The file '{path.name}' of the dataset '{dataset.name}' is gone from {path.parent}. "
                           "Upload it again.")
    return paths


def check_free_space(services: Services, needed: int) -> None:
    """Raise DiskFull unless `needed` bytes fit and the settings' floor stays free."""
    free = shutil.disk_usage(services.settings.home).free
    floor = services.settings.free_space_floor
    if free < needed + floor:
        raise DiskFull(f"The disk of {services.settings.home} has {free / 1e9:.1f} GB free, and {(needed + floor) / 1e9:.1f} "
                       "GB are needed. Delete old runs or files, then try again.")


def _keep(uploads: Path, path: Path) -> dict:
    name = re.sub(r"[^\w.\- ]", "_", path.name)[-100:].lstrip(".") or "data"
    partial = uploads / f".{uuid.uuid4().hex}.part"
    digest = hashlib.sha256()
    try:
        with path.open("rb") as source, partial.open("wb") as target:
            while block := source.read(1 << 20):
                digest.update(block)
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
        sha256 = digest.hexdigest()
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
