"""What one cell holds: nothing, a conversation, a list, tools, a truth value or a number, also where they are written as text."""

import ast
import json
import math
import re

LONGEST_JSON, LONGEST_LITERAL = 10_000_000, 200_000  # characters of JSON text, and of Python's own notation, that are parsed
MOST_ITEMS = 100_000  # of a list of words or tags
ROLE_KEYS = ("role", "from", "speaker")
CONTENT_KEYS = ("content", "value", "text", "message", "utterance")
SPEAKERS = {"user", "human", "assistant", "gpt", "bot", "system"}  # that name what they said: {"human": …, "assistant": …}

TRUE = {"true", "yes", "1", "1.0", "+1", "good", "desirable", "chosen", "accepted", "like", "thumbs_up", "positive"}
FALSE = {"false", "no", "0", "0.0", "-1", "bad", "undesirable", "rejected", "dislike", "thumbs_down", "negative"}

_MAY_BE_LITERAL = re.compile(r"\s*(\[\s*[\[\]{'\"\d(-]|\{\s*['\"}])")
_MAY_BE_TURNS = re.compile(r"\s*\[\s*\{")
_NUMPY_TEXTS = re.compile(r"""\[\s*(?:'[^'\n]*'|"[^"\n]*")(?:\s+(?:'[^'\n]*'|"[^"\n]*"))+\s*\]""")
_NUMPY_NUMBERS = re.compile(r"\[\s*-?\d+(?:\s+-?\d+)+\s*\]")
_TRANSCRIPT = re.compile(r"\s*(?:Human|System):.*?\n\nAssistant:", re.DOTALL)
_SPEAKER = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant|System): ?")


def is_empty(value) -> bool:
    """Whether a cell holds nothing: null, blank text, an empty list, or not-a-number."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or value == [] or (isinstance(value, float) and math.isnan(value))


def turns_of(value) -> list[dict] | None:
    """The turns of a conversation, else None.

    A list of {role, content}, {from, value} or {human, assistant}, JSON text of one, or a transcript as in Anthropic's data:
    "Human: …", a blank line, "Assistant: …".
    """
    if isinstance(value, str):
        value = transcript_turns(value) if is_transcript(value) else parsed(value) if _MAY_BE_TURNS.match(value) else None
    if not isinstance(value, list) or not value or not all(isinstance(turn, dict) for turn in value):
        return None
    if all(_is_turn(turn) for turn in value):
        return value
    if all(_names_speakers(turn) for turn in value):
        return [{"role": speaker, "content": said} for turn in value for speaker, said in turn.items()]
    return None


def is_transcript(text: str) -> bool:
    """Whether a text is a conversation with "Human:" and "Assistant:" before what each said."""
    return _TRANSCRIPT.match(text) is not None


def transcript_turns(text: str) -> list[dict]:
    """The turns of a transcript; an "Assistant:" with nothing behind it at the end only asks for the answer."""
    marks = list(_SPEAKER.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    turns = [{"role": mark[1].lower(), "content": text[mark.end():end]} for mark, end in zip(marks, ends, strict=True)]
    if turns[-1]["role"] == "assistant" and not turns[-1]["content"].strip():
        turns.pop()
    return turns


def items_of(value) -> list | None:
    """A list of texts or numbers, or text of one as JSON, Python or numpy write it, else None; also for over MOST_ITEMS."""
    if isinstance(value, str):
        value = _numpy_items(value) or parsed(value) if len(value) <= 20 * MOST_ITEMS else None
    if not isinstance(value, list) or len(value) > MOST_ITEMS:
        return None
    return value if all(isinstance(item, (str, int, float)) or item is None for item in value) else None


def objects_of(value) -> list[dict] | None:
    """A list of objects, such as tools, also where it or its members are JSON text, else None."""
    if isinstance(value, str):
        value = parsed(value)
    if not isinstance(value, list):
        return None
    members = [parsed(member) if isinstance(member, str) else member for member in value]
    return members if all(isinstance(member, dict) for member in members) else None


def truth_of(value) -> bool | None:
    """True or false in the ways in which people write it, else None."""
    word = str(value).strip().lower().replace(" ", "_")
    return True if word in TRUE else False if word in FALSE else None


def number_of(value) -> float | None:
    """A finite number, also one written as text, else None; true and false are no numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str) and "_" in value:  # which Python takes for a number
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def lone(value):
    """The value of a list with one value in it, as several formats wrap their cells; anything else as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], (str, int, float)) else value


def parsed(text: str) -> object:
    """The list or object that a text holds as JSON, or in Python's notation as pandas saves it in tables, else None."""
    if len(text) > LONGEST_JSON or not _MAY_BE_LITERAL.match(text):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if len(text) > LONGEST_LITERAL or _NUMPY_TEXTS.fullmatch(text):
        return None
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None


def _numpy_items(text: str) -> list | None:
    """['EU' 'rejects'] and [3 0 7]: arrays that pandas saved in a table, without commas."""
    if len(text) > LONGEST_LITERAL:
        return None
    if _NUMPY_NUMBERS.fullmatch(text):
        return [int(number) for number in text.strip("[] \n").split()]
    if _NUMPY_TEXTS.fullmatch(text):
        return [first or second for first, second in re.findall(r"""'([^'\n]*)'|"([^"\n]*)\"""", text)]
    return None


def _is_turn(turn: dict) -> bool:
    if "role" in turn or "from" in turn:
        return True
    return "speaker" in turn and any(key in turn for key in CONTENT_KEYS)


def _names_speakers(turn: dict) -> bool:
    return bool(turn) and all(str(key).lower() in SPEAKERS and isinstance(said, str) for key, said in turn.items())
