"""Examples of what is liked: a better and a worse answer, or one answer with a verdict."""

import os
from itertools import takewhile

from jobs.data.cells import is_empty, truth_of, turns_of
from jobs.data.examples.base import Built, LeaveOut, Values, text_of
from jobs.data.examples.turns import is_answer, read_tools, read_turns, said_or_turns, turn, with_system

Turns = list[dict]
OTHER_QUESTIONS = "a chosen and a rejected answer to different questions"


def preference_example(values: Values) -> Built:
    """A prompt with a chosen and a rejected answer. Where these are whole conversations, the prompt is what they share."""
    if is_empty(values.get("prompt")) and all(turns_of(values[part]) is None for part in ("chosen", "rejected")):
        prompt, chosen, rejected = _shared_text(text_of(values["chosen"], "chosen answer"),
                                                text_of(values["rejected"], "rejected answer"))
    else:
        chosen = said_or_turns(values["chosen"], "assistant", "chosen answer")
        rejected = said_or_turns(values["rejected"], "assistant", "rejected answer")
        prompt, chosen, rejected = _apart(_prompt(values), chosen, rejected)
    for answer, name in ((chosen, "chosen"), (rejected, "rejected")):
        if not any(map(is_answer, answer)):
            raise LeaveOut(f"an empty {name} answer")
    if chosen == rejected:
        raise LeaveOut("a chosen answer that is the same as the rejected one")
    return {"prompt": with_system(prompt, values), "chosen": chosen, "rejected": rejected, **read_tools(values)}, None


def binary_preference_example(values: Values) -> Built:
    """A prompt with one answer, and whether it is a good one. A whole conversation brings its prompt along."""
    label = values["label"]
    if is_empty(label):
        raise LeaveOut("no label")
    desirable = truth_of(label)
    if desirable is None:
        raise LeaveOut(f"a label that is neither true nor false ('{label}')")
    prompt, completion = _prompt(values), said_or_turns(values["completion"], "assistant", "answer")
    if is_conversation(completion):
        prompt, completion = _last_answer_apart(completion)
    if not any(map(is_answer, completion)):
        raise LeaveOut("an empty answer")
    if not prompt:
        raise LeaveOut("no prompt")
    return {"prompt": with_system(prompt, values), "completion": completion, "desirable": desirable, **read_tools(values)}, None


def is_conversation(turns: Turns) -> bool:
    """Whether turns begin with a question, and so bring their prompt along."""
    return bool(turns) and turns[0]["role"] in ("user", "system")


def _prompt(values: Values) -> Turns:
    prompt = values.get("prompt")
    if is_empty(prompt):
        return []
    raw = turns_of(prompt)
    return read_turns(raw) if raw is not None else [turn("user", text_of(prompt, "prompt"))]


def _apart(prompt: Turns, chosen: Turns, rejected: Turns) -> tuple[Turns, Turns, Turns]:
    """The prompt, and the two answers without it."""
    if is_conversation(chosen) and is_conversation(rejected):
        alike = takewhile(lambda pair: pair[0] == pair[1], zip(chosen, rejected, strict=False))
        shared = min(len(list(alike)), len(chosen) - 1, len(rejected) - 1)
        if not shared or chosen[shared]["role"] != "assistant" or rejected[shared]["role"] != "assistant":
            raise LeaveOut(OTHER_QUESTIONS)
        return chosen[:shared], chosen[shared:], rejected[shared:]
    if is_conversation(chosen):
        prompt, chosen = _last_answer_apart(chosen)
    elif is_conversation(rejected):
        prompt, rejected = _last_answer_apart(rejected)
    if not prompt:
        raise LeaveOut("no prompt")
    return prompt, chosen, rejected


def _last_answer_apart(conversation: Turns) -> tuple[Turns, Turns]:
    last = max((number for number, entry in enumerate(conversation) if entry["role"] == "assistant"), default=None)
    if last is None:
        raise LeaveOut("no answer of the assistant")
    return conversation[:last], [conversation[last]]


def _shared_text(chosen: str, rejected: str) -> tuple[Turns, Turns, Turns]:
    """Two texts that begin with the prompt: it ends with the last white space that both share."""
    shared = os.path.commonprefix([chosen, rejected])
    if chosen == rejected:
        raise LeaveOut("a chosen answer that is the same as the rejected one")
    end = max((number + 1 for number, letter in enumerate(shared) if letter.isspace()), default=0)
    if not shared[:end].strip():
        raise LeaveOut("no prompt, and answers that do not begin alike")
    if not chosen[end:].strip() or not rejected[end:].strip():
        raise LeaveOut(f"an empty {'rejected' if chosen[end:].strip() else 'chosen'} answer")
    return [turn("user", shared[:end])], [turn("assistant", chosen[end:])], [turn("assistant", rejected[end:])]
