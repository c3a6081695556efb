"""Data intake: files become checked, normalised examples. Needs no torch, and pyarrow only for Parquet."""

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
from jobs.data.loading import LeftOut, LoadedData, load_dataset, load_validation, sort_labels, summary
from jobs.data.reading import Row, files_in, hash_of, read_rows
from jobs.data.sniffing import SUFFIXES, SourceFile, inspect_file
from jobs.data.splits import split, validation_count

__all__ = [
    "CLASSIFICATION",
    "FORMATS",
    "GENERATION",
    "SUFFIXES",
    "Format",
    "LeftOut",
    "LoadedData",
    "Part",
    "Recognition",
    "Row",
    "SourceFile",
    "files_in",
    "find_format",
    "formats_for",
    "hash_of",
    "inspect_file",
    "load_dataset",
    "load_validation",
    "read_rows",
    "recognise",
    "sort_labels",
    "split",
    "summary",
    "validation_count",
]
