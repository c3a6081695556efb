"""Large uploads in pieces: what has arrived stays on the disk, and goes on where it stopped, whatever was restarted meanwhile.

Each has a folder of its own in the studio's temporary folder. The janitor removes those to which nothing came for a day.
"""

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jobs.data import SUFFIXES
from jobs.models.hashing import write_json
from jobs.processes import take_lock
from jobs.services import Services
from jobs.units import size
from jobs.uploads import check_free_space, keep_files, safe_name
from storage.problems import DiskFull, NotFound, StudioError
from storage.records import Dataset

ID = re.compile(r"[A-Za-z0-9_-]{32}", re.ASCII)
ABOUT = "upload.json"


class UploadTooLarge(StudioError):
    """A file beyond the limit of one upload."""

    def __init__(self, name: str, length: int, limit: int):
        super().__init__(f"'{name}' has {size(length)}, and one upload may have {size(limit)} (STUDIO_UPLOAD_LIMIT). Compress it "
                         "(gzip), split it, or ask an administrator to allow its folder (STUDIO_DATA_FOLDERS).")


class UploadKindRefused(StudioError):
    """A file whose name says that it is no data."""

    def __init__(self, name: str):
        super().__init__(f"'{name}' is not a data file by its name. Files that can be read end in {', '.join(sorted(SUFFIXES))}.")


class UploadGone(NotFound):
    """An upload that was removed, or never was."""

    def __init__(self) -> None:
        super().__init__("There is no such upload any more. After a day without a byte uploads are removed; choose the file again.")


class UploadElsewhere(StudioError):
    """A piece that does not begin where the upload stands, or that is longer than the rest of it."""


class UploadBusy(StudioError):
    """Another connection is writing to the same upload."""

    def __init__(self, name: str):
        super().__init__(f"Another connection is still sending '{name}'. Try again in some seconds.")


class UploadUnfinished(StudioError):
    """An upload that is to be used before all of it has come."""

    def __init__(self, name: str, offset: int, length: int):
        super().__init__(f"Only {size(offset)} of '{name}' have come, of {size(length)}. Choose the file again to go on there.")


@dataclass(frozen=True)
class Upload:
    """One file on its way: `offset` of its `length` bytes have come."""

    folder: Path
    name: str
    length: int

    @property
    def id(self) -> str:
        return self.folder.name.removeprefix("upload-")

    @property
    def path(self) -> Path:
        return self.folder / "file" / self.name

    @property
    def offset(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError as error:
            raise UploadGone from error


class ResumableUploads:
    """The uploads under way."""

    def __init__(self, services: Services):
        self.services, self.settings = services, services.settings

    def create(self, name: str, length: int) -> Upload:
        """Begin one, under an id that nobody can guess. Raises UploadTooLarge, UploadKindRefused or DiskFull."""
        if length > self.settings.upload_limit:
            raise UploadTooLarge(name, length, self.settings.upload_limit)
        if not name.lower().endswith(tuple(SUFFIXES)):
            raise UploadKindRefused(name)
        check_free_space(self.services, length)
        upload = Upload(self.settings.temporary_dir / f"upload-{secrets.token_urlsafe(24)}", safe_name(name), length)
        upload.path.parent.mkdir(parents=True, mode=0o700)
        upload.path.touch()
        write_json(upload.folder / ABOUT, {"name": upload.name, "length": length})
        return upload

    def find(self, id: str) -> Upload:
        """The upload of that id; raises UploadGone."""
        folder = self.settings.temporary_dir / f"upload-{id}"
        if not ID.fullmatch(id) or not (folder / ABOUT).is_file():
            raise UploadGone
        about = json.loads((folder / ABOUT).read_text("utf-8"))
        return Upload(folder, about["name"], about["length"])

    def open(self, id: str, offset: int, expected: int = 0) -> "UploadWriter":
        """Write the next bytes of an upload, about `expected` of them; raises UploadElsewhere, UploadBusy or DiskFull."""
        upload = self.find(id)
        check_free_space(self.services, expected)
        return UploadWriter(upload, offset)

    def remove(self, id: str) -> None:
        """Throw away what has come; raises UploadGone."""
        shutil.rmtree(self.find(id).folder)

    def keep(self, ids: Iterable[str]) -> Dataset:
        """Make a dataset of whole uploads, as of any other files; raises UploadGone, UploadUnfinished or what keep_files does."""
        uploads = [self.find(id) for id in ids]
        if not uploads:
            raise UploadGone
        for upload in uploads:
            if (offset := upload.offset) < upload.length:
                raise UploadUnfinished(upload.name, offset, upload.length)
        dataset = keep_files(self.services, [upload.path for upload in uploads], own=True)
        for upload in uploads:
            shutil.rmtree(upload.folder, ignore_errors=True)
        return dataset


class UploadWriter:
    """Appends to one upload, which nobody else can do meanwhile. A context manager; at its end everything is on the disk."""

    def __init__(self, upload: Upload, offset: int):
        self.upload, self.offset = upload, offset
        self._stream = upload.path.open("r+b")
        try:
            if not take_lock(self._stream, seconds=0.5):
                raise UploadBusy(upload.name)
            if (reached := upload.offset) != offset:
                raise UploadElsewhere(f"'{upload.name}' goes on at byte {reached:,}, not at {offset:,}.")
        except BaseException:
            self._stream.close()
            raise
        self._stream.seek(offset)

    def __enter__(self) -> "UploadWriter":
        return self

    def __exit__(self, *_error) -> None:
        self.close()

    def write(self, content: bytes) -> None:
        """The next bytes; raises UploadElsewhere beyond the length that was announced, and DiskFull."""
        if self.offset + len(content) > self.upload.length:
            raise UploadElsewhere(f"'{self.upload.name}' is longer than the {self.upload.length:,} bytes that were announced.")
        with _told_when_full(self.upload.name):
            self._stream.write(content)
            self._stream.flush()
        self.offset += len(content)

    def close(self) -> None:
        with self._stream, _told_when_full(self.upload.name):
            os.fsync(self._stream.fileno())


@contextmanager
def _told_when_full(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"The disk became full while '{name}' was uploaded. Free some space; what has come is kept, and the "
                           "upload goes on from there.") from error
        raise
