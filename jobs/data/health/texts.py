"""What an example says, whatever its format: all of it, what is asked, what is answered."""

from collections.abc import Callable
from typing import NamedTuple

from jobs.data.json_text import dumps


class Parts(NamedTuple):
    """`whole` is what is compared with other rows (without system messages); the others are None where the format has none."""

    whole: str
    prompt: str | None = None  # all that stands before the answer
    answer: str | None = None
    against: str | None = None  # the answer that is not wanted
    label: str | None = None
    system: str = ""
    pieces: tuple[str, ...] = ()  # each text by itself


def parts_of(example: dict) -> Parts:
    """The parts of an example of any format; the shapes are in jobs/data/examples.py."""
    for key, read in _READERS.items():
        if key in example:
            return read(example)
    raise ValueError(f"an example with the unknown parts {', '.join(example)}")


def _chat(example: dict) -> Parts:
    turns = example["messages"]
    asked, system = _asked(turns[:-1])
    answer = _said(turns[-1])
    whole = "\n".join([_said(turn) for turn in turns if turn["role"] != "system"])
    return Parts(whole, asked, answer, system=system, pieces=tuple([_said(turn) for turn in turns]))


def _preference(example: dict) -> Parts:
    asked, system = _asked(example["prompt"])
    chosen, rejected = _together(example["chosen"]), _together(example["rejected"])
    return Parts("\n".join((asked, chosen, rejected)), asked, chosen, rejected, system=system, pieces=(asked, chosen, rejected))


def _judged(example: dict) -> Parts:
    asked, system = _asked(example["prompt"])
    answer = _together(example["completion"])
    return Parts(f"{asked}\n{answer}", asked, answer, label="desirable" if example["desirable"] else "undesirable", system=system,
                 pieces=(asked, answer))


def _labelled(example: dict) -> Parts:
    pieces = (example["text"], example["text_pair"]) if "text_pair" in example else (example["text"],)
    label = example["label"] if "label" in example else str(example["score"])
    return Parts("\n".join(pieces), "\n".join(pieces), label=label, pieces=pieces)


def _text(example: dict) -> Parts:
    if "label" in example or "score" in example:
        return _labelled(example)
    return Parts(example["text"], pieces=(example["text"],))


def _tagged(example: dict) -> Parts:
    text = " ".join(example["tokens"])
    return Parts(text, text, label=" ".join(example["tags"]), pieces=(text,))


def _pair(example: dict) -> Parts:
    pieces = tuple(example[part] for part in ("anchor", "positive", "negative") if part in example)
    return Parts("\n".join(pieces), *pieces, pieces=pieces)


_READERS: dict[str, Callable[[dict], Parts]] = {
    "messages": _chat, "chosen": _preference, "completion": _judged, "text": _text, "tokens": _tagged, "anchor": _pair}


def _said(turn: dict) -> str:
    """A turn's text, with the calls of tools that it makes."""
    said = turn.get("content") or ""
    return f"{said}\n{dumps(turn['tool_calls']).decode()}" if turn.get("tool_calls") else said


def _asked(turns: list[dict]) -> tuple[str, str]:
    if len(turns) == 1 and turns[0]["role"] != "system":
        return _said(turns[0]), ""
    asked = "\n".join([_said(turn) for turn in turns if turn["role"] != "system"])
    return asked, "\n".join([_said(turn) for turn in turns if turn["role"] == "system"])


def _together(turns: list[dict]) -> str:
    return _said(turns[0]) if len(turns) == 1 else "\n".join([_said(turn) for turn in turns])
