"""Data intake: files become checked, normalised examples. Needs no torch, pyarrow only for Parquet and Arrow."""

from jobs.data.formats import (
    CLASSIFICATION,
    FORMATS,
    GENERATION,
    Format,
    Part,
    Recognition,
    find_format,
    formats_for,
    recognise,
)
from jobs.data.loading import (
    LeftOut,
    LoadedData,
    import_rows,
    import_validation,
    load_dataset,
    load_validation,
    open_imported,
    sort_labels,
    summary,
)
from jobs.data.looking import Look, look
from jobs.data.reading import Row, files_in, hash_of, read_rows
from jobs.data.sniffing import SUFFIXES, SourceFile, inspect_file
from jobs.data.splits import split, split_data, validation_count
from jobs.data.store import Examples

__all__ = [
    "CLASSIFICATION",
    "FORMATS",
    "GENERATION",
    "SUFFIXES",
    "Examples",
    "Format",
    "LeftOut",
    "LoadedData",
    "Look",
    "Part",
    "Recognition",
    "Row",
    "SourceFile",
    "files_in",
    "find_format",
    "formats_for",
    "hash_of",
    "import_rows",
    "import_validation",
    "inspect_file",
    "load_dataset",
    "load_validation",
    "look",
    "open_imported",
    "read_rows",
    "recognise",
    "sort_labels",
    "split",
    "split_data",
    "summary",
    "validation_count",
]
