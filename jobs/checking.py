"""Making health reports: the worker's side, which starts one process at a time, and what that process does."""

import logging
import os
import shutil
import signal
import threading
import time
import uuid
from collections import Counter
from functools import partial
from pathlib import Path

from jobs.data.health.check import check_now
from jobs.data.health.report import Report
from jobs.imports import read_dataset, read_validation
from jobs.memory import be_ended_first
from jobs.processes import ProcessMark, is_alive, mark_of
from jobs.services import Services, open_services
from jobs.telling import Gone, Progress
from storage.faults import fault_point
from storage.problems import DatabaseBusy, NotFound, StudioError
from storage.records import DataCheck
from storage.settings import StudioSettings
from storage.sqlite import LONG_PATIENCE

log = logging.getLogger("studio.worker")

MOST_CRASHES = 3      # of one check, after which it is given up
NICENESS = 10         # a report takes what the page and the training leave
READING, READING_SHARE = "reading", 0.2
HALF_READ = 100_000   # rows after which half of the reading's share is told: how many there are is not known before


class Checker:
    """The worker's side: claims checks, one after the other, each in a process of its own that ends with the worker."""

    def __init__(self, services: Services, stopping: threading.Event):
        self.services, self.stopping = services, stopping
        self.crashes: Counter[str] = Counter()
        self.process = None
        self._at_work = threading.Lock()

    @property
    def is_busy(self) -> bool:
        return self._at_work.locked()

    def serve(self, check_id: str) -> None:
        """Make the report that was rung for, then all others that wait; nothing where another thread is at it already."""
        if not self._at_work.acquire(blocking=False):
            return
        try:
            waiting = [check_id]
            while waiting and not self.stopping.is_set():
                for waiting_id in waiting:
                    if not self.stopping.is_set() and self.services.checks.claim(waiting_id):
                        self._supervise(waiting_id)
                waiting = self.services.checks.waiting()
        finally:
            self._at_work.release()

    def _supervise(self, check_id: str) -> None:
        from jobs import trainers  # the warm server; here, since its process imports this module

        self.process = process = trainers.start_check(check_id, self.services.settings, mark_of(os.getpid()))
        while process.exitcode is None and not self.stopping.is_set():
            process.join(0.05)
        if self.stopping.is_set():
            self.end()
            return
        self.process = None
        check = self.services.checks.find(check_id)
        if check is not None and check.state == "running":
            self._answer_crash(check_id, process.exitcode)
        else:
            self.crashes.pop(check_id, None)

    def _answer_crash(self, check_id: str, exit_code: int) -> None:
        """The check waits again, unless its process went too often."""
        self.crashes[check_id] += 1
        how = f"was ended by signal {-exit_code}" if exit_code < 0 else f"ended with code {exit_code}"
        log.warning("The process of the health report %s %s.", check_id, how)
        if self.crashes[check_id] < MOST_CRASHES:
            self.services.checks.give_back(check_id)
        else:
            memory = " The memory may be too small for it." if exit_code == -signal.SIGKILL else ""
            self.services.checks.progress(check_id, state="failed", problem=(
                f"The health report's process {how}, {MOST_CRASHES} times in a row.{memory} logs/worker.log has more; ask again to "
                "try it once more."))
            self.crashes.pop(check_id)

    def end(self) -> None:
        """End the process, which another worker will begin anew."""
        if process := self.process:
            process.kill()
            process.join(5)
            self.process = None
            try:
                self.services.checks.give_back(process.name)
            except DatabaseBusy as problem:  # then its silence tells the next worker
                log.warning(str(problem))


def run_check(check_id: str, settings: StudioSettings, worker: ProcessMark) -> None:
    """The forked child's whole life: one report, then the end; also when the worker goes."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.nice(NICENESS)
    be_ended_first()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is for the worker, which ends this process
    services = open_services(settings, patience=LONG_PATIENCE)
    threading.Thread(target=_end_with, args=(services, check_id, worker), name="worker", daemon=True).start()
    check = services.checks.find(check_id)
    if check and check.state == "running":
        execute_check(services, check)


def _end_with(services: Services, check_id: str, worker: ProcessMark) -> None:
    while is_alive(worker):
        time.sleep(1)
    try:
        services.checks.give_back(check_id)
    finally:
        os._exit(1)


def execute_check(services: Services, check: DataCheck) -> None:
    """Make the report of a claimed check and store it, or the reason why there is none."""
    told = Progress(partial(services.checks.progress, check.id), "check.progress")
    try:
        report = _make(services, check, told)
        fault_point("check.made")
        told.tell(state="finished", phase="", done=1.0, problem="", report=report.model_dump(mode="json"))
    except Gone:
        log.info("Nobody waits for the health report %s any more.", check.id)  # the janitor removes what was found
    except StudioError as problem:
        _fail(services, check, str(problem))
    except (Exception, MemoryError) as error:
        log.exception("The health report %s could not be made.", check.id)
        _fail(services, check, f"The report could not be made: {type(error).__name__}: {error}. The worker's log has the details.")
    finally:
        told.stop()


def _make(services: Services, check: DataCheck, told: Progress) -> Report:
    wanted, settings = check.wanted, services.settings
    dataset = services.datasets.find(check.dataset_id)
    if dataset is None:
        raise NotFound("The data was deleted. Restore it on the Library page, then ask again.")
    data = read_dataset(services, dataset, wanted["format"], wanted["columns"], wanted["task"] or None,
                        on_progress=lambda rows: told(READING, READING_SHARE * rows / (rows + HALF_READ)))
    validation = None
    if wanted.get("validation_id"):
        held_out = services.datasets.find(wanted["validation_id"])
        if held_out is None:
            raise NotFound("The validation data was deleted. Restore it on the Library page, or choose another one.")
        validation = read_validation(services, held_out, data)
    if dataset.rows is None:
        services.datasets.note(dataset.id, rows=data.rows)
    made = settings.checks_dir / f".{uuid.uuid4().hex}.part"
    work = settings.checks_dir / f".{uuid.uuid4().hex}.part"
    try:
        made.mkdir(parents=True)
        work.mkdir()
        report = check_now(data, validation, wanted["base_path"], wanted["chat_template"], wanted["max_length"], made, work,
                           lambda phase, done: told(phase, READING_SHARE + (1 - READING_SHARE) * done))
        _publish(made, settings.checks_dir / check.id)
        return report
    finally:
        for folder in (made, work):
            shutil.rmtree(folder, ignore_errors=True)


def _publish(made: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    made.rename(folder)


def _fail(services: Services, check: DataCheck, problem: str) -> None:
    services.checks.progress(check.id, state="failed", problem=problem)
