"""The hash that says exactly which base model a run used."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

from jobs.models.model_files import BEHAVIOUR, weight_files


def base_model_hash(folder: Path, cache: Path) -> str:
    """SHA-256 over the names and the contents of the weights, config and tokenizer files.

    `cache` is a JSON file that keeps each file's hash with its size and modification time, so that unchanged weights
    are read only once. Raises WeightsMissing or PickleWeights.
    """
    folder = Path(folder).resolve()
    known = _read_cache(cache)
    total, changed = hashlib.sha256(), False
    for name in sorted({*weight_files(folder), *(name for name in BEHAVIOUR if (folder / name).is_file())}):
        path = folder / name
        stat = path.stat()
        entry = known.get(str(path), {})
        if (entry.get("size"), entry.get("mtime_ns")) != (stat.st_size, stat.st_mtime_ns):
            entry = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": file_sha256(path)}
            known[str(path)], changed = entry, True
        total.update(f"{name}\0{entry['sha256']}\n".encode())
    if changed:
        write_json(cache, {path: entry for path, entry in known.items() if os.path.exists(path)})
    return total.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: object) -> None:
    """Write a JSON file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        json.dump(content, file, indent=2)
    os.replace(file.name, path)


def _read_cache(cache: Path) -> dict[str, dict]:
    try:
        return json.loads(cache.read_text())
    except (FileNotFoundError, ValueError):
        return {}  # a damaged cache costs time, never a wrong hash
