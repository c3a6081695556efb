"""Speaks to the playground's process over its socket."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from jobs.playground.problems import PlaygroundLost, PlaygroundMissing, RequestInvalid
from jobs.playground.request import BaseChoice, BlendRequest, ChangesRequest, GenerateRequest, LoadRequest, MergeRequest
from jobs.processes import ProcessMark, is_alive

START_SECONDS = 5  # a worker that is just starting gets this long until it listens
SILENCE_SECONDS = 180  # a process that answers says so once a second; one that is only being started may take longer
WRITING_SECONDS = 3600  # that a whole model may take to be written
POLL_SECONDS = 0.1


def process_file(socket: Path) -> Path:
    """Where the worker keeps which process answers on a socket, while one does."""
    return Path(f"{socket}.process")


class PlaygroundClient:
    """The playground as pages and commands see it. Safe to share between threads: every call connects anew."""

    def __init__(self, socket: Path, start_seconds: float = START_SECONDS):
        self.socket = socket
        self.start_seconds = start_seconds

    def runs(self) -> bool:
        """Whether the process runs now. Any other question would start it."""
        try:
            return is_alive(ProcessMark(**json.loads(process_file(self.socket).read_text())))
        except FileNotFoundError:
            return False

    def state(self) -> dict:
        """What is in memory: `ready`, `base` (or None), `adapters`, `memory_bytes`, `waiting`; raises PlaygroundMissing."""
        with self._open("GET", "/state") as response:
            return json.loads(response.read())

    def load(self, base: BaseChoice, adapter_folders: Sequence[Path] = ()) -> None:
        """Load a base model, and adapters on it, ahead of the first prompt; returns at once."""
        wanted = LoadRequest(**base.model_dump(include=set(BaseChoice.model_fields)), adapter_folders=adapter_folders)
        with self._open("POST", "/load", wanted.model_dump(mode="json")):
            pass

    def generate(self, request: GenerateRequest) -> Iterator[dict]:
        """The events of all panes as they come; closing the generator stops the generation.

        Each event has `pane` and one of: `text` (the next piece); `done` with the whole `text`, `tokens`, `seconds`,
        `seconds_to_first_token`, `tokens_per_second`, `finish_reason` (stop, length, time, memory or cancelled), `why` (a sentence
        where a limit ended it) and `together` (how many panes shared its batch), and of a model that reads what its answer is made
        of (see jobs.playground.reading.read); `problem` (a sentence; this pane has ended). While nothing comes,
        {"waiting": True, "for": "turn", "model" (it is being loaded) or "answer"} is sent once a second.
        Raises PlaygroundMissing or PlaygroundLost.
        """
        unfinished = {pane.name for pane in request.panes}
        with self._open("POST", "/generate", request.model_dump(mode="json")) as response:
            try:
                for line in response.iter_lines():
                    event = json.loads(line)
                    if "done" in event or "problem" in event:
                        unfinished.discard(event["pane"])
                    yield event
            except httpx.TransportError as error:
                raise PlaygroundLost from error
        if unfinished:
            raise PlaygroundLost

    def stop(self, request_id: str, pane: str | None = None) -> None:
        """End one pane of a request that is being answered, or all of them, with what they have written; returns at once."""
        with self._open("POST", "/stop", {"id": request_id, "pane": pane}):
            pass

    def changes(self, request: ChangesRequest) -> list[dict]:
        """What an adapter changes in a text, token by token, as jobs/playground/changes.py tells; raises RequestInvalid."""
        return self._ask("/changes", request)

    def change_map(self, request: ChangesRequest) -> dict:
        """How large the change of an adapter is, by layers and modules; the request's text is the probe."""
        return self._ask("/change_map", request)

    def save_blend(self, request: BlendRequest) -> Path:
        """Write a blend as a new PEFT folder."""
        return Path(self._ask("/save_blend", request)["folder"])

    def merge(self, request: MergeRequest) -> Path:
        """Write the base model with an adapter or a blend in its weights."""
        return Path(self._ask("/merge", request, WRITING_SECONDS)["folder"])

    def _ask(self, path: str, request: BaseChoice, silence: float = SILENCE_SECONDS):
        with self._open("POST", path, request.model_dump(mode="json"), silence) as response:
            return json.loads(response.read())

    @contextmanager
    def _open(self, verb: str, path: str, body: dict | None = None, silence: float = SILENCE_SECONDS) -> Iterator[httpx.Response]:
        # answers may take as long as they take, and say so; a process that has ended closes the socket
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(self.socket)), base_url="http://playground",
                          timeout=httpx.Timeout(silence, connect=5)) as http:
            response = self._send(http, http.build_request(verb, path, json=body))
            try:
                if response.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
                    raise RequestInvalid(json.loads(response.read())["problems"])
                response.raise_for_status()
                yield response
            finally:
                response.close()

    def _send(self, http: httpx.Client, request: httpx.Request) -> httpx.Response:
        """Send it, and try again: for some seconds while nobody listens yet, and once where a process was just ending."""
        deadline, was_ending = time.monotonic() + self.start_seconds, False
        while True:
            try:
                return http.send(request, stream=True)
            except httpx.ConnectError as error:
                if time.monotonic() > deadline:
                    raise PlaygroundMissing from error
                time.sleep(POLL_SECONDS)
            except httpx.TransportError as error:
                if was_ending or isinstance(error, httpx.TimeoutException):
                    raise PlaygroundLost from error
                was_ending = True
