"""The playground's process: answers prompts on the Unix socket that the worker holds and that only this user may open.

Torch is imported behind the socket, so that the state can be asked from the first moment on. Requests are answered one after the
other by one thread, because all of them share the base model and the device. Idle for long it gives the base model's memory back,
and idle for longer it ends: the worker starts it again for the next one who asks.
"""

import argparse
import asyncio
import gc
import json
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager

import psutil
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from jobs.playground.limits import Stop
from jobs.playground.problems import RequestInvalid
from jobs.playground.request import (
    BaseChoice,
    BlendRequest,
    ChangesRequest,
    GenerateRequest,
    LoadRequest,
    MergeRequest,
    read_as,
    read_request,
)
from storage.problems import StudioError

IDLE_SECONDS = 600  # without a request, after which the base model's memory is given back
IDLES_TO_END = 3  # times as long, after which the process ends
WAITING_SECONDS = 1  # how often a client that waits is told so
PARENT_SECONDS = 1  # how often the parent is looked for


QUESTIONS = {"changes": ChangesRequest, "change_map": ChangesRequest, "save_blend": BlendRequest, "merge": MergeRequest}


class Playground:
    """The web application. `bench` is None until torch is imported."""

    def __init__(self, device: str = "auto", idle_seconds: float = IDLE_SECONDS, memory_limit: int = 0):
        self.device, self.idle_seconds, self.memory_limit = device, idle_seconds, memory_limit
        self.on_idle: Callable[[], None] = lambda: None  # called once nobody has asked for long
        self.bench = None
        self.used_at = time.monotonic()
        self.waiting = 0  # jobs that are not done, the one being worked on included
        self.stops: dict[str, Stop] = {}  # of the requests that have a name and are not done
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="bench")
        self.app = Starlette(lifespan=self._lifespan, routes=[
            Route("/state", self.state), Route("/load", self.load, methods=["POST"]),
            Route("/generate", self.generate, methods=["POST"]), Route("/stop", self.stop, methods=["POST"]),
            *(Route(f"/{name}", self._answering(schema, name), methods=["POST"]) for name, schema in QUESTIONS.items())])

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
            wanted = read_as(LoadRequest, json.loads(await request.body()))
        except RequestInvalid as problem:
            return _refused(problem)
        self._work(lambda: self.bench.prepare(wanted))
        return Response(status_code=202)

    async def generate(self, request: Request) -> Response:
        try:
            wanted = read_request(json.loads(await request.body()))
        except RequestInvalid as problem:
            return _refused(problem)
        return StreamingResponse(self._lines(wanted), media_type="application/x-ndjson")

    def _answering(self, schema: type[BaseChoice], name: str) -> Callable:
        """The endpoint of a question that the bench answers as a whole, with the method of that name."""
        async def answer(request: Request) -> Response:
            try:
                wanted = read_as(schema, json.loads(await request.body()))
            except RequestInvalid as problem:
                return _refused(problem)
            found = await asyncio.wrap_future(self._work(lambda: self._attempt(name, wanted)))
            return _refused(RequestInvalid([found["problem"]])) if "problem" in found else JSONResponse(found["answer"])
        return answer

    def _attempt(self, name: str, wanted: BaseChoice) -> dict:
        """What the bench answers, or the problem that it meets: one that the asker is told is none of the process's."""
        try:
            return {"answer": getattr(self.bench, name)(wanted)}
        except StudioError as problem:
            return {"problem": str(problem)}
        except Exception as error:
            traceback.print_exception(error)
            return {"problem": f"The playground failed unexpectedly ({type(error).__name__}: {error}). Its log has the details."}

    async def stop(self, request: Request) -> Response:
        """End one pane of a request, or all of them: {"id": …, "pane": … or null}. One that has ended already stays as it is."""
        wanted = json.loads(await request.body())
        if stop := self.stops.get(wanted.get("id", "")):
            stop.set(wanted.get("pane"))
        return Response(status_code=202)

    async def _lines(self, wanted: GenerateRequest) -> AsyncIterator[str]:
        events: asyncio.Queue[dict | None] = asyncio.Queue()
        loop, stop, begun = asyncio.get_running_loop(), Stop(), threading.Event()

        def work() -> None:
            begun.set()
            try:
                if not stop.is_set():
                    self.bench.answer(wanted, stop, lambda event: loop.call_soon_threadsafe(events.put_nowait, event))
            finally:
                loop.call_soon_threadsafe(events.put_nowait, None)

        if wanted.id:
            self.stops[wanted.id] = stop
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
            self.stops.pop(wanted.id, None)

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

            self.bench = Bench(self.device, self.memory_limit)
            gc.freeze()  # else each base model that is given back takes 0.3 s, to look through all that was imported

        self._work(import_torch)
        idle = asyncio.create_task(self._free_when_idle())
        yield
        idle.cancel()

    async def _free_when_idle(self) -> None:
        while True:
            await asyncio.sleep(min(self.idle_seconds / 4, 10))
            idle = time.monotonic() - self.used_at
            if self.waiting or not self.bench:
                continue
            if idle > IDLES_TO_END * self.idle_seconds:
                self.on_idle()
            elif idle > self.idle_seconds and self.bench.loaded:
                self.worker.submit(self.bench.free)  # not a use, so the time goes on


def _line(event: dict) -> str:
    return json.dumps(event, ensure_ascii=False) + "\n"


def _refused(problem: RequestInvalid) -> Response:
    return JSONResponse({"problems": problem.problems}, status_code=422)


def end_with(parent_pid: int) -> None:
    """End this process once its parent is gone. The parent's number tells, also where it was killed."""
    def watch() -> None:
        while os.getppid() == parent_pid:
            time.sleep(PARENT_SECONDS)
        os._exit(0)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser(description="Answers prompts on a Unix socket. A worker starts it.")
    parser.add_argument("--fd", type=int, required=True, help="the listening socket, as this process has it")
    parser.add_argument("--device", default="auto", help="cpu, cuda:0 or auto")
    parser.add_argument("--parent-pid", type=int, help="end when this parent process is gone")
    parser.add_argument("--idle-seconds", type=float, default=IDLE_SECONDS,
                        help=f"free the base model after this long without a request, and end after {IDLES_TO_END} times as long")
    parser.add_argument("--memory-limit", type=int, default=0, help="bytes of memory at which answers end; 0: no limit")
    options = parser.parse_args()

    if options.parent_pid:
        end_with(options.parent_pid)
    # uvicorn hands the signal on to this when it has ended; a model that is being loaded would hold up an orderly end
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    playground = Playground(options.device, options.idle_seconds, options.memory_limit)
    server = uvicorn.Server(uvicorn.Config(playground.app, log_level="warning", timeout_graceful_shutdown=1))
    playground.on_idle = lambda: setattr(server, "should_exit", True)
    server.run(sockets=[socket.socket(fileno=options.fd)])
    os._exit(0)  # nothing here is worth saving


if __name__ == "__main__":
    main()
