"""What the rendered view of a row consists of. Without transformers, since the page reads it too."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Piece:
    """Tokens that make whole characters together: mostly one, up to four where a character is split into its bytes."""

    ids: list[int]
    text: str
    trained: bool  # the loss counts it
    special: bool  # a token of its own meaning, such as the end of a turn


@dataclass(frozen=True)
class Stretch:
    """Pieces that follow each other, from the token of that number on; very long rows are shown in several."""

    first: int
    pieces: list[Piece]


@dataclass(frozen=True)
class RenderedRow:
    """One sequence, before any cut. `name` is empty, or what it is of several: chosen, rejected, anchor, …"""

    name: str
    tokens: int
    trained: int  # tokens that the loss counts
    trained_kept: int  # of them within the limit
    stretches: list[Stretch]
    problem: str = ""  # why the chat template refuses it, as words that follow "it has"; then there are no tokens


@dataclass(frozen=True)
class Rendered:
    """An example as the model gets it."""

    rows: list[RenderedRow]
    aims: list[tuple[str, str]]  # what it learns besides tokens: a label, a score, or the tag of each word
    template: str  # the chat template that was used; empty where none is
    note: str  # what there is to say about the template; mostly nothing


def read_rendered(answer: dict) -> Rendered:
    """From the plain values of dataclasses.asdict."""
    rows = [
        RenderedRow(
            **{name: value for name, value in row.items() if name != "stretches"},
            stretches=[Stretch(part["first"], [Piece(**piece) for piece in part["pieces"]]) for part in row["stretches"]],
        )
        for row in answer["rows"]
    ]
    return Rendered(rows, [tuple(aim) for aim in answer["aims"]], answer["template"], answer["note"])
