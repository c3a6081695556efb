"""The forecaster: a process of its own that has torch imported, so that the page and the worker need not.

It answers one question after the other, and ends with the process that asks, or when nobody has asked for a while; answers are kept
by what was asked.
"""

import hashlib
import json
import logging
import multiprocessing
import os
import signal
import threading
import traceback
from pathlib import Path

from jobs.devices import DeviceFacts
from jobs.forecast.result import Forecast, Known
from jobs.recipe import Recipe
from storage.problems import StudioError, TrainingStopped

log = logging.getLogger("studio.forecast")

PATIENCE = 300  # seconds for an answer: on a busy machine some seconds' work takes minutes
IDLE = 600      # seconds without a question, after which the process gives its memory back
NICENESS = 2    # pages go first, and training, which nobody waits for at the page, after it
KEPT = 500      # answers


class Forecaster:
    """Asks a process for forecasts, one at a time; it is started with the first, which takes some seconds."""

    def __init__(self, idle: float = IDLE):
        self._lock, self._known, self._idle = threading.Lock(), {}, idle
        self._process = self._line = None

    @property
    def has_answers(self) -> bool:
        return bool(self._known)

    def at_hand(self, *question) -> Forecast | None:
        """What `ask` would say, where it was asked that before."""
        return self._known.get(_key(_sent(*question)))

    def ask(self, recipe: Recipe, folder: Path, device: DeviceFacts, known: Known = Known(), correction: float = 1.0) -> Forecast:
        """The forecast, without suggestions; raises TrainingStopped where the method does not go with the base model."""
        question = _sent(recipe, folder, device, known, correction)
        key = _key(question)
        if key in self._known:
            return self._known[key]
        with self._lock:
            if key in self._known:  # somebody else has asked it meanwhile
                return self._known[key]
            record, problem, unforeseen = self._answer(question)
        if unforeseen:
            log.warning("A forecast failed:\n%s", unforeseen)
        if problem:
            raise TrainingStopped(problem)
        if len(self._known) >= KEPT:
            self._known.pop(next(iter(self._known)))
        self._known[key] = Forecast.from_record(record)
        return self._known[key]

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._line.close()
        self._process = self._line = None

    def _answer(self, question: tuple) -> tuple[dict | None, str, str]:
        for _ in range(2):  # the process may have ended just now, for want of questions
            try:
                line = self._running()
                line.send(question)
                if line.poll(PATIENCE):
                    return line.recv()
            except (EOFError, BrokenPipeError, ConnectionResetError):
                self.close()
                continue
            self.close()
            return None, f"The forecast took more than {PATIENCE} seconds and was ended. Try it again.", ""
        return None, "The process that forecasts has ended. Try again; where that does not help, memory is short here.", ""

    def _running(self):
        if self._process is None or not self._process.is_alive():
            self.close()
            context = multiprocessing.get_context("spawn")
            line, theirs = context.Pipe()
            process = context.Process(target=_answer_all, args=(theirs, self._idle), name="forecaster", daemon=True)
            process.start()
            theirs.close()
            self._process, self._line = process, line
        return self._line


def _sent(recipe: Recipe, folder: Path, device: DeviceFacts, known: Known = Known(), correction: float = 1.0) -> tuple:
    """A question as it goes to the process."""
    return recipe.model_dump(mode="json"), str(folder), device.record(), vars(known), correction


def _key(question: tuple) -> str:
    config = (Path(question[1]) / "config.json").read_bytes()
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode() + config).hexdigest()


def _answer_all(line, idle: float) -> None:
    """The forecaster's whole life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    os.nice(NICENESS)
    import warnings

    from jobs.forecast.forecast import forecast
    from jobs.forecast.learnt import corrected

    warnings.simplefilter("ignore")
    while line.poll(idle):
        try:
            recipe, folder, device, known, correction = line.recv()
        except EOFError:
            return
        try:
            found = forecast(Recipe.model_validate(recipe), Path(folder), DeviceFacts(**device), Known(**known))
            answer = corrected(found, correction).record(), "", ""
        except StudioError as problem:
            answer = None, str(problem), ""
        except Exception as error:  # of models and methods without number, some are traced as nobody thought of
            answer = None, f"This could not be forecast: {error or type(error).__name__}", traceback.format_exc()
        try:
            line.send(answer)
        except BrokenPipeError:  # who asked has gone
            return
