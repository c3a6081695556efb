"""Brings one file from the Hub to the disk, byte by byte where it was cut.

huggingface_hub 2.4 throws a cut file away (it downloads into a file with a random name), so the bytes are fetched here,
with its own HTTP session, headers and errors.
"""

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from jobs.models.hub_patience import Patience, watched
from jobs.models.problems import DownloadDamaged

REPORT_SECONDS = 0.2


@dataclass(frozen=True)
class HubFile:
    """A file as the Hub lists it."""

    name: str
    size: int  # bytes
    sha256: str | None  # of large files
    git_sha1: str | None  # of small files: git's hash of the content

    def bytes_in(self, folder: Path) -> int:
        """How many of its bytes are in the folder already, finished or not."""
        for path in (folder / self.name, self.part_in(folder)):
            if path.is_file():
                return min(path.stat().st_size, self.size)
        return 0

    def part_in(self, folder: Path) -> Path:
        return folder / f"{self.name}.part"


class Progress:
    """Counts bytes and tells of them at most every REPORT_SECONDS."""

    def __init__(self, total: int, tell: Callable[[int, int], None], done: int = 0):
        self.total, self.done = total, done
        self._tell, self._told_at = tell, float("-inf")

    def add(self, count: int) -> None:
        self.done += count
        if time.monotonic() - self._told_at >= REPORT_SECONDS:
            self.report()

    def report(self) -> None:
        self._told_at = time.monotonic()
        self._tell(self.done, self.total)


@dataclass(frozen=True)
class Source:
    """Where a file comes from, and how to deal with a network that fails."""

    url: str
    headers: dict[str, str]
    patience: Patience
    look: Callable[[], None]  # called all the while; what it raises ends the transfer
    stall_seconds: float


def fetch_file(file: HubFile, source: Source, folder: Path, hub_id: str, progress: Progress) -> str:
    """Fetch what is missing of the file, check it and return its SHA-256.

    Goes on after a cut or a fault of the server as long as its patience lasts; new bytes renew it.
    Raises DownloadDamaged, and whatever httpx2 and huggingface_hub raise when the patience has ended.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    target, part = folder / file.name, file.part_in(folder)
    if target.is_file():
        return _checked_sha256(target, file, hub_id, progress, source.look)
    source.patience.refresh()
    size_before = file.bytes_in(folder)
    while True:
        try:
            _append_rest(file, source, part, progress)
            break
        except (httpx2.TransportError, HfHubHTTPError) as problem:
            if file.bytes_in(folder) > size_before:
                source.patience.refresh()
                size_before = file.bytes_in(folder)
            source.patience.wait_after(problem)
    sha256 = _checked_sha256(part, file, hub_id, progress, source.look)
    os.replace(part, target)
    return sha256


def _append_rest(file: HubFile, source: Source, part: Path, progress: Progress) -> None:
    with part.open("ab") as out:
        have = out.tell()
        if have >= file.size:
            return
        with closing(watched(lambda: _answer(source, have), source.look)) as answer:
            if next(answer) != have:
                out.truncate(0)
                progress.add(-have)
            for chunk in answer:
                out.write(chunk)
                progress.add(len(chunk))
                if out.tell() > file.size:
                    break  # the check of the size says so
        out.flush()
        os.fsync(out.fileno())


def _answer(source: Source, have: int) -> Iterator[int | bytes]:
    """Where the content that comes begins, then the content."""
    from huggingface_hub.utils import get_session, hf_raise_for_status

    headers = {**source.headers, "Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    # httpx2 drops the token when a redirect leads to another host, as those to the Hub's file servers do.
    with get_session().stream(
        "GET", source.url, headers=headers, timeout=source.stall_seconds, follow_redirects=True
    ) as response:
        hf_raise_for_status(response)
        content_range = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        yield have if response.status_code == 206 and content_range and int(content_range[1]) == have else 0
        yield from response.iter_bytes()


def content_hashes(path: Path, look: Callable[[], None] = lambda: None) -> tuple[str, str]:
    """The two hashes that the Hub names contents by: SHA-256, and git's own."""
    sha256, git_sha1 = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as content:
        while block := content.read(1024**2):
            look()
            sha256.update(block)
            git_sha1.update(block)
    return sha256.hexdigest(), git_sha1.hexdigest()


def _checked_sha256(path: Path, file: HubFile, hub_id: str, progress: Progress, look: Callable[[], None]) -> str:
    size, (found, git_sha1) = path.stat().st_size, content_hashes(path, look)
    if size != file.size:
        reason = f"it has {size:,} bytes instead of {file.size:,}"
    elif file.sha256 not in (None, found) or file.git_sha1 not in (None, git_sha1):
        reason = "its hash is not the one that the Hub lists"
    else:
        return found
    path.unlink()
    progress.add(-min(size, file.size))
    raise DownloadDamaged(hub_id, file.name, reason)
