"""The worker: answers the bell, gives waiting runs to free devices, and watches over their trainers."""

import logging
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import uuid

import psutil

from jobs import trainers
from jobs.downloads import download_base_model
from jobs.playground.launch import start_playground
from jobs.queue import Bell
from jobs.services import Services, open_services
from storage.records import Request, Run, RunState
from storage.settings import StudioSettings

log = logging.getLogger("studio.worker")

RECONCILE_SECONDS = 2
BEAT_SECONDS = 3
CANCEL_GRACE_SECONDS = 15  # after which a trainer that does not answer is killed
PLAYGROUND_END_SECONDS = 5
PLAYGROUND_REST_SECONDS = 20  # between two starts, should it die again and again
PAUSE_SECONDS = 30         # that a shutdown waits for trainers to save a checkpoint


class Worker:
    """One per machine. The main thread is Huey's consumer; each busy device has one of its threads."""

    def __init__(self, settings: StudioSettings):
        self.id = uuid.uuid4().hex[:12]
        self.host = socket.gethostname()
        self.devices = {name: threading.Lock() for name in settings.devices or ("auto",)}
        self.stopping = threading.Event()
        self.pause = False
        self.services: Services = open_services(
            settings, Bell(settings, on_run=lambda _run_id: self.work(), on_download=self.download))
        self.trainers: dict[str, object] = {}
        self.playground = None

    def run(self) -> None:
        """Work until SIGTERM (trainers go on without us) or SIGINT (trainers save a checkpoint and pause)."""
        self.beat()
        trainers.warm_up()
        self.open_playground()
        consumer = self.services.bell.huey.create_consumer(
            workers=len(self.devices) + 2, worker_type="thread", periodic=False, initial_delay=0.05, max_delay=0.25, backoff=1.5,
            health_check_interval=2, scheduler_interval=60)
        consumer._set_signal_handlers = lambda: self.answer_signals(consumer)
        threading.Thread(target=self.beat_on, name="beat", daemon=True).start()
        threading.Thread(target=self.reconcile_on, name="reconcile", daemon=True).start()
        log.info("Worker %s serves %s.", self.id, ", ".join(self.devices))
        consumer.run()
        self.leave()

    def answer_signals(self, consumer) -> None:
        def stop(number, _frame):
            self.pause = number == signal.SIGINT
            self.stopping.set()
            consumer.stop_flag.set()

        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)

    def leave(self) -> None:
        """End; on a pause, wait until the running trainers have saved their state."""
        if self.pause:
            for run_id in list(self.trainers):
                self.services.runs.ask(run_id, Request.PAUSE)
            deadline = time.monotonic() + PAUSE_SECONDS
            while self.trainers and time.monotonic() < deadline:
                for run_id, trainer in list(self.trainers.items()):
                    trainer.join(0.1)
                    if trainer.exitcode is not None:
                        self.trainers.pop(run_id, None)
        self.playground.terminate()
        try:
            self.playground.wait(PLAYGROUND_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.playground.kill()
        self.services.workers.leave(self.id)
        logging.shutdown()
        os._exit(0)  # not sys.exit: multiprocessing would wait for trainers that are meant to go on

    # ---- runs

    def work(self) -> None:
        """Give waiting runs to free devices until there are no more of the one or the other."""
        for device, lock in self.devices.items():
            if not lock.acquire(blocking=False):
                continue
            try:
                while not self.stopping.is_set() and (run := self.services.runs.claim_next(device, self.host)):
                    self.supervise(run)
            finally:
                lock.release()

    def supervise(self, run: Run) -> None:
        """Start a trainer and wait for its end; one that goes without an end has crashed."""
        log.info("Run %s starts on %s.", run.id, run.device)
        trainer = trainers.start_trainer(run, self.services.settings)
        self.trainers[run.id] = trainer
        while trainer.exitcode is None:
            if self.stopping.is_set():
                return
            trainer.join(0.2)
        self.trainers.pop(run.id, None)
        self.after_trainer(run, trainer.exitcode)

    def after_trainer(self, run: Run, exit_code: int) -> None:
        how = f"was ended by signal {-exit_code}" if exit_code < 0 else f"ended with code {exit_code}"
        if -exit_code == signal.SIGKILL:
            how += ", as the system does when memory runs out"
        if self.services.runs.crashed(run.id, run.fence, f"The trainer's process {how}."):
            self.services.runs.log(run.id, f"The trainer's process {how}.", "error")
            log.warning("Run %s: the trainer's process %s.", run.id, how)
            self.services.bell.ring_for_run(run.id)
        self.tidy(run.id)

    def tidy(self, run_id: str) -> None:
        """A cancelled run keeps its record and its log only."""
        if self.services.runs.get(run_id).state == RunState.CANCELLED:
            shutil.rmtree(self.services.settings.runs_dir / run_id / "checkpoints", ignore_errors=True)

    # ---- what keeps the promises when something dies

    def beat_on(self) -> None:
        while not self.stopping.wait(BEAT_SECONDS):
            self.beat()

    def beat(self) -> None:
        self.services.workers.beat(self.id, self.host, os.getpid(), list(self.devices))

    def reconcile_on(self) -> None:
        while not self.stopping.wait(RECONCILE_SECONDS):
            try:
                self.reconcile()
            except Exception:
                log.exception("Reconciling failed; trying again in %s s.", RECONCILE_SECONDS)

    def reconcile(self) -> None:
        """Find what nobody serves: lost leases, rings that got lost, cancels without an answer, a dead playground."""
        runs, bell = self.services.runs, self.services.bell
        for run in runs.lost():
            kill_trainer(run, self.host)
            if runs.crashed(run.id, run.fence, "The trainer stopped answering."):
                runs.log(run.id, "The trainer stopped answering; the run goes on from its last checkpoint.", "warning")
        for run in runs.overdue(self.host, CANCEL_GRACE_SECONDS):
            kill_trainer(run, self.host)
            if runs.crashed(run.id, run.fence, "The trainer did not answer the cancel."):
                self.tidy(run.id)
        free = any(not lock.locked() for lock in self.devices.values())
        if free and not bell.pending():
            for run in runs.queued()[:len(self.devices)]:
                bell.ring_for_run(run.id)
            for download in self.services.downloads.waiting():
                bell.ring_for_download(download.hub_id)
        if self.playground.poll() is not None and time.monotonic() > self.playground_rests_until:
            log.warning("The playground's process ended with code %s; starting it again.", self.playground.returncode)
            self.open_playground()

    def open_playground(self) -> None:
        self.playground = start_playground(self.services.settings)
        self.playground_rests_until = time.monotonic() + PLAYGROUND_REST_SECONDS

    def download(self, hub_id: str) -> None:
        download_base_model(self.services, hub_id, self.stopping)


def kill_trainer(run: Run, host: str) -> None:
    """End the process group of a run's trainer, if it is on this host and is still that process."""
    if run.host != host or not run.pid:
        return
    try:
        if abs(psutil.Process(run.pid).create_time() - run.process_started_at) < 1:
            os.killpg(run.pid, signal.SIGKILL)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return
