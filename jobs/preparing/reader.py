"""The process that renders rows for the page: it has the tokenizers, which the web process never imports.

`python -m jobs.preparing.reader` reads a JSON line and answers with one, again and again. It ends when nobody has asked for ten
minutes, when its input is closed, or when its parent is gone; a row that takes too long ends it from outside.
"""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from pathlib import Path

from jobs.preparing.rendered import Rendered, read_rendered
from storage.problems import StudioError
from storage.settings import REPOSITORY, StudioSettings

ANSWER_SECONDS = 20
START_SECONDS = 120  # imports on a busy machine
IDLE_SECONDS = 600
PARENT_SECONDS = 1  # how often the parent is looked for
MEMORY = 4 * 1024**3  # bytes of address space beyond what is taken once everything is imported
LOW_PRIORITY = 10


class RowTooSlow(StudioError):
    """A row, or a template, that is never done."""

    def __init__(self, seconds: float):
        super().__init__(f"This row was not ready after {seconds:g} s, so it was given up. If you changed the chat template, look "
                         "for a loop that never ends; else the row is too long to show.")


class ReaderLost(StudioError):
    """The reader process ended in the middle of an answer."""

    def __init__(self):
        super().__init__("The process that renders rows ended, perhaps for lack of memory. Look at another row, or at the server's "
                         "logs/reader.log.")


class RowNotRendered(StudioError):
    """A row that the template or the tokenizer does not take; the reader says why."""


class Reader:
    """Asks the reader process, and starts it where there is none. One question at a time."""

    def __init__(self, settings: StudioSettings, answer_seconds: float = ANSWER_SECONDS, idle_seconds: float = IDLE_SECONDS):
        self.settings = settings
        self.answer_seconds, self.idle_seconds = answer_seconds, idle_seconds
        self.process: subprocess.Popen | None = None
        self._lock = threading.Lock()

    def render(self, base: Path, imported: Path, index: int, format: str, limit: int, template: str = "") -> Rendered:
        """The example of that number in a folder of imported data, as the base model in the folder `base` gets it.

        Raises RowNotRendered, RowTooSlow or ReaderLost.
        """
        answer = self._ask({"base": str(base), "imported": str(imported), "index": index, "format": format, "limit": limit,
                            "template": template})
        if "problem" in answer:
            raise RowNotRendered(answer["problem"])
        return read_rendered(answer)

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._end()

    def _ask(self, question: dict) -> dict:
        line = json.dumps(question).encode() + b"\n"
        with self._lock:
            if self.process is None or self.process.poll() is not None:
                self._start()
            try:
                self.process.stdin.write(line)
            except BrokenPipeError:  # it had nothing to do for long, and ends just now
                self._start()
                self.process.stdin.write(line)
            answer = self._receive(self.answer_seconds)
            if answer is None:
                self._end()
                raise RowTooSlow(self.answer_seconds)
            return answer

    def _start(self) -> None:
        self._end()
        self.settings.make_folders()
        with (self.settings.logs_dir / "reader.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jobs.preparing.reader", str(os.getpid()), f"{self.idle_seconds:g}"], cwd=REPOSITORY,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0, start_new_session=True,
                env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"})
        if self._receive(START_SECONDS) is None:  # it says when it is ready
            self._end()
            raise ReaderLost

    def _receive(self, seconds: float) -> dict | None:
        """The next line that the process writes; None where none comes in time."""
        deadline = time.monotonic() + seconds
        answer = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not answer.endswith(b"\n"):
                if not selector.select(max(0, deadline - time.monotonic())):
                    return None
                block = os.read(self.process.stdout.fileno(), 1 << 20)
                if not block:
                    self._end()
                    raise ReaderLost
                answer += block
        return json.loads(answer)

    def _end(self) -> None:
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process = None


# ---- inside the process


def main() -> None:
    """Answer on standard output what is asked on standard input."""
    parent, idle_seconds = int(sys.argv[1]), float(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints goes to the log, not between the answers
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    with contextlib.suppress(OSError):
        os.nice(LOW_PRIORITY)

    sys.modules["torch"] = None  # transformers does without it; its import is most of the start, and 200 MB
    from jobs.preparing.rendering import Answering  # here: it takes transformers along

    answering = Answering()
    _limit_memory()
    _write(answers, {"ready": True})
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        while selector.select(idle_seconds):
            line = sys.stdin.readline()
            if not line:
                return
            _write(answers, answering.answer(json.loads(line)))


def _write(stream, answer: dict) -> None:
    stream.write(json.dumps(answer) + "\n")
    stream.flush()


def _limit_memory() -> None:
    """So that a template which writes without end fails by itself, and not the machine."""
    import resource

    with contextlib.suppress(OSError, ValueError):  # no /proc, or a lower limit from outside
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, most))


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    main()
