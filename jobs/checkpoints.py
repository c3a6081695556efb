"""Checkpoints that can be trusted: a folder counts only when its manifest says that every file arrived whole."""

import hashlib
import json
import os
import shutil
from pathlib import Path

from storage.faults import fault_point

MANIFEST = "studio-manifest.json"
NOTES = "studio-notes.json"


def seal(folder: Path, notes: dict) -> None:
    """Write `notes` and then the manifest of a finished checkpoint folder, by rename, with everything on the disk."""
    fault_point("checkpoint.files")
    (folder / NOTES).write_text(json.dumps(notes))
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files:
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    fault_point("checkpoint.synced")
    manifest = [{"name": str(path.relative_to(folder)), "bytes": path.stat().st_size, "sha256": _sha256(path)}
                for path in files]
    partial = folder / f"{MANIFEST}.part"
    with partial.open("w") as stream:
        json.dump(manifest, stream)
        stream.flush()
        os.fsync(stream.fileno())
    fault_point("checkpoint.manifest")
    partial.replace(folder / MANIFEST)
    fault_point("checkpoint.sealed")
    for changed in (folder, folder.parent, folder.parent.parent):  # each holds the name of the one before
        descriptor = os.open(changed, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def is_whole(folder: Path) -> bool:
    """Whether every file of a checkpoint is what its manifest says."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        return NOTES in [entry["name"] for entry in manifest] and all(
            (folder / entry["name"]).stat().st_size == entry["bytes"]
            and _sha256(folder / entry["name"]) == entry["sha256"] for entry in manifest)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def newest(checkpoints_dir: Path) -> Path | None:
    """The whole checkpoint with the most steps, of any attempt."""
    return next(filter(is_whole, _newest_first(checkpoints_dir)), None)


def of_step(checkpoints_dir: Path, step: int | None) -> Path | None:
    """The whole checkpoint of that step, of the latest attempt that has one."""
    return next((folder for folder in _newest_first(checkpoints_dir) if step_of(folder) == step and is_whole(folder)), None)


def for_adapter(checkpoint: Path) -> Path:
    """Whose weights the adapter takes when a run ends at `checkpoint`: the best one's, where a later one was not better."""
    return of_step(checkpoint.parent.parent, notes_of(checkpoint).get("adapter_step")) or checkpoint


def rotate(sealed: Path, keep: int, best_step: int | None) -> None:
    """After `sealed` was written: keep it, the newest others up to `keep` in all, and the best beside them; remove the rest.

    What claims to be newer than `sealed` is damaged, or training would have gone on from there. A later attempt's folders are
    never touched: this one may be late, and have lost the run without knowing.
    """
    checkpoints_dir = sealed.parent.parent
    folders = [folder for folder in _newest_first(checkpoints_dir) if _attempt_of(folder) <= _attempt_of(sealed)]
    trusted = [folder for folder in folders[folders.index(sealed):] if (folder / MANIFEST).exists()]
    kept = trusted[:keep] + [folder for folder in trusted if step_of(folder) == best_step][:1]
    _remove([folder for folder in folders if folder not in kept])


def keep_last(checkpoints_dir: Path, with_best: bool = False) -> None:
    """Of an ended run: only its last state stays, to go on from; with the best one where the run may still be gone on with."""
    last = newest(checkpoints_dir)
    kept = [last, for_adapter(last)] if last and with_best else [last]
    _remove([folder for folder in _newest_first(checkpoints_dir) if folder not in kept])


def remove_unfinished(attempt_dir: Path) -> None:
    """Remove what an attempt was writing when it was cut off."""
    _remove([folder for folder in attempt_dir.glob("checkpoint-*") if not (folder / MANIFEST).exists()])


def step_of(folder: Path) -> int:
    return int(folder.name.split("-")[1])


def notes_of(folder: Path) -> dict:
    """What the studio wrote beside the trainer's own state."""
    return json.loads((folder / NOTES).read_text())


def _newest_first(checkpoints_dir: Path) -> list[Path]:
    found = [folder for folder in checkpoints_dir.glob("attempt-*/checkpoint-*")
             if folder.name.split("-")[1].isdigit() and folder.parent.name.split("-")[1].isdigit()]
    return sorted(found, key=lambda folder: (step_of(folder), _attempt_of(folder)), reverse=True)


def _attempt_of(folder: Path) -> int:
    return int(folder.parent.name.split("-")[1])


def _remove(folders: list[Path]) -> None:
    """Remove checkpoints, the manifest first: what is left of a removal that breaks off is not a checkpoint any more."""
    for folder in folders:
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
