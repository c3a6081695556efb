"""Brings one file from the Hub to the disk, byte by byte where it was cut.

huggingface_hub 2.4 throws a cut file away (it downloads into a file with a random name), so the bytes are fetched here,
with its own HTTP session, headers and errors.
"""

import hashlib
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.models.problems import DownloadDamaged

REPORT_SECONDS = 0.2
RETRIED = (408, 429, 500, 502, 503, 504)  # HTTP statuses that may pass


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


def fetch_file(
    file: HubFile,
    url: str,
    headers: dict[str, str],
    folder: Path,
    hub_id: str,
    progress: Progress,
    retry_waits: Sequence[float],
) -> str:
    """Fetch what is missing of the file, check it and return its SHA-256.

    Goes on after a cut or a fault of the server, waiting `retry_waits` seconds; new bytes start the waits afresh.
    Raises DownloadDamaged, and whatever httpx2 and huggingface_hub raise when the waits are used up.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    target, part = folder / file.name, file.part_in(folder)
    if target.is_file():
        return _checked_sha256(target, file, hub_id, progress)
    waits, size_before = list(retry_waits), file.bytes_in(folder)
    while True:
        try:
            _append_rest(file, url, headers, part, progress)
            break
        except (httpx2.TransportError, HfHubHTTPError) as problem:
            if isinstance(problem, HfHubHTTPError) and problem.response.status_code not in RETRIED:
                raise
            if file.bytes_in(folder) > size_before:
                waits, size_before = list(retry_waits), file.bytes_in(folder)
            if not waits:
                raise
            time.sleep(waits.pop(0))
    sha256 = _checked_sha256(part, file, hub_id, progress)
    os.replace(part, target)
    return sha256


def _append_rest(file: HubFile, url: str, headers: dict[str, str], part: Path, progress: Progress) -> None:
    from huggingface_hub.utils import get_session, hf_raise_for_status

    with part.open("ab") as out:
        have = out.tell()
        if have >= file.size:
            return
        headers = {**headers, "Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        # httpx2 drops the token when a redirect leads to another host, as those to the Hub's file servers do.
        with get_session().stream("GET", url, headers=headers, timeout=30, follow_redirects=True) as response:
            hf_raise_for_status(response)
            content_range = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            if have and not (response.status_code == 206 and content_range and int(content_range[1]) == have):
                out.truncate(0)
                progress.add(-have)
            for chunk in response.iter_bytes():
                out.write(chunk)
                progress.add(len(chunk))
                if out.tell() > file.size:
                    break  # the check of the size says so
        out.flush()
        os.fsync(out.fileno())


def _checked_sha256(path: Path, file: HubFile, hub_id: str, progress: Progress) -> str:
    size = path.stat().st_size
    sha256, git_sha1 = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as content:
        while block := content.read(1024**2):
            sha256.update(block)
            if file.git_sha1:
                git_sha1.update(block)
    found = sha256.hexdigest()
    if size != file.size:
        reason = f"it has {size:,} bytes instead of {file.size:,}"
    elif file.sha256 not in (None, found) or file.git_sha1 not in (None, git_sha1.hexdigest()):
        reason = "its hash is not the one that the Hub lists"
    else:
        return found
    path.unlink()
    progress.add(-min(size, file.size))
    raise DownloadDamaged(hub_id, file.name, reason)
