"""Holds the playground's socket beside a worker, and starts the process that answers on it when somebody asks."""

import dataclasses
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from jobs.memory import memory_of_process
from jobs.playground.client import process_file
from jobs.processes import mark_of, take_lock
from jobs.threads import waiting
from jobs.units import size
from storage.settings import REPOSITORY, StudioSettings

log = logging.getLogger("studio.playground")

LOOK_SECONDS = 0.5  # how often the process is looked at, and an end is noticed
REST_SECONDS = 20  # between two starts, should it die again and again
END_SECONDS = 5  # that the process may take to end when it is asked to
BEYOND_LIMIT = 1.1  # times the memory limit: the process ends answers at the limit by itself, and is ended here


class PlaygroundHost:
    """Listens on the playground's socket from its worker's start to its end.

    The first connection starts the process, which is handed the socket and takes the connection from there. When it has ended,
    idle or killed, the next connection starts it again. Connections wait meanwhile.
    """

    def __init__(self, settings: StudioSettings, rest_seconds: float = REST_SECONDS, options: tuple[str, ...] = ()):
        self.settings, self.rest_seconds, self.options = settings, rest_seconds, options
        self.process: subprocess.Popen | None = None
        self.listener: socket.socket | None = None
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="playground host", daemon=True)
        self._process_file = process_file(settings.playground_socket)
        self._rests_until = 0.0

    def start(self) -> None:
        """Listen, in a thread; where another worker of this home does already, as soon as that one is gone."""
        self.settings.make_folders()
        self._lock = os.open(f"{self.settings.playground_socket}.lock", os.O_CREAT | os.O_RDWR, 0o600)  # held until the end
        self._listen()  # at once where it can be, so that nobody who asks now finds no socket
        self._thread.start()

    def end(self) -> None:
        """End the process and listen no more."""
        self.stopping.set()
        self._thread.join()
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
            self._process_file.unlink(missing_ok=True)
        if self.listener:
            self.settings.playground_socket.unlink(missing_ok=True)
            self.listener.close()
        os.close(self._lock)

    def _serve(self) -> None:
        while not self.stopping.is_set():
            try:
                self._look()
            except Exception:
                log.exception("The playground could not be started; trying again in %s s.", self.rest_seconds)
                self.stopping.wait(self.rest_seconds)

    def _look(self) -> None:
        """One look, of LOOK_SECONDS at most: somebody who asks, or a process that has ended or taken too much memory."""
        if self.listener is None:
            self._listen()
            self.stopping.wait(LOOK_SECONDS)
        elif self.process:
            self.stopping.wait(LOOK_SECONDS)
            self._watch()
        elif time.monotonic() < self._rests_until:
            self.stopping.wait(LOOK_SECONDS)
        elif select.select([self.listener], [], [], LOOK_SECONDS)[0] and not self.stopping.is_set():
            self._rests_until = time.monotonic() + self.rest_seconds
            self.process = start_playground(self.settings, self.listener, self.options)
            written = self._process_file.with_suffix(".new")
            written.write_text(json.dumps(dataclasses.asdict(mark_of(self.process.pid))))
            written.replace(self._process_file)

    def _watch(self) -> None:
        code = self.process.poll()
        if code == 0:  # idle for long
            self.process, self._rests_until = None, 0.0
        elif code is not None:
            log.warning("The playground's process ended with code %s; the next request starts it again.", code)
            self.process = None
        elif self.settings.memory_limit and memory_of_process(self.process.pid) > BEYOND_LIMIT * self.settings.memory_limit:
            log.warning("The playground took more than the %s that STUDIO_MEMORY_LIMIT allows, and is ended.",
                        size(self.settings.memory_limit))
            self.process.send_signal(signal.SIGKILL)

    def _listen(self) -> None:
        if take_lock(self._lock, 0):
            self.listener = open_socket(self.settings.playground_socket)


def open_socket(path: Path) -> socket.socket:
    """Listen there, readable and writable by this user only, in place of whoever did before."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    listener.listen(64)
    return listener


def start_playground(settings: StudioSettings, listener: socket.socket, options: tuple[str, ...] = ()) -> subprocess.Popen:
    """Start the process on a listening socket; it ends by itself when this one is gone. It prints to logs/playground.log."""
    device = settings.devices[0] if settings.devices else "auto"
    with (settings.logs_dir / "playground.log").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "jobs.playground.server", "--fd", str(listener.fileno()), "--device", device,
             "--parent-pid", str(os.getpid()), "--memory-limit", str(settings.memory_limit), *options],
            cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            pass_fds=[listener.fileno()],
            env={**os.environ, **waiting(os.environ), "HF_HUB_OFFLINE": "1"})  # all it loads is a folder on this machine
