"""A row as the model gets it: token by token, with what is learnt, what is context, and where it would be cut."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from jobs.preparing.rendered import Piece, Rendered, RenderedRow
from studio.render import render
from studio.text import ENGLISH, say

LEARNT, CONTEXT, SPECIAL = "learnt", "context", "special"
# characters that would turn the text about or hide; those that belong to a script, such as joiners, stay
HIDDEN = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF, 0x00AD}


@dataclass(frozen=True)
class Place:
    """Where a row stands: its number among the usable rows from 1, how many there are, and its file and line."""

    number: int
    count: int
    file: str = ""
    line: int = 0


@dataclass
class _Run:
    """Neighbours that look alike."""

    look: str
    learnt: bool
    cut: bool
    begins_cut: bool  # the first that is cut off
    tokens: list[tuple[str, str]] = field(default_factory=list)  # text, numbers of the tokens


@dataclass(frozen=True)
class _Shown:
    """A stretch of a row: how many tokens are left out before it, and its runs."""

    skipped: int
    runs: list[_Run]


def rendered_row(rendered: Rendered, place: Place, limit: int) -> str:
    """The whole view of one example. `limit` in tokens."""
    return render(
        "rendered.html",
        place=place,
        limit=limit,
        note=rendered.note,
        aims=[(_aim_name(name), visible(value)) for name, value in rendered.aims],
        tagged=len(rendered.aims) > 1,
        rows=[
            {
                "name": say(f"data.row.name.{row.name}") if f"data.row.name.{row.name}" in ENGLISH else row.name,
                "counts": counts(row, limit),
                "stretches": list(_shown(row, limit)),
                "problem": say("data.row.refused", reason=row.problem) if row.problem else "",
                "lost": row.trained > 0 and row.trained_kept == 0,
            }
            for row in rendered.rows
        ],
    )


def counts(row: RenderedRow, limit: int) -> str:
    """How many tokens it has, how many are learnt, and how many the limit cuts off."""
    parts = [say("data.row.tokens", count=f"{row.tokens:,}")]
    if row.trained:
        parts.append(say("data.row.trained", count=f"{row.trained:,}"))
    if row.tokens > limit:
        parts.append(say("data.row.cut", count=f"{row.tokens - limit:,}"))
    return ", ".join(parts)


def visible(text: str) -> str:
    """A text in which line ends, tabs and characters that are not printable can be seen."""
    return "".join(_visible(letter) for letter in text) if not text.isprintable() else text


def _visible(letter: str) -> str:
    if letter == "\n":
        return "↵\n"
    if letter == "\t":
        return "⇥\t"
    code = ord(letter)
    if code < 0x20 or code == 0x7F:
        return chr(0x2421) if code == 0x7F else chr(0x2400 + code)
    return f"[U+{code:04X}]" if code in HIDDEN or 0x80 <= code < 0xA0 else letter


def _shown(row: RenderedRow, limit: int) -> Iterator[_Shown]:
    seen, uncut = 0, True
    for stretch in row.stretches:
        runs, number = [], stretch.first
        numbered = []
        for piece in stretch.pieces:
            numbered.append((piece, number >= limit))
            number += len(piece.ids)
        for (look, learnt, cut), pieces in groupby(numbered, key=lambda each: (_look(each[0]), each[0].trained, each[1])):
            tokens = [(visible(piece.text), " ".join(map(str, piece.ids))) for piece, _ in pieces]
            runs.append(_Run(look, learnt, cut, cut and uncut, tokens))
            uncut = uncut and not cut
        yield _Shown(stretch.first - seen, runs)
        seen = number


def _look(piece: Piece) -> str:
    if piece.special:
        return f"{SPECIAL} st-{LEARNT}" if piece.trained else SPECIAL
    return LEARNT if piece.trained else CONTEXT


def _aim_name(name: str) -> str:
    key = f"data.row.aim.{name}"
    return say(key) if key in ENGLISH else visible(name)
