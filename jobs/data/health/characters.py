"""Characters that nobody sees, or that were damaged on their way: control characters, zero-width ones, wrong decodings."""

import re

# Joiners are right between letters of many scripts and in emoji, and tags in flags; elsewhere they are invisible all the same.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u200b\u2060-\u2064\ufeff\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ufffe\uffff]"
    "|(?<=[ -~])[\u200c\u200d](?=[ -~])"
    "|(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0000-\U000e007f]+")
_LOST = "\ufffd"
# A letter of two or three bytes in UTF-8 that was read as Windows-1252 (or Latin-1), such as "Ã©" for "é".
_AS_1252 = "\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_MISREAD = re.compile(f"[\xc2-\xdf][{_AS_1252}]|[\xe2-\xef](?!\xa0)[{_AS_1252}]{{2}}|\xf0[{_AS_1252}]{{3}}")
_SURE = "\xc2\xc3\xe2\xef\xf0"  # what such a pair begins with in Western texts; of others one alone may be meant ("Ü–")
WINDOW = 60  # characters that are shown before and after one


def invisible_at(text: str) -> int:
    """Where the first character stands that is not printable; -1 where there is none."""
    found = _INVISIBLE.search(text)
    return found.start() if found else -1


def cleaned(text: str) -> str:
    """The text without characters that are not printable; line ends and tabs stay."""
    return _INVISIBLE.sub("", text)


def damaged_at(text: str) -> int:
    """Where the first letter stands that was decoded wrongly, or lost altogether; -1 where there is none."""
    lost = text.find(_LOST)
    maybe = -1
    for found in _MISREAD.finditer(text):
        if lost >= 0 and found.start() > lost:
            break
        if _is_misread(found[0]):
            if found[0][0] in _SURE or maybe >= 0:
                return found.start()
            maybe = found.start()
    return lost


def shown(text: str, place: int) -> str:
    """The part of a text around a place, with what cannot be seen written as [U+200B]."""
    part = text[max(0, place - WINDOW):place + WINDOW]
    part = _INVISIBLE.sub(lambda found: "".join(f"[U+{ord(letter):04X}]" for letter in found[0]), part)
    return f"{'…' if place > WINDOW else ''}{part}{'…' if place + WINDOW < len(text) else ''}"


def _is_misread(letters: str) -> bool:
    codes = bytes(ord(letter) if ord(letter) < 256 else letter.encode("cp1252")[0] for letter in letters)
    try:
        original = codes.decode()
    except UnicodeDecodeError:
        return False
    return original.isprintable() or original == "\ufeff"
