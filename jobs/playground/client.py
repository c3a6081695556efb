"""Speaks to the playground's process over its socket."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from jobs.playground.problems import PlaygroundLost, PlaygroundMissing, RequestInvalid
from jobs.playground.request import BaseChoice, GenerateRequest

START_SECONDS = 5  # a process that is just starting gets this long until it listens
POLL_SECONDS = 0.1


class PlaygroundClient:
    """The playground as pages and commands see it. Safe to share between threads: every call connects anew."""

    def __init__(self, socket: Path, start_seconds: float = START_SECONDS):
        self.socket = socket
        self.start_seconds = start_seconds

    def state(self) -> dict:
        """What is in memory: `ready`, `base` (or None), `adapters`, `memory_bytes`, `waiting`; raises PlaygroundMissing."""
        with self._open("GET", "/state") as response:
            return json.loads(response.read())

    def load(self, base: BaseChoice) -> None:
        """Load a base model ahead of the first prompt; returns at once."""
        with self._open("POST", "/load", base.model_dump(mode="json", include=set(BaseChoice.model_fields))):
            pass

    def generate(self, request: GenerateRequest) -> Iterator[dict]:
        """The events of all panes as they come; closing the generator stops the generation.

        Each event has `pane` and one of: `text` (the next piece); `done` with the whole `text`, `tokens`, `seconds`,
        `seconds_to_first_token` and `finish_reason`; `problem` (a sentence; this pane has ended). While nothing comes,
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

    @contextmanager
    def _open(self, verb: str, path: str, body: dict | None = None) -> Iterator[httpx.Response]:
        # answers may take as long as they take; a process that has ended closes the socket
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(self.socket)), base_url="http://playground",
                          timeout=httpx.Timeout(None, connect=5)) as http:
            response = self._send(http, http.build_request(verb, path, json=body))
            try:
                if response.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
                    raise RequestInvalid(json.loads(response.read())["problems"])
                response.raise_for_status()
                yield response
            finally:
                response.close()

    def _send(self, http: httpx.Client, request: httpx.Request) -> httpx.Response:
        """Send it, and try again for some seconds while nobody listens yet."""
        deadline = time.monotonic() + self.start_seconds
        while True:
            try:
                return http.send(request, stream=True)
            except httpx.ConnectError as error:
                if time.monotonic() > deadline:
                    raise PlaygroundMissing from error
                time.sleep(POLL_SECONDS)
            except httpx.TransportError as error:
                raise PlaygroundLost from error
