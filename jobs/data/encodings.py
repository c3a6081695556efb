"""In which encoding a text file is: by its mark, by its zero bytes, by whether it is UTF-8, or guessed from its letters."""

import codecs
import unicodedata
from pathlib import Path

from jobs.data.code_pages import TITLES, guess_code_page
from jobs.data.problems import TextUnreadable, WrongFileKind, readable_name

CHUNK = 1 << 20
SURE = 64  # letters beyond ASCII, all in good UTF-8, after which nobody doubts it any more
MOSTLY = 3  # letters in good UTF-8 for each bad byte: UTF-8, even if both stand in one line
GUESS_BYTES = 1 << 16
BOMS = [  # the longer ones first: UTF-32's begins as UTF-16's does
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
]
UNIT_BYTES = {"utf-16-le": 2, "utf-16-be": 2, "utf-32-le": 4, "utf-32-be": 4}
_CONTROLS = bytes({*range(1, 32), 127} - {*b"\t\n\r\f\v\x1b"})


def find_encoding(path: Path, head: bytes) -> tuple[str, list[str]]:
    """The encoding of a text file that begins with `head`, and a note where it had to be guessed.

    A byte order mark is not part of the encoding's name. Single bytes that do not fit are left to the readers.
    Raises WrongFileKind for what is no text, and TextUnreadable where no encoding fits.
    """
    for mark, encoding in BOMS:
        if head.startswith(mark):
            return encoding, []
    if b"\0" in head and not _text_with_zeros(head):
        encoding = _unmarked_wide(path, head)
        return encoding, [f"{readable_name(path)} has no byte order mark and was read as {title(encoding)}, as its bytes look."]
    if len(head.translate(None, _CONTROLS)) < 0.98 * len(head):
        raise WrongFileKind(readable_name(path), "a binary file")
    if (sample := _sample_of_no_utf8(path)) is None:
        return "utf-8", []
    encoding = guess_code_page(sample)
    if encoding is None:
        raise _unreadable(path)
    return encoding, [f"{readable_name(path)} is not UTF-8 and was read as {title(encoding)}, in which its letters are most usual. "
                      "If they look wrong, save it as UTF-8 and upload it again."]


def title(encoding: str) -> str:
    """The encoding's name as people know it."""
    return TITLES.get(encoding) or encoding.upper().replace("-LE", "").replace("-BE", "")


def _text_with_zeros(head: bytes) -> bool:
    """Whether it is text but for a few zero bytes, which the rows they stand in keep."""
    rest = head.replace(b"\0", b"")
    if len(rest) < 0.95 * len(head) or len(rest.translate(None, _CONTROLS)) < 0.98 * len(rest):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(rest)
    except UnicodeDecodeError:
        return False
    return True


def _unmarked_wide(path: Path, head: bytes) -> str:
    size = path.stat().st_size
    for encoding, unit in (("utf-32-le", 4), ("utf-32-be", 4), ("utf-16-le", 2), ("utf-16-be", 2)):
        if size % unit == 0 and _reads_as_wide(head[: len(head) // unit * unit], encoding):
            return encoding
    raise WrongFileKind(readable_name(path), "a binary file")


def _reads_as_wide(data: bytes, encoding: str) -> bool:
    text = codecs.getincrementaldecoder(encoding)("replace").decode(data)[:20_000]
    plain = sum("\x20" <= letter <= "\x7e" or letter in "\t\n\r" for letter in text)
    odd = sum(unicodedata.category(letter) in ("Cc", "Cn", "Co", "Cs") and letter not in "\t\n\r" or letter == "\ufffd"
              for letter in text)
    pairs = sum(ord(letter) >= 0x2020 and 0x20 <= ord(letter) >> 8 <= 0x7E and 0x20 <= ord(letter) & 255 <= 0x7E
                for letter in text)  # two letters of ASCII taken for one
    others = len(text) - plain
    return bool(text) and plain >= len(text) / 200 and odd <= len(text) / 50 and pairs <= max(1, others / 2)


def _sample_of_no_utf8(path: Path) -> bytes | None:
    """None for a file that is UTF-8, but for single bytes perhaps; else some of what is not."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    good = bad = good_lines = bad_lines = after = 0
    sample = b""
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            if chunk.isascii() and not decoder.getstate()[0]:
                continue
            text = decoder.decode(chunk)
            if _has_marks(text):
                lines = [line for line in text.split("\n") if not line.isascii()]
                marked = sum(map(_has_marks, lines))
                bad_lines += marked
                good_lines += len(lines) - marked
                marks = sum("\udc80" <= letter <= "\udcff" for line in lines for letter in line)
                bad += marks
                good += sum(map(_beyond_ascii, lines)) - marks
                if len(sample) < GUESS_BYTES:
                    sample += _lines_beyond_ascii(chunk)[:GUESS_BYTES]
            else:
                good += _beyond_ascii(text)
                good_lines += text.count("\n") + 1 if good else 0
            after += bool(bad)
            if after > 3 or (good >= SURE and not bad):
                break
    is_utf8 = not bad or (good_lines and 2 * good_lines >= bad_lines) or good >= MOSTLY * bad
    return None if is_utf8 else sample


def _has_marks(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _beyond_ascii(text: str) -> int:
    return 0 if text.isascii() else sum(letter > "\x7f" for letter in text)


def _lines_beyond_ascii(chunk: bytes) -> bytes:
    """Only lines that say something about the encoding; whole lines, so that no letter of several bytes is cut."""
    lines = chunk.splitlines(keepends=True)
    if len(lines) > 2:
        lines = lines[1:-1] if not lines[0] or lines[0].isascii() else lines[:-1]
    return b"".join(line for line in lines if not line.isascii()) or chunk


def _unreadable(path: Path) -> TextUnreadable:
    number = 1
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):  # noqa: B007
            if not line.isascii():
                break
    byte = next((byte for byte in line if byte > 127), 0)
    return TextUnreadable(readable_name(path), number, byte, "UTF-8 or any Windows code page")
