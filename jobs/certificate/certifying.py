"""Making certificates: the worker's side, which starts one process at a time, and what that process does."""

import json
import logging
import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

from jobs.certificate.judge import as_markdown, judge
from jobs.certificate.wanted import Wanted, read_wanted
from jobs.export import remove_published, republish
from jobs.memory import be_ended_first
from jobs.processes import ProcessMark, is_alive, mark_of
from jobs.services import Services, open_services
from jobs.telling import Gone, Progress, Watch
from jobs.uploads import check_free_space
from storage.faults import fault_point
from storage.problems import DatabaseBusy, NotFound, StudioError
from storage.records import Certificate
from storage.settings import StudioSettings
from storage.sqlite import LONG_PATIENCE

log = logging.getLogger("studio.worker")

NICENESS = 10  # a certificate takes what the page and the training leave
FILE, CARD, SECTION = "certificate.json", "README.md", "\n## Certificate\n"
VERSION = 1  # of the file
PUBLISHING = "publishing"


class Certifier:
    """The worker's side: claims certificates, one after the other, each in a process of its own that ends with the worker."""

    def __init__(self, services: Services, stopping: threading.Event, devices: dict[str, threading.Lock]):
        self.services, self.stopping, self.devices = services, stopping, devices
        self.process = self.asked = None
        self._at_work = threading.Lock()

    def look(self) -> None:
        """Begin with those that wait, in a thread; nothing where one is at it already, or a training needs the device."""
        if self._at_work.locked() or not self.services.certificates.waiting():
            return
        threading.Thread(target=self.serve, name="certificates", daemon=True).start()

    def serve(self) -> None:
        """Make all that wait. On a GPU no training begins beside one, and none is begun while a training wants the device."""
        if not self._at_work.acquire(blocking=False):
            return
        try:
            for run_id in self.services.certificates.waiting():
                if self.stopping.is_set():
                    return
                self._serve_one(run_id)
        except Exception:
            log.exception("The certificates that wait could not be made; trying again soon.")
        finally:
            self._at_work.release()

    def _serve_one(self, run_id: str) -> None:
        device = next(iter(self.devices))
        alone = self.devices[device] if device.startswith("cuda") else None
        if alone and (self.services.queue.startable() or not alone.acquire(blocking=False)):
            return
        try:
            if asked := self.services.certificates.claim(run_id):
                self._supervise(asked, device)
        finally:
            if alone:
                alone.release()

    def _supervise(self, asked: Certificate, device: str) -> None:
        from jobs import trainers  # the warm server; here, since its process imports this module

        self.asked, self.process = asked, trainers.start_certificate(
            asked.run_id, asked.asked_at, device, self.services.settings, mark_of(os.getpid()))
        process = self.process
        while process.exitcode is None and not self.stopping.is_set():
            process.join(0.05)
        if self.stopping.is_set():
            self.end()
            return
        self.process = None
        self._answer_crash(asked, process.exitcode)

    def _answer_crash(self, asked: Certificate, exit_code: int) -> None:
        """Where the process has told of no end, say how it went."""
        how = f"was ended by signal {-exit_code}" if exit_code < 0 else f"ended with code {exit_code}"
        memory = " The memory may be too small for it." if exit_code == -signal.SIGKILL else ""
        if self.services.certificates.progress(asked, state="failed", problem=(
                f"The process that measured {how}.{memory} logs/worker.log has more; ask again to try it once more.")):
            log.warning("The process of the certificate of %s %s.", asked.run_id, how)

    def end(self) -> None:
        """End the process; another worker will begin anew."""
        if process := self.process:
            process.kill()
            process.join(5)
            self.process = None
            try:
                self.services.certificates.progress(self.asked, state="queued", phase="", done=0.0)
            except DatabaseBusy as problem:  # then its silence tells the next worker
                log.warning(str(problem))


def run_certificate(run_id: str, asked_at: float, device: str, settings: StudioSettings, worker: ProcessMark) -> None:
    """The forked child's whole life: one certificate, then the end; also when the worker goes."""
    os.nice(NICENESS)
    be_ended_first()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is for the worker, which ends this process
    threading.Thread(target=_end_with, args=(worker,), name="worker", daemon=True).start()
    services = open_services(settings, patience=LONG_PATIENCE)
    asked = services.certificates.find(run_id)
    if asked and asked.state == "running" and asked.asked_at == asked_at:
        execute_certificate(services, asked, device)


def _end_with(worker: ProcessMark) -> None:
    """The certificate's silence tells the next worker."""
    while is_alive(worker):
        time.sleep(1)
    os._exit(1)


def certify_here(services: Services, run_id: str, wanted: Wanted, device: str = "auto",
                 watch: Watch = lambda phase, done: None) -> Certificate:
    """Make a certificate in this process, without a worker; raises NotFound or the problem that it met."""
    services.adapters.get(run_id)
    asked = services.certificates.ask(run_id, wanted.model_dump(mode="json"), here=True)
    execute_certificate(services, asked, device, watch)
    made = services.certificates.find(run_id)
    if made.state != "finished":
        raise StudioError(made.problem or "The certificate was asked for anew meanwhile, and is made elsewhere.")
    return made


def execute_certificate(services: Services, asked: Certificate, device: str, watch: Watch = lambda phase, done: None) -> None:
    """Measure, judge, put the result into the adapter's folder and zip, and store it; or the reason why there is none."""
    told = Progress(partial(services.certificates.progress, asked), "certificate.progress", watch)
    try:
        _make(services, asked, device, told)
    except Gone:
        log.info("Nobody waits for the certificate of %s any more.", asked.run_id)
    except StudioError as problem:
        services.certificates.progress(asked, state="failed", problem=str(problem))
    except (Exception, MemoryError) as error:
        log.exception("The certificate of %s could not be made.", asked.run_id)
        services.certificates.progress(asked, state="failed", problem=(
            f"The certificate could not be made: {type(error).__name__}: {error}. The worker's log has the details."))
    finally:
        told.stop()


def _make(services: Services, asked: Certificate, device: str, told: Progress) -> None:
    from jobs.certificate.measure import measure  # imports torch

    wanted, began = read_wanted(asked.wanted), time.monotonic()
    run, adapter = services.runs.get(asked.run_id), services.adapters.find(asked.run_id)
    if adapter is None:
        raise NotFound("The adapter was deleted. Restore it on the Library page, then ask again.")
    found = measure(services, run, adapter, wanted, told, device)
    checks, passed = judge(found.figures, wanted)
    weights = {file["name"]: file["sha256"] for file in adapter.files if file["name"].endswith(".safetensors")}
    report = {
        "version": VERSION, "passed": passed, "checks": [check.model_dump(mode="json") for check in checks],
        "figures": [figure.model_dump(mode="json") for figure in found.figures],
        "answers": [answered.model_dump(mode="json") for answered in found.answers],
        "wanted": wanted.model_dump(mode="json"), "run_id": run.id, "name": adapter.name, "base_model": adapter.base_model,
        "base_sha256": adapter.base_hash, "weights_sha256": weights, "device": found.device, "made_at": time.time(),
        "seconds": round(time.monotonic() - began, 1)}
    told.tell(phase=PUBLISHING, done=0.95)
    check_free_space(services, adapter.zip_bytes)
    published = republish(services.settings.adapters_dir, adapter, lambda folder: write_certificate(folder, report))
    fault_point("certificate.published")
    if not services.certificates.finish(asked, report, passed, adapter, published):
        remove_published(services.settings.adapters_dir, published)
        raise Gone
    fault_point("certificate.stored")
    remove_published(services.settings.adapters_dir, {"folder": adapter.folder, "zip_name": adapter.zip_name})


def write_certificate(folder: Path, report: dict) -> None:
    """The file and the section of the model card, in the place of earlier ones."""
    (folder / FILE).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
    card = folder / CARD
    text = card.read_text("utf-8") if card.exists() else ""
    card.write_text(text.partition(SECTION)[0].rstrip("\n") + "\n\n" + as_markdown(report), "utf-8")


def stored_report(certificate: Certificate | None) -> dict | None:
    """What the last measurement found; None where there is none yet."""
    return certificate.report if certificate and certificate.state == "finished" else None


def ask_certificate(services: Services, run_id: str, wanted: Wanted) -> Certificate:
    """Ask for one, made by the worker; raises NotFound where the run has no adapter."""
    services.adapters.get(run_id)
    return services.certificates.ask(run_id, wanted.model_dump(mode="json"))
