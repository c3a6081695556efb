"""The playground's process: answers prompts on a Unix socket that only this user may open.

Torch is imported behind the open socket, so that the state can be asked from the first moment on. Requests are answered one
after the other by one thread, because all of them share the base model and the device.
"""

import argparse
import asyncio
import fcntl
import json
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from jobs.playground.problems import RequestInvalid
from jobs.playground.request import BaseChoice, GenerateRequest, read_request

IDLE_SECONDS = 600  # without a request, after which the base model's memory is given back
WAITING_SECONDS = 1  # how often a client that waits is told so
PARENT_SECONDS = 1  # how often the parent is looked for
PREDECESSOR_SECONDS = 15  # how long an earlier process on the same socket may take to end


class Playground:
    """The web application. `bench` is None until torch is imported."""

    def __init__(self, device: str = "auto", idle_seconds: float = IDLE_SECONDS):
        self.device, self.idle_seconds = device, idle_seconds
        self.bench = None
        self.used_at = time.monotonic()
        self.waiting = 0  # jobs that are not done, the one being worked on included
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="bench")
        self.app = Starlette(lifespan=self._lifespan, routes=[
            Route("/state", self.state), Route("/load", self.load, methods=["POST"]),
            Route("/generate", self.generate, methods=["POST"])])

    async def state(self, request: Request) -> Response:
        loaded = self.bench.loaded if self.bench else None
        return JSONResponse({
            "ready": self.bench is not None, "waiting": self.waiting,
            "memory_bytes": psutil.Process().memory_info().rss,
            "base": loaded and {
                "name": loaded.choice.base_name, "path": str(loaded.choice.base_path), "task": loaded.choice.task,
                "quantization": loaded.choice.quantization, "device": str(loaded.device), "bytes": loaded.bytes,
                "parameters": loaded.facts.parameters},
            "adapters": [{"folder": str(folder), "bytes": answerer.bytes}
                         for folder, answerer in (loaded.attached() if loaded else {}).items()]})

    async def load(self, request: Request) -> Response:
        try:
            choice = BaseChoice.model_validate_json(await request.body())
        except ValidationError as error:
            return _refused(RequestInvalid([str(error)]))
        self._work(lambda: self.bench.prepare(choice))
        return Response(status_code=202)

    async def generate(self, request: Request) -> Response:
        try:
            wanted = read_request(json.loads(await request.body()))
        except RequestInvalid as problem:
            return _refused(problem)
        return StreamingResponse(self._lines(wanted), media_type="application/x-ndjson")

    async def _lines(self, wanted: GenerateRequest) -> AsyncIterator[str]:
        events: asyncio.Queue[dict | None] = asyncio.Queue()
        loop, stop, begun = asyncio.get_running_loop(), threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            try:
                if not stop.is_set():
                    for event in self.bench.answer(wanted, stop):
                        loop.call_soon_threadsafe(events.put_nowait, event)
            finally:
                loop.call_soon_threadsafe(events.put_nowait, None)

        if self.waiting:
            yield _line({"waiting": True, "for": "turn"})
        answering = False
        self._work(work)
        try:
            while True:
                try:
                    async with asyncio.timeout(WAITING_SECONDS):
                        event = await events.get()
                except TimeoutError:
                    reason = "answer" if answering else "model" if begun.is_set() else "turn"
                    yield _line({"waiting": True, "for": reason})
                    continue
                if event is None:
                    return
                answering = True
                yield _line(event)
        finally:  # also when the client has closed the connection
            stop.set()

    def _work(self, job: Callable[[], None]) -> Future:
        """Have the one working thread do a job after those before it."""
        self.waiting += 1
        future = self.worker.submit(job)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda done: loop.call_soon_threadsafe(self._worked, done))
        return future

    def _worked(self, done: Future) -> None:
        self.waiting -= 1
        self.used_at = time.monotonic()
        done.result()  # an exception that no pane was told is a bug; the loop logs its traceback

    @asynccontextmanager
    async def _lifespan(self, app: Starlette):
        def import_torch() -> None:
            from jobs.playground.bench import Bench  # here: seconds in which the socket answers already

            self.bench = Bench(self.device)

        self._work(import_torch)
        idle = asyncio.create_task(self._free_when_idle())
        yield
        idle.cancel()

    async def _free_when_idle(self) -> None:
        while True:
            await asyncio.sleep(min(self.idle_seconds / 4, 10))
            if not self.waiting and self.bench.loaded and time.monotonic() - self.used_at > self.idle_seconds:
                self._work(self.bench.free)


def _line(event: dict) -> str:
    return json.dumps(event, ensure_ascii=False) + "\n"


def _refused(problem: RequestInvalid) -> Response:
    return JSONResponse({"problems": problem.problems}, status_code=422)


def open_socket(path: Path) -> socket.socket:
    """Listen there, readable and writable by this user only; takes the place of a process that has ended."""
    lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR, 0o600)  # never closed: held as long as this process lives
    deadline = time.monotonic() + PREDECESSOR_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise SystemExit(f"Another playground already listens on {path}.") from None
            time.sleep(0.2)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    listener.listen(64)
    return listener


def end(path: Path) -> None:
    path.unlink(missing_ok=True)
    os._exit(0)  # nothing here is worth saving, and a model that is being loaded would hold up an orderly end


def end_with(parent_pid: int, path: Path) -> None:
    """End this process once its parent is gone. The parent's number tells, also where it was killed."""
    def watch() -> None:
        while os.getppid() == parent_pid:
            time.sleep(PARENT_SECONDS)
        end(path)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser(description="Answers prompts on a Unix socket. A worker starts it.")
    parser.add_argument("--socket", type=Path, required=True, help="where to listen")
    parser.add_argument("--device", default="auto", help="cpu, cuda:0 or auto")
    parser.add_argument("--parent-pid", type=int, help="end when this parent process is gone")
    parser.add_argument("--idle-seconds", type=float, default=IDLE_SECONDS,
                        help="free the base model after this long without a request")
    options = parser.parse_args()

    if options.parent_pid:
        end_with(options.parent_pid, options.socket)
    listener = open_socket(options.socket)
    signal.signal(signal.SIGTERM, lambda *_: end(options.socket))  # uvicorn hands the signal on to it when it has ended
    playground = Playground(options.device, options.idle_seconds)
    server = uvicorn.Server(uvicorn.Config(playground.app, log_level="warning", timeout_graceful_shutdown=1))
    server.run(sockets=[listener])
    end(options.socket)


if __name__ == "__main__":
    main()
