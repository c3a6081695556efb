"""Several panes answer side by side: in turns of one token, and those whose models allow it in one batch."""

import threading
import time
import traceback
from dataclasses import dataclass

import jinja2
import torch
from torch.nn.functional import pad as pad_left
from transformers import StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from jobs.playground.cache import roomy_cache
from jobs.playground.limits import CANCELLED, LENGTH, Limits, Stop, template_time
from jobs.playground.models import Answerer
from jobs.playground.problems import DeviceFull, PromptUnusable
from jobs.playground.products import Cores
from jobs.playground.reading import READERS, Tell, read
from jobs.playground.request import GenerateRequest, GenerationSettings, Pane
from jobs.playground.together import EachRowDraws, each_row_its_own, reads_the_padding
from jobs.preparing.answers import Renderer
from jobs.preparing.templates import PLAIN_CHAT_TEMPLATE
from storage.problems import StudioError

CONTEXT = 8  # tokens decoded again at most, for a new one's text may depend on those before
TOLD_EVERY = 0.03  # seconds of a pane's own time between two pieces of its text; nobody reads faster


@dataclass(frozen=True)
class Row:
    """One pane that generates text, with its prompt as tokens."""

    pane: str
    answerer: Answerer
    inputs: dict[str, torch.Tensor]
    stops: list[int]
    room: int  # tokens for the answer

    @property
    def length(self) -> int:
        return self.inputs["input_ids"].shape[1]


def answer_side_by_side(answerers: dict[str, Answerer], request: GenerateRequest, stop: Stop, tell: Tell, memory_limit: int = 0,
                        together=None) -> None:
    """Tell the events of all panes as they come: {pane, text}, then {pane, done, …} or {pane, problem}, once for each pane.

    Every pane gets what plain generate gives alone after torch.manual_seed(seed). The base model and plain LoRA adapters decode
    in one batch, on the model that `together` gives; all others in turns of one token. `seconds` count a pane's own turns only.
    Setting `stop` ends panes within one token. `tell` is called from the threads of the panes.
    """
    limits = Limits(stop, request.settings.max_seconds, memory_limit)
    groups = _groups(answerers, request, tell, together)
    if not groups:
        return
    # threads of several groups would each have a second one for torch, and those would get in each other's way
    cores = Cores(next(iter(answerers.values())).model, rows=len(groups[0][0]) if len(groups) == 1 else 1)
    turns = Turns([group[0] for group, _ in groups], limits, cores)
    # the first group in this thread, which has torch's threads from loading the model
    others = [threading.Thread(target=_run, args=(work, group, answerers, request, turns, tell), name=f"pane {group[0]}")
              for group, work in groups[1:]]
    with cores.taken():
        for thread in others:
            thread.start()
        try:
            _run(groups[0][1], groups[0][0], answerers, request, turns, tell)
        except BaseException:
            stop.set()
            raise
        finally:
            for thread in others:
                thread.join()


def _groups(answerers: dict[str, Answerer], request: GenerateRequest, tell: Tell, together) -> list[tuple]:
    """The panes that take a turn as one, each with the function that answers for them; a prompt's problem goes to its pane."""
    panes = {pane.name: pane for pane in request.panes}
    if request.task in READERS:
        return [([name], lambda turns, name=name: read(panes[name], answerers[name], request, tell)) for name in answerers]
    rows, groups = [], []
    for name, answerer in answerers.items():
        try:
            rows.append(_row(panes[name], answerer, request))
        except Exception as error:  # one pane's problem must not take the others' answers
            tell({"pane": name, "problem": sentence_for(error, str(answerer.device))})
    can_share = [row.answerer.parts is not None and together is not None for row in rows]
    by_length = sum(can_share) > 1 and reads_the_padding(together())
    shared: dict[tuple, list[Row]] = {}
    for row, can in zip(rows, can_share, strict=True):
        # what the rows of a batch must have in common
        common = (tuple(row.stops), row.answerer.tokenizer.pad_token_id, by_length and row.length)
        shared.setdefault(common if can else (row.pane,), []).append(row)
    for members in shared.values():
        if len(members) == 1 and (together is None or not _quicker_by_parts(members[0].answerer)):
            groups.append(([members[0].pane], lambda turns, row=members[0]: generate(row, request, turns, tell)))
        else:
            groups.append(([row.pane for row in members],
                           lambda turns, rows=members: generate_together(together(), rows, request, turns, tell)))
    return groups


def _quicker_by_parts(answerer: Answerer) -> bool:
    """Whether a LoRA adapter by itself is a row too. PEFT's way through its layers takes longer; in 16 bits it rounds otherwise."""
    return bool(answerer.parts) and answerer.model.dtype == torch.float32


def _row(pane: Pane, answerer: Answerer, request: GenerateRequest) -> Row:
    with template_time():
        inputs, stops = encode_prompt(answerer, request, pane), stops_of(answerer, request)
    room = request.settings.max_new_tokens
    if answerer.context_length:
        room = min(room, answerer.context_length - inputs["input_ids"].shape[1])
    return Row(pane.name, answerer, inputs, stops, room)


class Ended(Exception):
    """Somebody asked to stop, or a limit is reached; the argument is the finish reason."""


class Turns:
    """One group computes at a time; the turn goes round, and each finds the random numbers as it left them.

    A group goes by the name of its first pane.
    """

    def __init__(self, groups: list[str], limits: Limits, cores: Cores | None = None):
        self.limits, self.cores = limits, cores
        self._order = list(groups)
        self._moved = threading.Condition()

    def wait(self, group: str) -> None:
        """Wait for the first turn."""
        with self._moved:
            self._moved.wait_for(lambda: self._order[0] == group)

    def pass_on(self, group: str, device: torch.device) -> None:
        """Let every other group have a turn, and wait for the next one."""
        self.check()
        if len(self._order) == 1:
            return
        numbers = random_state(device)
        with self._moved:
            self._order.append(self._order.pop(0))
            self._moved.notify_all()
            self._moved.wait_for(lambda: self._order[0] == group)
        restore_random_state(device, numbers)
        self.check()

    def leave(self, group: str) -> None:
        with self._moved:
            self._order.remove(group)
            self._moved.notify_all()

    def check(self, pane: str | None = None) -> None:
        """Raise Ended where all must end; with a pane, also where that one must."""
        if reason := self.limits.reached(pane):
            raise Ended(reason)


def random_state(device: torch.device) -> tuple:
    """Where torch's random numbers stand, on the CPU and on the device."""
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def restore_random_state(device: torch.device, state: tuple) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)


def _run(work, group: list[str], answerers: dict[str, Answerer], request: GenerateRequest, turns: Turns,
         tell: Tell) -> None:
    """Answer for a group, and see that each of its panes gets its one end."""
    turns.wait(group[0])
    ends = {}
    try:
        for name in group:
            answer_as(answerers[name], request.settings.task)
        ends = work(turns)
    except Exception as error:  # one group's problem must not take the others' answers
        ends = dict.fromkeys(group, {"problem": sentence_for(error, str(answerers[group[0]].device))})
    finally:
        turns.leave(group[0])
    for name, event in ends.items():
        tell({"pane": name, **event})


def answer_as(answerer: Answerer, task: int) -> None:
    """Have an adapter of several tasks answer as one of them; raises PromptUnusable where it has no such task."""
    if answerer.tasks and task >= answerer.tasks:
        known = "only task 0" if answerer.tasks == 1 else f"the tasks 0 to {answerer.tasks - 1}"
        raise PromptUnusable(f"This adapter learned {known}, and the settings ask for task {task}. Choose another one.")
    if answerer.tasks:
        answerer.model.usual_task = task


def sentence_for(error: Exception, device: str) -> str:
    """What a pane shows in place of an answer; the traceback of what was not foreseen goes to the log."""
    if isinstance(error, torch.OutOfMemoryError):
        error = DeviceFull(device)
    if isinstance(error, StudioError):
        return str(error)
    traceback.print_exception(error)
    return f"This answer failed unexpectedly ({type(error).__name__}: {error}). The playground's log has the details."


class Writing:
    """What a pane has written: its tokens, sent as text in pieces of complete characters, and how long they took."""

    def __init__(self, name: str, tokenizer, tell: Tell):
        self.name, self.tokenizer, self.tell = name, tokenizer, tell
        self.tokens: list[int] = []
        self.seconds, self.seconds_to_first_token = 0.0, None
        self._sent, self._due = "", 0.0  # when the next piece is, in seconds
        self._start = self._read = 0  # tokens[start:read] is sent already and gives the next token its context
        self._context = ""  # the text of these

    def add(self, token: int, seconds: float) -> None:
        """One more token, which came that long after the one before."""
        self.tokens.append(token)
        self.seconds += seconds
        if self.seconds_to_first_token is None:
            self.seconds_to_first_token = self.seconds
        if self.seconds < self._due:
            return
        now = self.decode(self.tokens[self._start:])
        if len(now) > len(self._context) and not now.endswith("\ufffd"):  # else the character is not complete yet
            self._send(now[len(self._context):])
            self._due = self.seconds + TOLD_EVERY
            if len(self.tokens) - self._start > CONTEXT:
                self._start, now = self._read, self.decode(self.tokens[self._read:])
            self._read, self._context = len(self.tokens), now

    def end(self, reason: str, row: Row, request: GenerateRequest, limits: Limits, together: int = 1) -> dict:
        """The final event, once what was held back of the text is sent."""
        text = self.decode(self.tokens)
        if text.startswith(self._sent) and text != self._sent:
            self._send(text[len(self._sent):])
        return {"done": True, "text": text, "tokens": len(self.tokens), "seconds": self.seconds,
                "seconds_to_first_token": self.seconds_to_first_token,
                "tokens_per_second": len(self.tokens) / self.seconds if self.seconds else None, "finish_reason": reason,
                "why": limits.why(reason, row.room, request.settings), "together": together, "ids": self.tokens}

    def _send(self, text: str) -> None:
        self._sent += text
        self.tell({"pane": self.name, "text": text})

    def decode(self, tokens: list[int]) -> str:
        return self.tokenizer.decode(tokens, skip_special_tokens=True)


class PaneStreamer(BaseStreamer):
    """Gets each token of one pane from generate, has its text sent, and passes the turn on."""

    def __init__(self, writing: Writing, device: torch.device, turns: Turns):
        self.writing, self.device, self.turns = writing, device, turns
        self._began = time.monotonic()
        self._sees_prompt = True

    def put(self, value: torch.Tensor) -> None:
        if self._sees_prompt:  # generate hands over the prompt first
            self._sees_prompt = False
            return
        now = time.monotonic()
        for token in value.flatten().tolist():
            self.writing.add(token, now - self._began)
        self.turns.check(self.writing.name)
        self.turns.pass_on(self.writing.name, self.device)
        self._began = time.monotonic()

    def end(self) -> None:
        """Required of a streamer; Writing.end does it, also where generate was ended early."""


def generate(row: Row, request: GenerateRequest, turns: Turns, tell: Tell) -> dict[str, dict]:
    """The final event of a pane that generates text by itself."""
    answerer = row.answerer
    writing = Writing(row.pane, answerer.tokenizer, tell)
    torch.manual_seed(request.settings.seed)
    if answerer.routing:
        answerer.routing.clear()
    try:
        turns.check(row.pane)
        answerer.model.generate(**row.inputs, **generate_arguments(request.settings) | {"max_new_tokens": row.room},
                                pad_token_id=answerer.tokenizer.pad_token_id, eos_token_id=row.stops or None,
                                streamer=PaneStreamer(writing, answerer.device, turns), **roomy_cache(answerer.model))
        reason = end_of(writing.tokens, row) or "stop"
    except Ended as end:
        reason = str(end)
    routed = {"routed": answerer.routing.shares()} if answerer.routing else {}
    return {row.pane: {**writing.end(reason, row, request, turns.limits), **routed}}


def end_of(tokens: list[int], row: Row) -> str | None:
    """Why an answer with these tokens ends by itself; None where it does not."""
    return "stop" if tokens and tokens[-1] in row.stops else LENGTH if len(tokens) >= row.room else None


class BatchStreamer(BaseStreamer, StoppingCriteria):
    """Gets each token of all rows from generate, has their texts sent, ends each row by itself, and passes the turn on."""

    def __init__(self, rows: list[Row], request: GenerateRequest, turns: Turns, tell: Tell):
        self.rows, self.request, self.turns, self.tell = rows, request, turns, tell
        self.writings = [Writing(row.pane, row.answerer.tokenizer, tell) for row in rows]
        self.over = [False] * len(rows)
        self._ends: tuple = None, None  # which were last said to end, and as a tensor
        self.device, self.longest = rows[0].answerer.device, max(row.length for row in rows)
        turns.cores.begin()
        self._sees_prompt = True

    def __call__(self, input_ids: torch.LongTensor, scores, **kwargs) -> torch.BoolTensor:
        """Which rows end with the newest token; generate may ask before it hands that token over, or after."""
        made = input_ids.shape[1] - self.longest
        ends = [over or token in row.stops or made >= row.room
                for over, token, row in zip(self.over, input_ids[:, -1].tolist(), self.rows, strict=True)]
        if ends != self._ends[0]:
            self._ends = ends, torch.tensor(ends, device=input_ids.device)
        return self._ends[1]

    def put(self, value: torch.Tensor) -> None:
        if self._sees_prompt:
            self._sees_prompt = False
            return
        seconds = self.turns.cores.end()
        for number, token in enumerate(value.flatten().tolist()):
            if self.over[number]:
                continue
            self.writings[number].add(token, seconds)
            row = self.rows[number]
            reason = end_of(self.writings[number].tokens, row) or self.turns.limits.stopped(row.pane)
            if reason:
                self._end(number, reason)
        if not all(self.over):
            self.turns.pass_on(self.rows[0].pane, self.device)
        self.turns.cores.begin()

    def end(self) -> None:
        """Required of a streamer; finish does it, also where generate was ended early."""

    def finish(self, reason: str) -> None:
        """End every row that has not ended."""
        for number, over in enumerate(self.over):
            if not over:
                self._end(number, reason)

    def _end(self, number: int, reason: str) -> None:
        self.over[number] = True
        event = self.writings[number].end(reason, self.rows[number], self.request, self.turns.limits, len(self.rows))
        self.tell({"pane": self.rows[number].pane, **event})


def generate_together(model, rows: list[Row], request: GenerateRequest, turns: Turns, tell: Tell) -> dict[str, dict]:
    """Answer for several panes in one batch; each gets its final event as soon as it ends. Returns those that are still to be told.

    `model` is the base model, on which each row gets its own adapter's parts.
    """
    streamer = BatchStreamer(rows, request, turns, tell)
    pad = rows[0].answerer.tokenizer.pad_token_id or 0
    inputs = {name: torch.cat([pad_left(row.inputs[name], (streamer.longest - row.length, 0), value=value) for row in rows])
              for name, value in (("input_ids", pad), ("attention_mask", 0))}
    arguments = generate_arguments(request.settings)
    draws = [EachRowDraws(model, arguments, request.settings.seed, len(rows), streamer.device)] if arguments["do_sample"] else []
    try:
        turns.check()
        with each_row_its_own(model, [row.answerer.parts for row in rows]):
            model.generate(**inputs, do_sample=False, max_new_tokens=max(row.room for row in rows), pad_token_id=pad,
                           eos_token_id=rows[0].stops or None, logits_processor=draws,
                           stopping_criteria=StoppingCriteriaList([streamer]), streamer=streamer, **roomy_cache(model))
    except Ended as end:
        streamer.finish(str(end))
    except Exception as error:
        problem = {"problem": sentence_for(error, str(streamer.device))}
        return {row.pane: problem for row, over in zip(rows, streamer.over, strict=True) if not over}
    streamer.finish(CANCELLED)
    return {}


def generate_arguments(settings: GenerationSettings) -> dict:
    """The arguments of transformers' generate. What they leave out is as the model's own generation config has it."""
    if settings.temperature == 0:
        return {"max_new_tokens": settings.max_new_tokens, "do_sample": False}
    return {"max_new_tokens": settings.max_new_tokens, "do_sample": True, "temperature": settings.temperature,
            "top_p": settings.top_p}


def encode_prompt(answerer: Answerer, request: GenerateRequest, pane: Pane | None = None) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask`, one row, on the device; raises PromptTooLong or PromptUnusable."""
    tokenizer, messages = answerer.tokenizer, request.conversation(pane)
    if request.settings.raw or (tokenizer.chat_template is None and len(messages) == 1):
        encoded = tokenizer(messages[-1]["content"], return_tensors="pt", return_token_type_ids=False)
    else:
        text = render(tokenizer, messages)
        encoded = tokenizer(text, add_special_tokens=False, return_tensors="pt", return_token_type_ids=False)
    return answerer.fit(encoded)


def stops_of(answerer: Answerer, request: GenerateRequest) -> list[int]:
    """The tokens that end an answer: the model's own, and in a conversation what its chat template puts after an answer."""
    known, tokenizer = answerer.model.generation_config.eos_token_id, answerer.tokenizer
    if request.settings.raw or tokenizer.chat_template is None:
        return [known] if isinstance(known, int) else list(known or [])
    return Renderer(tokenizer).stops(known)


def render(tokenizer, messages: list[dict[str, str]]) -> str:
    """The conversation through the model's chat template (a plain one where it has none), up to where the answer begins."""
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True,
                                             chat_template=tokenizer.chat_template or PLAIN_CHAT_TEMPLATE)
    except jinja2.TemplateError as error:
        raise PromptUnusable(f"This model's chat template refuses the conversation: {str(error).rstrip('.')}. "
                             "Leave out the system prompt, or send the prompt as it is.") from error
