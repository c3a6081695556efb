"""What should not be in a text: characters that nobody sees, damaged letters, spaces at ends, leftovers of web pages, secrets."""

import re
from array import array
from collections.abc import Callable
from functools import lru_cache

from jobs.data.health.batches import Batch
from jobs.data.health.characters import WINDOW, damaged_at, invisible_at, shown
from jobs.data.health.found import MOST_MASKED, Findings
from jobs.data.health.secrets import (
    ACCOUNTS,
    CARDS,
    EMAILS,
    FEWEST_DIGITS,
    KEY_RUN,
    KEYS,
    KINDS,
    NUMBER_RUN,
    PHONES,
    PLACEHOLDERS,
    find_secrets,
    masked,
)
from jobs.data.health.texts import parts_of
from jobs.data.health.words import HAS_AT, HAS_DAMAGED, HAS_INVISIBLE, HAS_MARKUP, MOST_CHARACTERS

_MARKUP = re.compile(
    r"</?(?:p|div|span|br|table|tbody|tr|td|th|ul|ol|li|a|h[1-6]|script|style|strong|em|b|i|u|img|font|blockquote)"
    r"(?:\s[^<>]{0,300})?/?>|&(?:nbsp|amp|lt|gt|quot|apos|#\d{2,6}|#x[0-9a-fA-F]{2,5});", re.IGNORECASE)
MOSTLY = 0.5  # share of the rows from which markup is what the data is about
SECRETS = {
    KEYS: ("problem", "what looks like a key or a password",
           "A model can repeat it to anybody. Make it invalid where it is used, too"),
    CARDS: ("problem", "a card number with the right check digit", "A model can repeat it to anybody"),
    ACCOUNTS: ("warning", "a bank account number with the right check digits", "A model can repeat it to anybody"),
    EMAILS: ("warning", "an e-mail address", "A model can repeat it to anybody"),
    PHONES: ("note", "what looks like a telephone number", "A model can repeat it to anybody"),
}


class Contents:
    """Looks closer only where a batch's bytes say that something may be there."""

    def __init__(self, format: str):
        self.mends = ("drop",) if format == "tokens" else ("mask", "drop")  # whose secrets lie in several words
        self.trims = format not in ("tokens", "text")
        self.rows = {kind: array("Q") for kind in (
            "invisible_characters", "damaged_characters", "spaces_at_ends", "markup", *KINDS)}

    def see(self, batch: Batch) -> None:
        words = batch.words
        signs = words.signs.tolist()
        digits = ((words.digits >= FEWEST_DIGITS) & words.with_run("number", NUMBER_RUN)).tolist()
        runs = words.with_run("key", KEY_RUN).tolist()
        for number, parts in enumerate(batch.parts):
            row, text, sign = batch.first + number, parts.whole, signs[number]
            is_long = len(text) > MOST_CHARACTERS  # only its beginning was looked at
            if sign or digits[number] or runs[number] or is_long or parts.system:
                for kind in _kinds_in(text, 255 if is_long else sign, is_long or digits[number], is_long or runs[number]):
                    self.rows[kind].append(row)
                if parts.system:
                    for kind in _kinds_in_system(parts.system):
                        if not self.rows[kind] or self.rows[kind][-1] != row:
                            self.rows[kind].append(row)
            if self.trims:
                for piece in parts.pieces:
                    if piece and (piece[0].isspace() or piece[-1].isspace()):
                        self.rows["spaces_at_ends"].append(row)
                        break

    def report(self, findings: Findings) -> None:
        for kind, (severity, what, why) in SECRETS.items():
            if rows := self.rows[kind]:
                findings.add(kind, severity, f"{findings.rows(len(rows), 'has', 'have')} {what}. {why}.", rows,
                             self.mends, excerpt=lambda example, kind=kind: _around_secret(example, kind))
        if rows := self.rows["damaged_characters"]:
            findings.add("damaged_characters", "warning",
                         f"{findings.rows(len(rows), 'has', 'have')} letters that were damaged when a file was read "
                         "in the wrong encoding, such as 'Ã©' for 'é', or '\ufffd'. Save it anew as UTF-8 where it comes from.",
                         rows, ("drop",), excerpt=lambda example: _around(example, damaged_at))
        if rows := self.rows["invisible_characters"]:
            findings.add("invisible_characters", "warning",
                         f"{findings.rows(len(rows), 'has', 'have')} characters that are not printable: control "
                         "characters or ones without width. A model takes each of them for a token like any other.", rows,
                         ("clean",), excerpt=lambda example: _around(example, invisible_at))
        rows = self.rows["markup"]
        if rows and len(rows) < MOSTLY * findings.total:
            findings.add("markup", "note",
                         f"{findings.rows(len(rows), 'has', 'have')} leftovers of web pages, such as <br> or &amp;.",
                         rows, ("drop",), excerpt=lambda example: _around(example, _markup_at))
        if rows := self.rows["spaces_at_ends"]:
            findings.add("spaces_at_ends", "note",
                         f"{findings.rows(len(rows), 'has', 'have')} spaces or line ends at the beginning or the end "
                         "of a text. Where they have no meaning, a model learns to add them.", rows, ("trim",),
                         excerpt=_with_visible_ends)


def _kinds_in(text: str, sign: int, many_digits: bool, long_run: bool) -> list[str]:
    kinds = []
    if sign & HAS_INVISIBLE and invisible_at(text) >= 0:
        kinds.append("invisible_characters")
    if sign & HAS_DAMAGED and damaged_at(text) >= 0:
        kinds.append("damaged_characters")
    if sign & HAS_MARKUP and "```" not in text and _MARKUP.search(text):
        kinds.append("markup")
    wanted = [kind for kind, maybe in ((KEYS, long_run or sign & HAS_AT), (CARDS, many_digits), (ACCOUNTS, many_digits),
                                       (EMAILS, sign & HAS_AT), (PHONES, many_digits)) if maybe]
    if wanted:
        found = {secret.kind for secret in find_secrets(text, wanted)}
        kinds += [kind for kind in KINDS if kind in found]
    return kinds


@lru_cache(maxsize=1000)
def _kinds_in_system(text: str) -> list[str]:
    return _kinds_in(text, 255, True, True)


def _all_text(example: dict) -> str:
    parts = parts_of(example)
    return f"{parts.system}\n{parts.whole}" if parts.system else parts.whole


def _around(example: dict, place_in: Callable[[str], int]) -> str:
    """What stands around a place; masked before it is cut, so that no half of a secret is shown."""
    text = _all_text(example)
    place = place_in(text)
    text = masked(text[max(0, place - MOST_MASKED):place + MOST_MASKED])
    return shown(text, max(0, place_in(text)))


def _markup_at(text: str) -> int:
    found = _MARKUP.search(text)
    return found.start() if found else -1


def _around_secret(example: dict, kind: str) -> str:
    """What stands around the first one, with a placeholder in its place: the secret itself is never shown."""
    text = _all_text(example)
    secret = next(secret for secret in find_secrets(text, [kind]))
    before, after = masked(text[max(0, secret.start - MOST_MASKED):secret.start]), masked(text[secret.end:secret.end + MOST_MASKED])
    return f"{'…' if len(before) > WINDOW else ''}{before[-WINDOW:]}{PLACEHOLDERS[kind]}{after[:WINDOW]}"


def _with_visible_ends(example: dict) -> str:
    piece = next(piece for piece in parts_of(example).pieces if piece != piece.strip())
    start, end = piece[:len(piece) - len(piece.lstrip())], piece[len(piece.rstrip()):]
    middle = piece.strip()
    middle = middle if len(middle) <= 100 else f"{middle[:50]} … {middle[-50:]}"
    return f"{_visible(start)}{middle}{_visible(end)}"


def _visible(spaces: str) -> str:
    return "".join({" ": "␣", "\n": "⏎", "\r": "␍", "\t": "⇥"}.get(space, f"[U+{ord(space):04X}]") for space in spaces)
