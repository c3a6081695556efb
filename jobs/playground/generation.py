"""Several panes answer together: transformers' own generate for each, in turns of one token."""

import queue
import threading
import time
import traceback
from collections.abc import Iterator

import jinja2
import torch
from transformers.generation.streamers import BaseStreamer

from jobs.playground.models import Answerer
from jobs.playground.problems import DeviceFull, PromptTooLong, PromptUnusable
from jobs.playground.request import GenerateRequest, GenerationSettings
from jobs.training.base import PLAIN_CHAT_TEMPLATE
from storage.problems import StudioError

TOP_LABELS = 5


def stream_side_by_side(answerers: dict[str, Answerer], request: GenerateRequest,
                        stop: threading.Event) -> Iterator[dict]:
    """Events of all panes as they come: {pane, text}, then {pane, done, …} or {pane, problem}, once for each pane.

    Every pane gets what plain generate gives alone after torch.manual_seed(seed). `seconds` count a pane's own turns only.
    Setting `stop`, or closing the iterator, ends all panes within one token.
    """
    answer = generate if request.task == "text-generation" else classify
    events: queue.SimpleQueue[dict] = queue.SimpleQueue()
    turns = Turns(list(answerers), stop, time.monotonic() + request.settings.max_seconds)
    threads = [threading.Thread(target=_run_pane, args=(answer, name, answerer, request, turns, events), name=f"pane {name}")
               for name, answerer in answerers.items()]
    for thread in threads:
        thread.start()
    try:
        unfinished = len(threads)
        while unfinished:
            event = events.get()
            unfinished -= "done" in event or "problem" in event
            yield event
    finally:
        stop.set()
        for thread in threads:
            thread.join()


class Ended(Exception):
    """Somebody asked to stop, or the time is up; the argument is the finish reason."""


class Turns:
    """One pane computes at a time; the turn goes round, and each pane finds the random numbers as it left them."""

    def __init__(self, panes: list[str], stop: threading.Event, deadline: float):
        self._order = list(panes)
        self._moved = threading.Condition()
        self._stop, self._deadline = stop, deadline

    def wait(self, pane: str) -> None:
        """Wait for the first turn."""
        with self._moved:
            self._moved.wait_for(lambda: self._order[0] == pane)

    def pass_on(self, pane: str, device: torch.device) -> None:
        """Let every other pane have a turn, and wait for the next one."""
        self.check()
        numbers = random_state(device)
        with self._moved:
            self._order.append(self._order.pop(0))
            self._moved.notify_all()
            self._moved.wait_for(lambda: self._order[0] == pane)
        restore_random_state(device, numbers)
        self.check()

    def leave(self, pane: str) -> None:
        with self._moved:
            self._order.remove(pane)
            self._moved.notify_all()

    def check(self) -> None:
        """Raise Ended where nobody wants more."""
        if self._stop.is_set():
            raise Ended("cancelled")
        if time.monotonic() > self._deadline:
            raise Ended("time")


def random_state(device: torch.device) -> tuple:
    """Where torch's random numbers stand, on the CPU and on the device."""
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def restore_random_state(device: torch.device, state: tuple) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)


def _run_pane(answer, name: str, answerer: Answerer, request: GenerateRequest, turns: Turns,
              events: queue.SimpleQueue) -> None:
    turns.wait(name)
    try:
        event = answer(name, answerer, request, turns, events)
    except Exception as error:  # one pane's problem must not take the others' answers
        event = {"problem": sentence_for(error, str(answerer.device))}
    finally:
        turns.leave(name)
    events.put({"pane": name, **event})


def sentence_for(error: Exception, device: str) -> str:
    """What a pane shows in place of an answer; the traceback of what was not foreseen goes to the log."""
    if isinstance(error, torch.OutOfMemoryError):
        error = DeviceFull(device)
    if isinstance(error, StudioError):
        return str(error)
    traceback.print_exception(error)
    return f"This answer failed unexpectedly ({type(error).__name__}: {error}). The playground's log has the details."


class PaneStreamer(BaseStreamer):
    """Gets each token from generate, sends its text, and passes the turn on."""

    def __init__(self, name: str, answerer: Answerer, turns: Turns, events: queue.SimpleQueue):
        self.name, self.answerer, self.turns, self.events = name, answerer, turns, events
        self.tokens: list[int] = []
        self.seconds, self.seconds_to_first_token = 0.0, None
        self._began = time.monotonic()
        self._sees_prompt = True
        self._sent = ""
        self._start = self._read = 0  # tokens[start:read] is sent already and gives the next token its context

    def put(self, value: torch.Tensor) -> None:
        if self._sees_prompt:  # generate hands over the prompt first
            self._sees_prompt = False
            return
        self.tokens.extend(value.flatten().tolist())
        self._send_text()
        self.pause_clock()
        if self.seconds_to_first_token is None:
            self.seconds_to_first_token = self.seconds
        try:
            self.turns.pass_on(self.name, self.answerer.device)
        finally:
            self._began = time.monotonic()

    def end(self) -> None:
        """Required of a streamer; finish does it, also where generate was ended early."""

    def finish(self) -> str:
        """The whole text, once what was held back of it is sent."""
        self.pause_clock()
        text = self.decode(self.tokens)
        if text.startswith(self._sent) and text != self._sent:
            self._send(text[len(self._sent):])
        return text

    def pause_clock(self) -> None:
        self.seconds += time.monotonic() - self._began
        self._began = time.monotonic()

    def _send_text(self) -> None:
        before = self.decode(self.tokens[self._start:self._read])
        now = self.decode(self.tokens[self._start:])
        if len(now) > len(before) and not now.endswith("\ufffd"):  # else the character is not complete yet
            self._start, self._read = self._read, len(self.tokens)
            self._send(now[len(before):])

    def _send(self, text: str) -> None:
        self._sent += text
        self.events.put({"pane": self.name, "text": text})

    def decode(self, tokens: list[int]) -> str:
        return self.answerer.tokenizer.decode(tokens, skip_special_tokens=True)


def generate(name: str, answerer: Answerer, request: GenerateRequest, turns: Turns, events: queue.SimpleQueue) -> dict:
    """The final event of a pane that generates text."""
    model, tokenizer = answerer.model, answerer.tokenizer
    streamer = PaneStreamer(name, answerer, turns, events)
    inputs = encode_prompt(answerer, request)
    room = request.settings.max_new_tokens
    if answerer.context_length:
        room = min(room, answerer.context_length - inputs["input_ids"].shape[1])
    torch.manual_seed(request.settings.seed)
    try:
        turns.check()
        model.generate(**inputs, **generate_arguments(request.settings) | {"max_new_tokens": room},
                       pad_token_id=tokenizer.pad_token_id, streamer=streamer)
        ends = model.generation_config.eos_token_id
        ended = streamer.tokens[-1:] and streamer.tokens[-1] in (ends if isinstance(ends, list) else [ends])
        reason = "length" if len(streamer.tokens) == room and not ended else "stop"
    except Ended as end:
        reason = str(end)
    return {"done": True, "text": streamer.finish(), "tokens": len(streamer.tokens),
            "seconds": streamer.seconds, "seconds_to_first_token": streamer.seconds_to_first_token, "finish_reason": reason}


def generate_arguments(settings: GenerationSettings) -> dict:
    """The arguments of transformers' generate. What they leave out is as the model's own generation config has it."""
    if settings.temperature == 0:
        return {"max_new_tokens": settings.max_new_tokens, "do_sample": False}
    return {"max_new_tokens": settings.max_new_tokens, "do_sample": True, "temperature": settings.temperature,
            "top_p": settings.top_p}


def encode_prompt(answerer: Answerer, request: GenerateRequest) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask`, one row, on the device; raises PromptTooLong or PromptUnusable."""
    tokenizer, messages = answerer.tokenizer, request.conversation()
    if request.settings.raw or (tokenizer.chat_template is None and len(messages) == 1):
        encoded = tokenizer(messages[-1]["content"], return_tensors="pt", return_token_type_ids=False)
    else:
        text = render(tokenizer, messages)
        encoded = tokenizer(text, add_special_tokens=False, return_tensors="pt", return_token_type_ids=False)
    return _fit(encoded, answerer)


def render(tokenizer, messages: list[dict[str, str]]) -> str:
    """The conversation through the model's chat template (a plain one where it has none), up to where the answer begins."""
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True,
                                             chat_template=tokenizer.chat_template or PLAIN_CHAT_TEMPLATE)
    except jinja2.TemplateError as error:
        raise PromptUnusable(f"This model's chat template refuses the conversation: {str(error).rstrip('.')}. "
                             "Leave out the system prompt, or send the prompt as it is.") from error


def _fit(encoded, answerer: Answerer) -> dict[str, torch.Tensor]:
    length = encoded["input_ids"].shape[1]
    if not length:
        raise PromptUnusable("This model's tokenizer makes no tokens of the prompt. Write some words.")
    if answerer.context_length and length >= answerer.context_length:
        raise PromptTooLong(length, answerer.context_length)
    return {name: tensor.to(answerer.device) for name, tensor in encoded.items()}


@torch.inference_mode()
def classify(name: str, answerer: Answerer, request: GenerateRequest, turns: Turns, events: queue.SimpleQueue) -> dict:
    """The final event of a pane that chooses labels: also `labels`, the likeliest with their probabilities."""
    began = time.monotonic()
    if answerer.labels is None:
        return {"done": True, "text": "The base model has no labels of its own: its head is untrained. "
                                      "An adapter brings both.",
                "tokens": 0, "seconds": 0.0, "seconds_to_first_token": None, "finish_reason": "stop", "labels": []}
    text = request.conversation()[-1]["content"]
    encoded = _fit(answerer.tokenizer(text, return_tensors="pt", return_token_type_ids=False), answerer)
    probabilities = torch.softmax(answerer.model(**encoded).logits[0].float(), dim=-1)
    best = probabilities.topk(min(TOP_LABELS, len(answerer.labels)))
    labels = [{"label": answerer.labels[index], "probability": probability}
              for probability, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)]
    answer = "\n".join(f"{found['label']} ({found['probability']:.1%})" for found in labels)
    events.put({"pane": name, "text": answer})
    seconds = time.monotonic() - began
    return {"done": True, "text": answer, "tokens": encoded["input_ids"].shape[1], "seconds": seconds,
            "seconds_to_first_token": seconds, "finish_reason": "stop", "labels": labels}
