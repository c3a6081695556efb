"""Where the answers of a conversation stand in the text that a chat template makes of it.

A template says nothing of that, unless it has {% generation %} marks. So each conversation is rendered twice, plain and with a mark
at the end of each message: an answer begins where a prompt would end, and ends with what the template puts after the last answer.
Where the marks do not come through unchanged, the conversation is rendered up to each answer; and where that does not show it
either, the conversation is refused.
"""

import re
import threading
from dataclasses import dataclass

from transformers.utils.chat_template_utils import render_jinja_template

REMEMBERED = 1000
MANY_TOKENS = 500
_FIRST_MARK = 0xF0000  # of a plane that is for private use: message n ends with the nth character
_MARKS = re.compile("[\U000f0000-\U000ffffd]")
_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_SAMPLE = [{"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "It is there."}]
_tracking = threading.Lock()  # transformers keeps one list of {% generation %} marks for each template


class TemplateRefuses(Exception):
    """A conversation that a template does not go with; the words follow "it has"."""


@dataclass(frozen=True)
class Conversation:
    """A conversation as text; `answers` are the character ranges [start, end) that are learnt, in order."""

    text: str
    answers: list[tuple[int, int]]


class Renderer:
    """A tokenizer's way of writing conversations, through its own chat template or another one."""

    def __init__(self, tokenizer, template: str | None = None):
        self.tokenizer, self.template = tokenizer, template
        self.names = tokenizer.special_tokens_map
        self.special = _special_tokens(tokenizer, template or str(tokenizer.chat_template))
        self._leads: dict[tuple[str, bool], str] = {}  # what stands between a message of a role and an answer
        self._pieces: dict[str, list[str]] = {}

    def render(self, messages: list[dict], tools: list[dict] | None = None, answer_next: bool = False) -> str:
        """The text of a conversation, up to where an answer begins if one is next. Raises TemplateRefuses."""
        return self._render(messages, tools, add_generation_prompt=answer_next)[0]

    def conversation(self, messages: list[dict], tools: list[dict] | None = None, first: int = 0) -> Conversation:
        """The whole text and the answers in it, from message number `first` on; not those of weight 0. Raises TemplateRefuses."""
        answers = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
        wanted = [number for number in answers if number >= first and _is_learnt(messages[number])]
        if _GENERATION.search(self._template(tools)):
            with _tracking:
                text, spans = self._render(messages, tools, return_assistant_tokens_mask=True)
            if len(spans) == len(answers):
                spans = [span for number, span in zip(answers, spans, strict=True) if number in wanted]
            if len(spans) == len(wanted) or wanted == answers:
                _check_calls([messages[number] for number in wanted], "".join(text[start:end] for start, end in spans))
                return Conversation(text, [self._with_end(text, *span) for span in spans if span[1] > span[0]])
        text = self.render(messages, tools)
        found = _Search(self, messages, tools, text, wanted)
        return Conversation(text, [found.answer(number) for number in wanted])

    def ends_answers(self) -> bool:
        """Whether the template puts a special token after an answer, from which a model learns to stop."""
        try:
            conversation = self.conversation(_SAMPLE)
        except TemplateRefuses:
            return True
        return all(conversation.text[start:end].endswith(self.special) for start, end in conversation.answers)

    def stops(self, known: int | list[int] | None) -> list[int]:
        """The tokens that end an answer: those that the model knows, and those that the template puts there."""
        ends = [known] if isinstance(known, int) else list(known or [])
        try:
            text = self.render(_SAMPLE)
        except TemplateRefuses:
            return ends
        _, answer, after = text.rpartition(_SAMPLE[-1]["content"])
        first = next((piece for piece in self.pieces(after) if piece in self.special), "") if answer else ""
        token = self.tokenizer.convert_tokens_to_ids(first) if first else None
        return ends if token is None or token in ends else [*ends, token]

    def lead(self, messages: list[dict], tools: list[dict] | None) -> str:
        """What stands between the content of the last of these messages and an answer; "" where that cannot be told."""
        key = messages[-1]["role"], bool(tools)
        if key not in self._leads:
            last = messages[-1]
            messages = [*messages[:-1], {**last, "content": last["content"].rstrip()}]  # which may be trimmed
            prompt = self.render(messages, tools, answer_next=True)
            marked = self.render([*messages[:-1], _marked(messages[-1], len(messages) - 1)], tools, answer_next=True)
            places = [place.start() for place in _MARKS.finditer(marked)]
            if len(places) != 1 or _MARKS.sub("", marked) != prompt:
                return ""
            self._leads[key] = prompt[places[0]:]
        return self._leads[key]

    def pieces(self, text: str) -> list[str]:
        """A text's special tokens, and what is between them."""
        if text not in self._pieces:
            if len(self._pieces) > REMEMBERED:
                self._pieces.clear()
            self._pieces[text] = _pieces(text, self.special)
        return self._pieces[text]

    def without_white_end(self, text: str, start: int, end: int) -> int:
        """The end of an answer without the white space after its last special token: the model has stopped before that."""
        bare = text[start:end].rstrip()
        return start + len(bare) if bare.endswith(self.special) else end

    def _with_end(self, text: str, start: int, end: int) -> tuple[int, int]:
        """A {% generation %} block, and the special token right after it where it ends with none."""
        if not text[start:end].rstrip().endswith(self.special):
            end = next((end + len(token) for token in self.special if text.startswith(token, end)), end)
        return start, self.without_white_end(text, start, end)

    def _template(self, tools) -> str:
        return self.template or self.tokenizer.get_chat_template(None, tools)

    def _render(self, messages, tools, **options):
        try:
            (text,), spans = render_jinja_template(
                [messages], tools=tools, chat_template=self._template(tools), **options, **self.names)
        except MemoryError:  # no fault of the conversation's
            raise
        except Exception as error:  # a template is a program of somebody else's, and fails in any way
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise TemplateRefuses(f"a conversation that the chat template refuses ({reason.rstrip('.')[:200]})") from error
        return text, spans[0] if spans else []


class _Search:
    """The answers of one rendered conversation."""

    def __init__(self, renderer: Renderer, messages: list[dict], tools, text: str, wanted: list[int]):
        self.renderer, self.messages, self.tools, self.text = renderer, messages, tools, text
        self.ends = self._content_ends() if wanted else {}
        self.tail = self._tail()

    def answer(self, number: int) -> tuple[int, int]:
        """Where an answer begins and ends, with the end-of-turn token after it."""
        _check_calls([self.messages[number]], self.text)
        start, end = self._start(number), self._end(number)
        end = self.renderer.without_white_end(self.text, start, end)
        if not start < end:
            raise TemplateRefuses("an answer that the chat template leaves out")
        _check_calls([self.messages[number]], self.text[start:end])
        return start, end

    def _content_ends(self) -> dict[int, int]:
        """By message, where its content ends (its last tool call's name, where it has some); {} where the marks change the text."""
        if not self.text.isascii() and _MARKS.search(self.text):
            return {}
        marked = [_marked(message, number) for number, message in enumerate(self.messages)]
        numbers = [number for number, message in enumerate(marked) if message is not self.messages[number]]
        try:
            text = self.renderer.render(marked, self.tools)
        except TemplateRefuses:
            return {}
        places = list(_MARKS.finditer(text))
        if [ord(place[0]) - _FIRST_MARK for place in places] != numbers or _MARKS.sub("", text) != self.text:
            return {}
        return {number: place.start() - before for before, (number, place) in enumerate(zip(numbers, places, strict=True))}

    def _tail(self) -> list[str]:
        """What the template puts after the last answer, in pieces: special tokens, and what is between them."""
        last = self.messages[-1]
        if len(self.messages) - 1 not in self.ends or last["role"] != "assistant" or last.get("tool_calls"):
            return []
        after = self.text[self.ends[len(self.messages) - 1]:]
        white = _white_end(last)
        return self.renderer.pieces(after[len(white):] if white and after.startswith(white) else after)

    def _start(self, number: int) -> int:
        text, white, lead = self.text, "", ""
        if number - 1 in self.ends and not self.messages[number - 1].get("tool_calls"):
            white = _white_end(self.messages[number - 1])
            lead = self.renderer.lead(self.messages[:number], self.tools)
            for gap in (white, ""):  # some templates trim contents
                if lead and text.startswith(gap + lead, self.ends[number - 1]):
                    return self.ends[number - 1] + len(gap) + len(lead)
        if number:
            prompt = self.renderer.render(self.messages[:number], self.tools, answer_next=True)
            if text.startswith(prompt):
                return len(prompt)
        # the prompt ends otherwise than the conversation goes on, as with a prompt that opens a thought
        if number - 1 in self.ends and (start := self._after_part(self.ends[number - 1], white, lead)):
            return start
        content = self.messages[number].get("content", "").strip()
        if number in self.ends and content and text[:self.ends[number]].endswith(content):
            return self.ends[number] - len(content)
        raise TemplateRefuses("an answer of which the start cannot be told in what the chat template makes of the conversation")

    def _end(self, number: int) -> int:
        text, message = self.text, self.messages[number]
        if number == len(self.messages) - 1:
            return len(text)
        at = self.ends.get(number)
        white = _white_end(message)
        if at is not None and not message.get("tool_calls"):
            for gap in (white, ""):
                if self.tail and text.startswith(gap + self.tail[0], at):
                    return self._after(at + len(gap))
        upto = self.renderer.render(self.messages[:number + 1], self.tools)
        if text.startswith(upto):
            return len(upto)
        if at is not None and message.get("tool_calls"):
            special = next((piece for piece in self.tail if piece in self.renderer.special), "")
            place = text.find(special, at, self.ends.get(number + 1, len(text))) if special else -1
            if place >= 0:
                return self._after(place, self.tail.index(special))
        elif at is not None:
            return at + len(white) if text.startswith(white, at) else at
        raise TemplateRefuses("an answer of which the end cannot be told in what the chat template makes of the conversation")

    def _after(self, at: int, piece: int = 0) -> int:
        """Where the pieces of the tail end that stand at a place; fewer than all where the template writes some at the end only."""
        return _end_of(self.tail[piece:], self.text, at)

    def _after_part(self, at: int, white: str, lead: str) -> int:
        """Where the pieces of a lead end that stand at a place, or 0 where not even its first words do."""
        for gap in (white, ""):
            if self.text.startswith(gap, at):
                end = _end_of(self.renderer.pieces(lead), self.text, at + len(gap))
                if self.text[at:end].strip():
                    return end
        return 0


def _marked(message: dict, number: int) -> dict:
    """The message with a mark after its content, before white space at the end, which templates may trim; itself if it has none."""
    mark = chr(_FIRST_MARK + number % 0xFFFD)
    if calls := message.get("tool_calls"):
        call = _called(calls[-1])
        call = {**call, "name": f"{call['name']}{mark}"}
        return {**message, "tool_calls": [*calls[:-1], {**calls[-1], "function": call} if "function" in calls[-1] else call]}
    content = message.get("content")
    bare = content.rstrip() if isinstance(content, str) else ""
    return {**message, "content": f"{bare}{mark}{content[len(bare):]}"} if bare else message


def _white_end(message: dict) -> str:
    content = message.get("content") or ""
    return content[len(content.rstrip()):] if not message.get("tool_calls") else ""


def _is_learnt(answer: dict) -> bool:
    """Whether an answer says something and is not marked as context."""
    return bool(answer.get("weight", 1) and ((answer.get("content") or "").strip() or answer.get("tool_calls")))


def _check_calls(messages: list[dict], text: str) -> None:
    for message in messages:
        if any(_called(call)["name"] not in text for call in message.get("tool_calls") or []):
            raise TemplateRefuses("a tool call that the chat template leaves out")


def _end_of(pieces: list[str], text: str, at: int) -> int:
    for piece in pieces:
        if not text.startswith(piece, at):
            break
        at += len(piece)
    return at


def _called(call: dict) -> dict:
    """OpenAI puts a call into `function`, others write it as it is."""
    return call.get("function", call)


def _special_tokens(tokenizer, template: str) -> tuple[str, ...]:
    """The tokens of a tokenizer that a template may write as signs, longest first."""
    added = {token.content for token in tokenizer.added_tokens_decoder.values()}
    if len(added) > MANY_TOKENS:  # thousands that nobody uses
        added = {token for token in added if token in template}
    return tuple(sorted((token for token in added.union(tokenizer.all_special_tokens) if token.strip()), key=len, reverse=True))


def _pieces(text: str, special: tuple[str, ...]) -> list[str]:
    pieces = []
    while text:
        token = next((token for token in special if text.startswith(token)), "")
        if not token:
            starts = [place for token in special if (place := text.find(token)) >= 0]
            token = text[:min(starts, default=len(text))]
        pieces.append(token)
        text = text[len(token):]
    return pieces
