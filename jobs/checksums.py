"""Whether files are still what was written about them."""

from collections.abc import Iterable
from pathlib import Path

from jobs.models.hashing import file_sha256
from storage.problems import ArtefactCorrupt
from storage.records import Adapter

SUMS = "SHA256SUMS"


def first_damaged(folder: Path, files: Iterable[dict]) -> str:
    """The name of the first file that is missing or not what its `sha256` says; empty where all are whole."""
    for file in files:
        path = folder / file["name"]
        if not path.is_file() or file_sha256(path) != file["sha256"]:
            return file["name"]
    return ""


def written_sums(folder: Path) -> list[dict]:
    """What a folder's own SHA256SUMS says of its files; nothing where it has none."""
    path = folder / SUMS
    if not path.is_file():
        return []
    lines = [line.partition("  ") for line in path.read_text("utf-8", errors="replace").splitlines()]
    return [{"sha256": digest, "name": name} for digest, _, name in lines
            if name and not name.startswith("/") and ".." not in name.split("/")]


def check_adapter(adapters_dir: Path, adapter: Adapter) -> Path:
    """The folder of an adapter from the library, once every file in it is what its record says; raises ArtefactCorrupt."""
    folder = adapters_dir / adapter.folder
    if damaged := first_damaged(folder, adapter.files):
        raise ArtefactCorrupt(f"The file '{damaged}' of the adapter '{adapter.name}' is damaged or gone: it is not what was "
                              "written when the adapter was made. Put it back from a copy of the zip, or run it again.")
    return folder
