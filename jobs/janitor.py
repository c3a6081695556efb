"""Clears away what a crash, or the end of a time, has left. Nothing of a running run, and nothing outside the studio's home."""

import logging
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from jobs.housekeeping import delete_for_good, remove_upload, remove_within
from jobs.services import Services
from storage.problems import NotFound
from storage.records import RunState

log = logging.getLogger("studio.janitor")

HOUR = 3600
DAY = 24 * HOUR
CACHE_DAYS = 30  # that nobody has opened it, after which what can be made again goes
LOG_BYTES = 10_000_000  # of a log file, after which it is put aside
LOGS = ("worker.log", "playground.log")
RUN_FOLDER = re.compile(r"[0-9a-f]{12}")
ADAPTER_NAME = re.compile(r"([0-9a-f]{12})-\d+(\.zip)?")


def tidy_up(services: Services, now: float | None = None) -> list[str]:
    """Do everything that is due; returns what was done. `now`: seconds since 1970, for files' ages."""
    return Janitor(services, time.time() if now is None else now).tidy_up()


class Janitor:
    """One round through the home."""

    def __init__(self, services: Services, now: float):
        self.services, self.settings, self.trash, self.now = services, services.settings, services.trash, now
        self.done: list[str] = []

    def tidy_up(self) -> list[str]:
        for step in (self.expired_trash, self.adapters, self.runs, self.uploads, self.caches, self.checks,
                     self.temporary_files, self.logs):
            try:
                step()
            except Exception:
                log.exception("Tidying up stopped at %s; the next round tries again.", step.__name__)
        return self.done

    def expired_trash(self) -> None:
        """What was deleted long enough ago, and what a crash kept from going."""
        for kind, id in self.trash.due():
            try:
                delete_for_good(self.services, kind, id)
            except NotFound:
                continue  # an adapter that went with its run, or something that was restored just now
            except OSError:
                log.exception("The deleted %s %s could not be removed; the next round tries again.", kind, id)
            else:
                self.tell(f"Removed the deleted {kind} {id} for good.")

    def adapters(self) -> None:
        """Half-made folders and zips, and whole ones whose run never came to record them."""
        states = self.trash.run_states()  # before the records: a run that ends in between has its record by then
        recorded = self.trash.adapter_files()
        for path in self.entries(self.settings.adapters_dir):
            if path.name.startswith(".staged-"):
                self.remove(path, DAY, "was never finished")
            elif (name := ADAPTER_NAME.fullmatch(path.name)) and path.name not in recorded:
                if states.get(name[1]) != RunState.RUNNING:
                    self.remove(path, HOUR, "belongs to no record")

    def runs(self) -> None:
        """Folders of runs that nobody knows, and checkpoints of cancelled ones."""
        folders = list(self.entries(self.settings.runs_dir))
        states = self.trash.run_states()
        for path in folders:
            if path.name not in states:
                if RUN_FOLDER.fullmatch(path.name):
                    self.remove(path, HOUR, "belongs to no run")
            elif states[path.name] == RunState.CANCELLED and (path / "checkpoints").is_dir() and not path.is_symlink():
                self.remove(path / "checkpoints", 0, "belongs to a cancelled run")

    def uploads(self) -> None:
        """Uploads that broke off, and files that no dataset has."""
        uploads = self.settings.uploads_dir
        files = []
        for path in self.entries(uploads):
            if path.name.startswith(".") and path.name.endswith(".part"):
                self.remove(path, DAY, "was never finished")
            elif path.is_dir() and not path.is_symlink():
                files += [f"{path.name}/{file.name}" for file in path.iterdir() if self.is_older(file, DAY)]

        def remove(path: str) -> None:
            if self.is_older(uploads / path, DAY):
                remove_upload(uploads, path)
                self.tell(f"Removed uploads/{path}: no dataset has it.")

        self.trash.remove_unused(files, remove)

    def caches(self) -> None:
        """Data as examples and as tokens, which would be made again; never what a running run may have opened."""
        begins = [run.claimed_at for run in self.services.leases.running() if run.claimed_at]
        age = max(CACHE_DAYS * DAY, self.now - min(begins, default=self.now) + DAY)
        for folder in (self.settings.imports_dir, self.settings.prepared_dir):
            for path in self.entries(folder):
                if path.name.startswith("."):
                    self.remove(path, DAY, "was never finished")
                else:
                    self.remove(path, age, f"was not opened for {CACHE_DAYS} days")

    def checks(self) -> None:
        """What health reports have found, once their data is gone."""
        folders = list(self.entries(self.settings.checks_dir))
        known = self.services.checks.ids()
        for path in folders:
            if path.name.startswith("."):
                self.remove(path, DAY, "was never finished")
            elif path.name not in known:
                self.remove(path, HOUR, "belongs to no data")

    def temporary_files(self) -> None:
        """Uploads on their way, of a page that is long gone."""
        for path in self.entries(self.settings.temporary_dir):
            if all(self.is_older(file, DAY) for file in [path, *path.rglob("*")]):
                self.remove(path, DAY, "is left from an earlier page")

    def logs(self) -> None:
        """Put a long log aside. Its writers hold it open and append, so it is copied and then emptied."""
        for name in LOGS:
            path = self.settings.logs_dir / name
            if path.is_file() and not path.is_symlink() and path.stat().st_size > LOG_BYTES:
                shutil.copyfile(path, path.with_name(f"{name}.1"))
                with path.open("r+b") as stream:
                    stream.truncate(0)
                self.tell(f"Put logs/{name} aside as {name}.1.")

    # ---- inside

    def entries(self, folder: Path) -> Iterator[Path]:
        """What lies in a folder of the home; nothing where the folder is a link out of it."""
        if folder.is_dir() and folder.resolve().is_relative_to(self.settings.home.resolve()):
            yield from sorted(folder.iterdir())

    def remove(self, path: Path, age: float, reason: str) -> None:
        if not path.is_symlink() and self.is_older(path, age):
            remove_within(path.parent, path.name)
            self.tell(f"Removed {path.relative_to(self.settings.home)}: it {reason}.")

    def is_older(self, path: Path, age: float) -> bool:
        try:
            return self.now - path.lstat().st_mtime >= age
        except FileNotFoundError:
            return False

    def tell(self, what: str) -> None:
        log.info("%s", what)
        self.done.append(what)
