"""Zip and gzip: their data files are taken out, one block at a time, and only as much as an honest archive holds."""

import errno
import gzip
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from jobs.data.findings import listed
from jobs.data.marks import ZIP_MARKS
from jobs.data.problems import ArchiveInvalid, NoFiles, readable_name
from jobs.data.reading import sort_by_use

MOST_FILES = 10_000
MOST_BYTES = 5_000_000_000
MOST_TIMES = 100  # as large as the archive
FREE_BYTES = 16_000_000  # that an archive may hold however small it is
BLOCK = 1 << 20
LONGEST_NAME = 150  # bytes
GZIP_MARK = b"\x1f\x8b"
SHEETS = ("xl/workbook.xml", "word/document.xml", "ppt/presentation.xml")  # in what Office writes, which is zip too
NESTED = {".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".rar", ".zst"}
COMPRESSIONS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}
DAMAGES = (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OverflowError)


@dataclass(frozen=True)
class Unpacked:
    """Files in the place of archives, those that were `made` for it, and sentences about what was not taken."""

    files: list[Path]
    made: set[Path]
    notes: list[str]


@contextmanager
def unpacked(paths: Sequence[Path], within: Path | None = None, check_space: Callable[[int], None] = lambda bytes: None,
             ) -> Iterator[Unpacked]:
    """The files, with those of zip and gzip archives in their place, which are there until the end.

    `within` is the folder that they are put in. `check_space` is told how many bytes an archive says that it holds, and may raise.
    Raises ArchiveInvalid for an archive that is damaged or unsafe, and NoFiles for one without data.
    """
    kinds = {path: kind for path in paths if (kind := archive_kind(path))}
    if not kinds:
        yield Unpacked(list(paths), set(), [])
        return
    folder = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=within))
    try:
        files: list[Path] = []
        notes: list[str] = []
        for number, path in enumerate(paths):
            if path not in kinds:
                files.append(path)
                continue
            target = folder / str(number)  # two archives may have files of one name
            target.mkdir()
            taken, found = (_take_zip if kinds[path] == "zip" else _take_gzip)(path, target, check_space)
            files += taken
            notes += found
        yield Unpacked(files, {file for file in files if folder in file.parents}, notes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def archive_kind(path: Path) -> str:
    """zip or gzip by content; an empty text for anything else, also for what Office writes."""
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        head = stream.read(4)
    if head[:2] == GZIP_MARK:
        return "gzip"
    return "zip" if head in ZIP_MARKS and not _is_document(path) else ""


def _is_document(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name in archive.NameToInfo for name in SHEETS)
    except (*DAMAGES, OSError, NotImplementedError):
        return path.suffix.lower() in (".xlsx", ".xlsm", ".docx", ".pptx")


class _Allowance:
    """How many bytes may still come out of an archive."""

    def __init__(self, path: Path):
        self.path, self.size, self.taken = path, path.stat().st_size, 0
        self.most = min(MOST_BYTES, max(FREE_BYTES, MOST_TIMES * self.size))

    def take(self, count: int) -> None:
        self.taken += count
        if self.taken > self.most:
            limit = (f"{MOST_BYTES / 1e9:.0f} GB" if self.most == MOST_BYTES
                     else f"{MOST_TIMES} times its own size, as no honest data does")
            raise ArchiveInvalid(f"{readable_name(self.path)} holds more than {limit}. Unpack it and upload the files inside.")


def _take_gzip(path: Path, folder: Path, check_space: Callable[[int], None]) -> tuple[list[Path], list[str]]:
    allowance = _Allowance(path)
    check_space(allowance.size)
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    name = f"{name[:-4]}.tar" if name.lower().endswith(".tgz") else name
    target = folder / (name or "data")
    with _explained(path), gzip.open(path) as stream:
        _copy(stream, target, allowance)
    return [target], []


def _take_zip(path: Path, folder: Path, check_space: Callable[[int], None]) -> tuple[list[Path], list[str]]:
    shown = readable_name(path)
    with _explained(path), zipfile.ZipFile(path) as archive:
        members = _safe_members(archive, shown)
        chosen, for_testing, others = sort_by_use(list(members))
        if not chosen:
            raise NoFiles(f"The archive {shown}")
        allowance = _Allowance(path)
        declared = sum(members[name].file_size for name in chosen)
        allowance.take(declared)
        allowance.taken = 0
        check_space(declared)
        files = []
        for name, target in zip(chosen, _clear_names(chosen), strict=True):
            with archive.open(members[name]) as stream:
                _copy(stream, folder / target, allowance)
            files.append(folder / target)
    notes = []
    if for_testing:
        notes.append(f"{listed(map(_shown, for_testing))} in the archive {shown} {_is(for_testing)} not trained on.")
    if others:
        notes.append(f"{listed(map(_shown, others))} in the archive {shown} {_is(others)} not read as data.")
    return files, notes


def _safe_members(archive: zipfile.ZipFile, shown: str) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """The files of an archive by name, without folders and what systems hide. Raises ArchiveInvalid for a single unsafe one."""
    if len(archive.infolist()) > MOST_FILES:
        raise ArchiveInvalid(f"{shown} holds {len(archive.infolist()):,} files, and {MOST_FILES:,} are taken at most. "
                             "Put the rows into fewer files.")
    members: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = PurePosixPath(member.filename.replace("\\", "/"))
        entry = f"{shown} has an entry '{_shown(name)}'"
        kind = stat.S_IFMT(member.external_attr >> 16)
        if name.is_absolute() or ".." in name.parts or re.match(r"[A-Za-z]:", member.filename):
            raise ArchiveInvalid(f"{entry} that points out of the archive. Nothing was unpacked; make the archive anew.")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ArchiveInvalid(f"{entry} that is a link or a device, not a file. Put the file itself into the archive.")
        if member.is_dir() or any(part.startswith(".") or part == "__MACOSX" for part in name.parts):
            continue
        if member.flag_bits & 1:
            raise ArchiveInvalid(f"{entry} that is encrypted. Unpack it with its password and upload the files.")
        if name.suffix.lower() in NESTED:
            raise ArchiveInvalid(f"{entry} that is an archive itself. Unpack that first, and upload the files inside.")
        if member.compress_type not in COMPRESSIONS:
            raise ArchiveInvalid(f"{entry} that is compressed in an unusual way. Make the archive anew with usual settings.")
        if name in members:
            raise ArchiveInvalid(f"{entry} twice. Give the files different names.")
        members[name] = member
    return members


def _clear_names(paths: list[PurePosixPath]) -> list[str]:
    """A name without folders for each, with the folders where two would be the same."""
    counts = Counter(path.name for path in paths)
    names: dict[str, None] = {}
    for path in paths:
        whole = path.name if counts[path.name] == 1 else "_".join(path.parts)
        name = unique = whole.encode(errors="replace")[-LONGEST_NAME:].decode(errors="ignore")
        while unique in names:
            unique = f"{len(names)} {name}"
        names[unique] = None
    return list(names)


def _copy(stream, target: Path, allowance: _Allowance) -> None:
    with target.open("wb") as out:
        while block := stream.read(BLOCK):
            allowance.take(len(block))
            out.write(block)


def _shown(path: PurePosixPath) -> str:
    return str(path).encode(errors="replace").decode()[-100:]


def _is(paths: list) -> str:
    return "is" if len(paths) == 1 else "are"


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn the library's errors into a sentence with the archive's name."""
    try:
        yield
    except (*DAMAGES, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # a full disk is no damaged archive
            raise
        what = "breaks off in the middle" if isinstance(error, EOFError) else f"is damaged ({error})"
        raise ArchiveInvalid(
            f"{readable_name(path)} is an archive that {what}. Make or download it again, then upload it.") from error
