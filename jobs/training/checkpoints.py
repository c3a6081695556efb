"""Checkpoints that can be trusted: a folder counts only when its manifest says that every file arrived whole."""

import hashlib
import json
import os
import shutil
from pathlib import Path

MANIFEST = "studio-manifest.json"
NOTES = "studio-notes.json"


def seal(folder: Path, notes: dict) -> None:
    """Write `notes` and then the manifest of a finished checkpoint folder, by rename, with everything on the disk."""
    (folder / NOTES).write_text(json.dumps(notes))
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files:
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    manifest = [{"name": str(path.relative_to(folder)), "bytes": path.stat().st_size, "sha256": _sha256(path)}
                for path in files]
    partial = folder / f"{MANIFEST}.part"
    with partial.open("w") as stream:
        json.dump(manifest, stream)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(folder / MANIFEST)
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def is_whole(folder: Path) -> bool:
    """Whether every file of a checkpoint is what its manifest says."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        return all((folder / entry["name"]).stat().st_size == entry["bytes"]
                   and _sha256(folder / entry["name"]) == entry["sha256"] for entry in manifest)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def newest(checkpoints_dir: Path) -> Path | None:
    """The whole checkpoint with the most steps, of any attempt."""
    found = [path for path in checkpoints_dir.glob("attempt-*/checkpoint-*") if path.name.split("-")[1].isdigit()]
    for folder in sorted(found, key=lambda path: (step_of(path), path.parent.name), reverse=True):
        if is_whole(folder):
            return folder
    return None


def step_of(folder: Path) -> int:
    return int(folder.name.split("-")[1])


def notes_of(folder: Path) -> dict:
    """What the studio wrote beside the trainer's own state."""
    return json.loads((folder / NOTES).read_text())


def remove_all(checkpoints_dir: Path) -> None:
    shutil.rmtree(checkpoints_dir, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
