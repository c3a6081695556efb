"""Looks at this machine and this installation, and says what to mend."""

import importlib.metadata
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from jobs.services import open_services
from jobs.units import size
from storage.problems import StudioError
from storage.settings import REPOSITORY, StudioSettings
from storage.soundness import check_database
from storage.sqlite import version_advice


@dataclass(frozen=True)
class Finding:
    what: str
    ok: bool
    text: str


def check_machine(settings: StudioSettings) -> list[Finding]:
    """Everything that a run needs, one finding each; nothing is changed but that the home folder is made."""
    settings.make_folders()
    database = check_records(settings)
    return [check_python(), check_packages(), check_sqlite(), check_disk(settings), check_memory(), check_gpu(),
            check_demo_base(settings), database, *([check_worker(settings)] if database.ok else []), check_port(settings)]


def check_python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", sys.version_info >= (3, 11), f"{version}; 3.11 or newer is needed.")


def check_packages(requirements: Path = REPOSITORY / "requirements.txt") -> Finding:
    wrong = []
    for line in requirements.read_text("utf-8").splitlines():
        name, _, version = line.split("#")[0].strip().partition("==")
        if not name:
            continue
        try:
            installed = importlib.metadata.version(name.split("[")[0])
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        if installed.split("+")[0] != version:
            wrong.append(f"{name} is {installed} instead of {version}")
    return Finding("Packages", not wrong, f"{'; '.join(wrong)}. Run make setup." if wrong else "all as requirements.txt says.")


def check_sqlite() -> Finding:
    return Finding("SQLite", sqlite3.sqlite_version_info >= (3, 38, 0),
                   version_advice() or f"{sqlite3.sqlite_version}; 3.38 or newer is needed.")


def check_disk(settings: StudioSettings) -> Finding:
    free = shutil.disk_usage(settings.home).free
    enough = free > settings.free_space_floor
    return Finding("Disk", enough, f"{size(free)} free at {settings.home}." + ("" if enough else " Free some space."))


def check_memory() -> Finding:
    memory = psutil.virtual_memory()
    enough = memory.available > 1.5e9
    return Finding("Memory", enough, f"{size(memory.available)} of {size(memory.total)} free, {os.cpu_count()} CPU cores."
                   + ("" if enough else " Close other programs: a trainer needs about 1.5 GB for itself."))


def check_gpu() -> Finding:
    if not shutil.which("nvidia-smi"):
        return Finding("GPU", True, "none found; training runs on the CPU, only slower.")
    answer = subprocess.run(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
                            capture_output=True, text=True, timeout=20)
    if answer.returncode:
        return Finding("GPU", False, f"nvidia-smi fails: {answer.stderr.strip() or answer.stdout.strip()} Mend the driver.")
    return Finding("GPU", True, "; ".join(answer.stdout.strip().splitlines()))


def check_records(settings: StudioSettings) -> Finding:
    try:
        check_database(settings)
    except StudioError as problem:
        return Finding("Database", False, str(problem))
    return Finding("Database", True, "every page of it is sound.")


def check_demo_base(settings: StudioSettings) -> Finding:
    from jobs.models.inspect import inspect_base_model

    try:
        facts = inspect_base_model(settings.demo_base)
    except StudioError as problem:
        return Finding("Demo model", False, str(problem))
    return Finding("Demo model", True, f"{facts.parameters:,} parameters.")


def check_worker(settings: StudioSettings) -> Finding:
    alive = open_services(settings).workers.alive()
    if not alive:
        return Finding("Worker", True, "none is running; make studio starts one, and so does train for itself.")
    return Finding("Worker", True, "; ".join(
        f"{worker.host}, process {worker.pid}: {', '.join(worker.devices)}" for worker in alive))


def check_port(settings: StudioSettings) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            return Finding("Address", True, f"{settings.host}:{settings.port} is in use ({error.strerror}); if that is not the "
                           "studio, set STUDIO_PORT.")
    return Finding("Address", True, f"{settings.host}:{settings.port} is free.")
