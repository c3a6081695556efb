"""From a row to an example. What a row lacks is said by raising LeaveOut with words that follow "it has"."""

from collections.abc import Callable

from jobs.data.tables import is_empty, turns_of

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
}
QUESTION_AFTER_ANSWER = "a question after the last answer; that question is not learnt from"

Values = dict[str, object]
Built = tuple[dict, str | None]  # an example, and what was changed to make it, if anything


class LeaveOut(Exception):
    """A row that no example can be made of."""


def messages_example(values: Values) -> Built:
    """A conversation, up to its last answer."""
    raw = turns_of(values["messages"])
    if raw is None:
        raise LeaveOut("no messages" if is_empty(values["messages"]) else "messages that are not a list of turns")
    turns = _with_system(_turns(raw), values)
    last = max((number for number, turn in enumerate(turns) if turn["role"] == "assistant"), default=None)
    if last is None:
        raise LeaveOut("no answer of the assistant")
    return {"messages": turns[: last + 1]}, None if last == len(turns) - 1 else QUESTION_AFTER_ANSWER


def instruction_example(values: Values) -> Built:
    """An instruction and its input as the question, the output as the answer."""
    asked = [_text(values[part], part) for part in ("instruction", "input") if not is_empty(values.get(part))]
    if not asked:
        raise LeaveOut("no instruction")
    turns = [_turn("user", "\n\n".join(asked)), _turn("assistant", _text(values["output"], "answer"))]
    return {"messages": _with_system(turns, values)}, None


def prompt_completion_example(values: Values) -> Built:
    """A prompt as the question and its completion as the answer; either may be a list of turns."""
    asked, answered = values["prompt"], values["completion"]
    question = _turns(turns_of(asked) or [_turn("user", _text(asked, "prompt"))])
    answer = _turns(turns_of(answered) or [_turn("assistant", _text(answered, "answer"))])
    if not answer or answer[-1]["role"] != "assistant":
        raise LeaveOut("no answer of the assistant")
    return {"messages": _with_system(question + answer, values)}, None


def text_example(values: Values) -> Built:
    """A text to go on from anywhere."""
    return {"text": _text(values["text"], "text")}, None


def classification_example(values: Values) -> Built:
    """A text and the name of its class."""
    text = _text(values["text"], "text")
    label = values["label"]
    if isinstance(label, float) and label.is_integer():
        label = int(label)  # 1.0 is how spreadsheets and Parquet write class 1 in a column with gaps
    return {"text": text, "label": _text(label, "label").strip()}, None


Builder = Callable[[Values], Built]


def _turns(raw: list[dict]) -> list[dict]:
    turns = []
    for turn in raw:
        name = turn.get("role", turn.get("from"))
        role = ROLES.get(str(name).strip().lower())
        if role is None:
            raise LeaveOut(f"a turn with the unknown role '{name}'")
        content = turn["content"] if "content" in turn else turn.get("value")
        if isinstance(content, list):
            content = "".join(_part_text(part) for part in content)
        if not is_empty(content):
            turns.append(_turn(role, _text(content, f"{role} turn")))
        elif role != "system":  # an empty system message says nothing, as many files have it
            raise LeaveOut("an empty answer" if role == "assistant" else "an empty user turn")
    return turns


def _part_text(part) -> str:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return part["text"]
    kind = part.get("type", "unknown") if isinstance(part, dict) else "unknown"
    raise LeaveOut(f"a turn with a part of the type '{kind}', which is not text")


def _turn(role: str, content: str) -> dict:
    return {"role": role, "content": content}


def _with_system(turns: list[dict], values: Values) -> list[dict]:
    system = values.get("system")
    if is_empty(system) or any(turn["role"] == "system" for turn in turns):
        return turns
    return [_turn("system", _text(system, "system message")), *turns]


def _text(value, noun: str) -> str:
    """The value as text, kept as it is: spaces at its ends may matter, to code for one."""
    if is_empty(value):
        raise LeaveOut(f"no {noun}")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise LeaveOut("half a character (a lone surrogate), which no tokenizer takes")
        return value
    if isinstance(value, (int, float)):
        return str(value)
    kind = {list: "a list", dict: "an object", bytes: "bytes"}.get(type(value), type(value).__name__)
    raise LeaveOut(f"{'an' if noun[0] in 'aeiou' else 'a'} {noun} that is {kind}, not text")
