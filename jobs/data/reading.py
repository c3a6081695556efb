"""Rows of a data file, one at a time, each with the place where it stands; and which files of a folder are data."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import TypeVar

from jobs.data.problems import NoFiles, readable_name
from jobs.data.readers import columnar, conll, json_document, json_lines, tables, text
from jobs.data.readers.lines import Row
from jobs.data.sniffing import DATA_SUFFIXES, TEXT_SUFFIXES, SourceFile, inspect_file

NOT_FOR_TRAINING = {"test", "tests", "testing", "val", "valid", "validation", "dev", "eval", "evaluation", "heldout"}
NO_TEXTS = {"readme", "license", "licence", "changelog", "notice"}

READERS = {
    "jsonl": json_lines.read,
    "json": json_document.read,
    "table": tables.read,
    "parquet": columnar.read,
    "arrow": columnar.read,
    "conll": conll.read,
    "text": text.read,
}
AnyPath = TypeVar("AnyPath", bound=PurePath)


def read_rows(path: Path) -> Iterator[Row]:
    """Stream a file's rows, broken ones with their complaint. Raises DataInvalid where nothing can be read any more."""
    yield from rows_of(inspect_file(path))


def rows_of(source: SourceFile) -> Iterator[Row]:
    """Stream the rows of a file whose kind is known; see read_rows."""
    return READERS[source.kind](source)


def notes_on(source: SourceFile) -> list[str]:
    """Sentences about how a file is read, beyond what its inspection found."""
    if source.kind == "text":
        return [text.note(source)]
    if source.kind == "table":
        return tables.header_of(source)[1]
    return columnar.repeated_columns(source) if source.kind in ("parquet", "arrow") else []


def hash_of(files: Iterable[Path]) -> str:
    """SHA-256 over the bytes of the files, in order."""
    digest = hashlib.sha256()
    for path in files:
        with Path(path).open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def files_in(source: Path) -> tuple[list[Path], list[Path]]:
    """A file, or a folder's data files: those to train on, and those whose names say that they are for testing."""
    source = Path(source)
    if not source.is_dir():
        return [source], []
    files = sorted(path for path in source.iterdir() if path.is_file() and not path.name.startswith("."))
    for_training, for_testing, _ = sort_by_use(files)
    if not for_training:
        raise NoFiles(f"The folder {readable_name(source)}")
    return for_training, for_testing


def sort_by_use(paths: list[AnyPath]) -> tuple[list[AnyPath], list[AnyPath], list[AnyPath]]:
    """Files by their names: to train on, for testing (none where all are), and no data. Texts count where there is no table."""
    tables = [path for path in paths if data_suffix(path) in DATA_SUFFIXES or path.suffix.lower() == ".zip"]
    texts = [path for path in paths if data_suffix(path) in TEXT_SUFFIXES and path.name.split(".")[0].lower() not in NO_TEXTS]
    found = tables or texts
    for_training = [path for path in found if not _name_words(path) & NOT_FOR_TRAINING] or found
    chosen = set(for_training)
    data = set(found)
    return (for_training, [path for path in found if path not in chosen], [path for path in paths if path not in data])


def data_suffix(path: PurePath) -> str:
    """The suffix that says what a file holds: of train.csv.gz that is .csv."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    return suffixes[0] if len(suffixes) == 2 and suffixes[1] == ".gz" else "".join(suffixes[-1:])


def _name_words(path: PurePath) -> set[str]:
    return set("".join(letter if letter.isalpha() else " " for letter in path.name.lower()).split())
