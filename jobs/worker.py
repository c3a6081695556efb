"""The worker: answers the bell, gives waiting runs to free devices, and watches over their trainers."""

import logging
import os
import shutil
import signal
import socket
import threading
import time
import uuid

from jobs import trainers
from jobs.certificate.certifying import Certifier
from jobs.checking import Checker
from jobs.devices import local_facts, measure_once
from jobs.downloads import download_base_model
from jobs.janitor import tidy_up
from jobs.memory import KERNEL_ENDED, answer_lack_of_memory, beyond_limit, memory_kills, memory_of_process
from jobs.places import local_places
from jobs.playground.launch import PlaygroundHost
from jobs.processes import ProcessMark, is_alive, mark_of
from jobs.queue import Bell
from jobs.services import Services, open_services
from jobs.stopping import end_from_checkpoint
from jobs.uploads import check_free_space
from jobs.watchman import Watchman, kill_trainer
from storage.problems import DatabaseBusy, DiskFull
from storage.records import Request, Run, RunState
from storage.settings import StudioSettings
from storage.soundness import check_database
from storage.sqlite import LONG_PATIENCE, version_advice

log = logging.getLogger("studio.worker")

RECONCILE_SECONDS = 2
BEAT_SECONDS = 3
TIDY_SECONDS = 600
PAUSE_SECONDS = 30         # that a shutdown waits for trainers to save a checkpoint


class Worker:
    """One per machine. The main thread is Huey's consumer; each busy device has one of its threads."""

    def __init__(self, settings: StudioSettings):
        check_database(settings)
        self.id = uuid.uuid4().hex[:12]
        self.host = socket.gethostname()
        self.devices = {name: threading.Lock() for name in local_places(settings)}
        self.facts: dict[str, dict] = {}
        self.stopping = threading.Event()
        self.pause = False
        self.services: Services = open_services(
            settings, Bell(settings, on_run=lambda _run_id: self.work(), on_download=self.download, on_check=self.check),
            patience=LONG_PATIENCE)
        self.checker = Checker(self.services, self.stopping)
        self.certifier = Certifier(self.services, self.stopping, self.devices)
        self.watchman = Watchman(self.services, self.host)
        self.trainers: dict[str, object] = {}
        self.disk_is_full = False
        self.playground = PlaygroundHost(settings)

    def run(self) -> None:
        """Work until SIGTERM (trainers go on without us) or SIGINT (trainers save a checkpoint and pause)."""
        if advice := version_advice():
            log.warning(advice)
        self.beat()
        trainers.warm_up()
        self.playground.start()
        consumer = self.services.bell.huey.create_consumer(
            workers=len(self.devices) + 3, worker_type="thread", periodic=False, initial_delay=0.05, max_delay=0.1, backoff=1.5,
            health_check_interval=2, scheduler_interval=60)
        consumer._set_signal_handlers = lambda: self.answer_signals(consumer)
        threading.Thread(target=self.beat_on, name="beat", daemon=True).start()
        if any(place.startswith("cpu") for place in self.devices):
            threading.Thread(target=self.measure, name="measure", daemon=True).start()
        threading.Thread(target=self.reconcile_on, name="reconcile", daemon=True).start()
        threading.Thread(target=self.tidy_on, name="janitor", daemon=True).start()
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
            for run in self.own_runs():
                self.services.queue.ask(run.id, Request.PAUSE)
            deadline = time.monotonic() + PAUSE_SECONDS
            while self.own_runs() and time.monotonic() < deadline:
                time.sleep(0.2)
        self.checker.end()
        self.certifier.end()
        self.playground.end()
        self.services.workers.leave(self.id)
        logging.shutdown()
        os._exit(0)  # not sys.exit: multiprocessing would wait for trainers that are meant to go on

    def own_runs(self) -> list[Run]:
        """Running runs of this worker, and of one that has gone and left its trainers to us."""
        others = {worker.id for worker in self.services.workers.alive() if worker.id != self.id and is_alive(
            ProcessMark(worker.pid, worker.process_started_at, worker.boot_id))}
        return [run for run in self.services.leases.running() if run.host == self.host and run.worker_id not in others]

    # ---- runs

    def work(self) -> None:
        """Give waiting runs to free devices until there are no more of the one or the other."""
        for device, lock in self.devices.items():
            if not lock.acquire(blocking=False):
                continue
            try:
                while not self.stopping.is_set() and (run := self.next_run(device)):
                    self.supervise(run)
            finally:
                lock.release()

    def next_run(self, device: str) -> Run | None:
        """The next run for a device; none starts while the disk is too full."""
        try:
            check_free_space(self.services, 0)
        except DiskFull as problem:
            if not self.disk_is_full:
                log.warning("No run starts. %s", problem)
            self.disk_is_full = True
            return None
        self.disk_is_full = False
        return self.services.leases.claim_next(device, self.host, self.id)

    def supervise(self, run: Run) -> None:
        """Start a trainer and wait for its end; one that goes without an end has crashed."""
        log.info("Run %s starts on %s.", run.id, run.device)
        kills, limit, short_of_memory = memory_kills(), self.services.settings.memory_limit, ""
        trainer = trainers.start_trainer(run, self.services.settings, time.monotonic())
        self.trainers[run.id] = trainer
        if run.forecast_memory_bytes is None:
            trainers.start_forecast(run, self.services.settings)
        while trainer.exitcode is None:
            if self.stopping.is_set():
                return
            trainer.join(0.2)
            if limit and memory_of_process(trainer.pid) > limit:
                short_of_memory = beyond_limit(limit)
                kill_trainer(self.services.runs.get(run.id))
        if trainer.exitcode == -signal.SIGKILL and memory_kills() > kills:
            short_of_memory = KERNEL_ENDED
        self.after_trainer(run, trainer.exitcode, short_of_memory)
        self.trainers.pop(run.id, None)

    def after_trainer(self, run: Run, exit_code: int, short_of_memory: str) -> None:
        """What a trainer left open: nothing, a crash, or a run that was ended for lack of memory (then this says how)."""
        if short_of_memory:
            answer_lack_of_memory(self.services, run, "host_oom", short_of_memory)
        else:
            how = f"was ended by signal {-exit_code}" if exit_code < 0 else f"ended with code {exit_code}"
            self.watchman.take_back(run, f"The trainer's process {how}.")
        self.tidy(run.id)
        self.services.bell.ring_for_run(run.id)

    def tidy(self, run_id: str) -> None:
        """A cancelled run keeps its record and its log only."""
        if self.services.runs.get(run_id).state == RunState.CANCELLED:
            shutil.rmtree(self.services.settings.runs_dir / run_id / "checkpoints", ignore_errors=True)

    # ---- what keeps the promises when something dies

    def beat_on(self) -> None:
        self.facts = self.what_devices_can()  # here: a driver may take seconds to answer
        while not self.stopping.wait(BEAT_SECONDS):
            try:
                self.beat()
            except DatabaseBusy as problem:
                log.warning(str(problem))

    def what_devices_can(self) -> dict[str, dict]:
        return {place: local_facts(place).record() for place in self.devices}

    def measure(self) -> None:
        """A processor that the setup did not see, such as that of another machine than an image was built on."""
        measure_once()
        self.facts = self.what_devices_can()

    def beat(self) -> None:
        own = mark_of(os.getpid())
        self.services.workers.beat(self.id, self.host, own.pid, list(self.devices), own.started_at, own.boot_id, self.facts)

    def reconcile_on(self) -> None:
        while not self.stopping.wait(RECONCILE_SECONDS):
            try:
                self.reconcile()
            except Exception:
                log.exception("Reconciling failed; trying again in %s s.", RECONCILE_SECONDS)

    def tidy_on(self) -> None:
        """A thread of its own, since removing much takes long."""
        while True:
            try:
                tidy_up(self.services)
            except Exception:
                log.exception("Tidying up failed; trying again in %s s.", TIDY_SECONDS)
            if self.stopping.wait(TIDY_SECONDS):
                return

    def reconcile(self) -> None:
        """Find what nobody serves: lost leases, rings that got lost, requests without an answer."""
        for run in self.watchman.look(set(self.trainers)):
            self.tidy(run.id)
        for run in self.services.leases.stops_waiting():
            self.save_stopped(run)
        bell, free = self.services.bell, any(not lock.locked() for lock in self.devices.values())
        bell.mend()
        if free and not bell.pending():
            if self.services.queue.startable():
                for _ in self.devices:
                    bell.ring_for_run("")
            for download in self.services.downloads.waiting():
                bell.ring_for_download(download.hub_id)
        if not self.checker.is_busy and not bell.pending() and (waiting := self.services.checks.waiting()):
            bell.ring_for_check(waiting[0])
        self.certifier.look()

    def save_stopped(self, run: Run) -> None:
        """A run that was asked to stop, and whose trainer is gone: its last checkpoint becomes the adapter."""
        claimed = self.services.leases.claim(run.id, self.host, self.id)
        if claimed:
            try:
                end_from_checkpoint(self.services, claimed)
            except Exception as error:
                log.exception("What the stopped run %s had learnt could not be saved.", run.id)
                self.services.leases.crashed(claimed.id, claimed.fence, f"What it had learnt could not be saved: {error}")

    def check(self, check_id: str) -> None:
        self.checker.serve(check_id)

    def download(self, hub_id: str) -> None:
        download_base_model(self.services, hub_id, self.stopping)

