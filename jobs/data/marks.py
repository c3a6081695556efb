"""Files that are no data: known by the bytes with which they begin."""

from pathlib import Path

from jobs.data.problems import WrongFileKind, readable_name

UNPACK = "Unpack it and upload the table inside."

# the beginning of a file, what it is, and whether it must also hold a zero byte (short marks may begin honest text)
MARKS = [
    (b"\x89PNG\r\n\x1a\n", "a PNG image", False),
    (b"\xff\xd8\xff", "a JPEG image", False),
    (b"GIF87a", "a GIF image", False),
    (b"GIF89a", "a GIF image", False),
    (b"BM", "a BMP image", True),
    (b"II*\x00", "a TIFF image", False),
    (b"MM\x00*", "a TIFF image", False),
    (b"%PDF-", "a PDF document", False),
    (b"{\\rtf", "an RTF document", False),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document", False),
    (b"\x1f\x8b", "a gzip archive", False),
    (b"BZh", "a bzip2 archive", True),
    (b"\xfd7zXZ\x00", "an xz archive", False),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", False),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", False),
    (b"Rar!\x1a\x07", "a RAR archive", False),
    (b"\x7fELF", "a program", False),
    (b"MZ", "a program", True),
    (b"SQLite format 3\x00", "an SQLite database", False),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", False),
    (b"\x93NUMPY", "a NumPy array", False),
    (b"FEA1", "a Feather file of the first version", True),
    (b"PARE", "an encrypted Parquet file", True),
    (b"ORC", "an ORC file", True),
    (b"Obj\x01", "an Avro file", False),
    (b"ID3", "an MP3 recording", True),
    (b"OggS", "an Ogg recording", True),
    (b"fLaC", "a FLAC recording", True),
]
ZIP_MARKS = (b"PK\x03\x04", b"PK\x05\x06")


def refuse_other_kinds(path: Path, head: bytes) -> None:
    """Raise WrongFileKind where a file begins as no table or text does."""
    has_zero = b"\0" in head
    for mark, kind, needs_zero in MARKS:
        if head.startswith(mark) and (has_zero or not needs_zero):
            raise WrongFileKind(readable_name(path), kind, *([UNPACK] if kind.endswith("archive") else []))
    if head.startswith(ZIP_MARKS):
        if b"xl/" in head or path.suffix.lower() in (".xlsx", ".xlsm"):
            raise WrongFileKind(readable_name(path), "an Excel workbook", "Save the sheet as CSV and upload that.")
        raise WrongFileKind(readable_name(path), "a zip archive", UNPACK)
    if head.startswith(b"RIFF") and has_zero:
        kinds = {b"WEBP": "a WebP image", b"WAVE": "a WAV recording"}
        raise WrongFileKind(readable_name(path), kinds.get(head[8:12], "a media file"))
    if head[4:8] == b"ftyp" and has_zero:
        raise WrongFileKind(readable_name(path), "a video or an image")
    if head[257:262] == b"ustar":
        raise WrongFileKind(readable_name(path), "a tar archive", UNPACK)


def refuse_markup(path: Path, text: str) -> None:
    """Raise WrongFileKind for a web page or an XML file."""
    start = text.lstrip("\ufeff \t\r\n")[:200].lower()
    if start.startswith(("<!doctype html", "<html")):
        raise WrongFileKind(readable_name(path), "a web page", "Download the data itself, not the page that shows it.")
    if start.startswith("<?xml"):
        raise WrongFileKind(readable_name(path), "an XML file")
