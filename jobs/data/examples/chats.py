"""Examples of conversations: from lists of turns, instructions, questions and answers, translations and summaries."""

from jobs.data.cells import is_empty, turns_of
from jobs.data.examples.base import Built, LeaveOut, Values, text_of
from jobs.data.examples.turns import is_answer, read_tools, read_turns, said_or_turns, turn, with_system

QUESTION_AFTER_ANSWER = "a question after the last answer; that question is not learnt from"
TURN_AFTER_ANSWER = "a turn after the last answer that answers nothing; it is not learnt from"


def messages_example(values: Values) -> Built:
    """A conversation, up to its last answer. Odd orders of roles and empty turns stay as they are."""
    raw = turns_of(values["messages"])
    if raw is None:
        raise LeaveOut("no messages" if is_empty(values["messages"]) else "messages that are not a list of turns")
    turns = with_system(read_turns(raw), values)
    last = last_answer(turns)
    if not any(is_answer(entry) and entry.get("weight", 1) for entry in turns):
        raise LeaveOut("no answer to learn from (all have the weight 0)")
    rest = turns[last + 1:]
    change = None
    if rest:
        change = QUESTION_AFTER_ANSWER if any(entry["role"] == "user" for entry in rest) else TURN_AFTER_ANSWER
    return {"messages": turns[: last + 1], **read_tools(values)}, change


def last_answer(turns: list[dict]) -> int:
    """The place of the last turn in which the assistant says or calls something."""
    answers = [number for number, entry in enumerate(turns) if is_answer(entry)]
    if not answers:
        has_turn = any(entry["role"] == "assistant" for entry in turns)
        raise LeaveOut("an empty answer" if has_turn else "no answer of the assistant")
    return answers[-1]


def instruction_example(values: Values) -> Built:
    """An instruction and its input as the question, the output as the answer."""
    asked = [text_of(values[part], part) for part in ("instruction", "input") if not is_empty(values.get(part))]
    if not asked:
        raise LeaveOut("no instruction")
    return _asked_and_answered("\n\n".join(asked), text_of(values["output"], "answer"), values)


def prompt_completion_example(values: Values) -> Built:
    """A prompt as the question and its completion as the answer; either may be a list of turns, and answers in the prompt are
    context."""
    question = [
        entry | {"weight": 0} if entry["role"] == "assistant" else entry
        for entry in said_or_turns(values["prompt"], "user", "prompt")
    ]
    answer = said_or_turns(values["completion"], "assistant", "answer")
    if not answer or answer[-1]["role"] != "assistant":
        raise LeaveOut("no answer of the assistant")
    last_answer(answer)
    return {"messages": with_system(question + answer, values), **read_tools(values)}, None


def translation_example(values: Values) -> Built:
    """A text as the question, its translation as the answer."""
    return _asked_and_answered(text_of(values["source"], "text to translate"), text_of(values["target"], "translation"), values)


def summarisation_example(values: Values) -> Built:
    """A document as the question, its summary as the answer."""
    return _asked_and_answered(text_of(values["document"], "document"), text_of(values["summary"], "summary"), values)


def text_example(values: Values) -> Built:
    """A text to go on from anywhere."""
    return {"text": text_of(values["text"], "text")}, None


def _asked_and_answered(asked: str, answered: str, values: Values) -> Built:
    return {"messages": with_system([turn("user", asked), turn("assistant", answered)], values)}, None
