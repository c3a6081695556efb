"""What ends an answer before its own end: somebody who asks, the time, the memory."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from jobs.playground.problems import PromptUnusable
from jobs.playground.request import GenerationSettings
from jobs.units import size

CANCELLED, LENGTH, TIME, MEMORY = "cancelled", "length", "time", "memory"  # finish reasons, beside "stop"
TEMPLATE_SECONDS = 10
TEMPLATE_FILE = "<template>"  # where Python thinks that Jinja's compiled templates are from


class Stop:
    """Who shall end: all panes, or some by their name. Set from any thread."""

    def __init__(self):
        self._all = threading.Event()
        self._panes: set[str] = set()

    def set(self, pane: str | None = None) -> None:
        """Without a pane: all of them."""
        if pane is None:
            self._all.set()
        else:
            self._panes.add(pane)

    def is_set(self, pane: str | None = None) -> bool:
        """Whether all shall end; with a pane, whether that one shall."""
        return self._all.is_set() or pane in self._panes


@contextmanager
def template_time(seconds: float = TEMPLATE_SECONDS) -> Iterator[None]:
    """Within it, a chat template that takes longer than that in this thread is ended with PromptUnusable.

    Such a template is a program of somebody else's, and may never come to an end; each of its lines is looked at.
    """
    deadline = time.monotonic() + seconds

    def look(frame, event, argument):
        if frame.f_code.co_filename != TEMPLATE_FILE:
            return None
        if time.monotonic() > deadline:
            raise PromptUnusable(f"This model's chat template was not done after {seconds:g} s, and was ended. Send the prompt as "
                                 "it is, or choose another template for the base model.")
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        yield
    finally:
        sys.settrace(before)


class Limits:
    """How far the answers of one request may go."""

    def __init__(self, stop: Stop, seconds: float, memory: int = 0):
        self.stop, self.memory = stop, memory
        self._deadline = time.monotonic() + seconds
        self._process = psutil.Process()

    def reached(self, pane: str | None = None) -> str:
        """The finish reason where answers must end now; with a pane, also where only that one must."""
        if self.stop.is_set(pane):
            return CANCELLED
        if time.monotonic() > self._deadline:
            return TIME
        if self.memory and self._process.memory_info().rss > self.memory:
            return MEMORY
        return ""

    def stopped(self, pane: str) -> str:
        """The finish reason where somebody has asked this pane to end."""
        return CANCELLED if self.stop.is_set(pane) else ""

    def why(self, reason: str, room: int, settings: GenerationSettings) -> str:
        """A sentence for an answer that a limit has ended; empty for one that ended by itself or was asked to."""
        match reason:
            case "length" if room < settings.max_new_tokens:
                return f"Ended after {tokens(room)}: no more fit into what this model can read at once."
            case "length":
                return f"Ended after {tokens(room)}, the longest answer that the settings allow."
            case "time":
                return f"Ended after the {settings.max_seconds} s that the settings allow all answers together."
            case "memory":
                return (f"Ended because the playground took more than the {size(self.memory)} that STUDIO_MEMORY_LIMIT allows. "
                        "Take away some adapters, or shorten the prompt.")
        return ""


def tokens(number: int) -> str:
    return "1 token" if number == 1 else f"{number:,} tokens"
