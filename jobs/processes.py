"""Telling processes apart: a number is given to another program later, so a process is its number, its start and its boot."""

import fcntl
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil


@dataclass(frozen=True)
class ProcessMark:
    """One process for ever: pid, seconds from the machine's start to the process's, and which start of the machine."""

    pid: int
    started_at: float
    boot_id: str


def boot_id() -> str:
    """A name for this run of the machine's kernel; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def mark_of(pid: int) -> ProcessMark | None:
    """The mark of a living process; None for one that is gone, or dead and not yet collected by its parent."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _mark_by_clock(pid) if not os.path.isdir("/proc/self") else None
    if fields[0] in "ZX":
        return None
    return ProcessMark(pid, int(fields[19]) / os.sysconf("SC_CLK_TCK"), boot_id())


def is_alive(mark: ProcessMark) -> bool:
    """Whether that very process lives: the same start of the machine, the same start of the process."""
    now = mark_of(mark.pid) if mark.pid else None
    return now is not None and now.boot_id == mark.boot_id and abs(now.started_at - mark.started_at) < 0.05


def is_stopped(mark: ProcessMark) -> bool:
    """Whether that very process stands still, as after SIGSTOP."""
    try:
        return is_alive(mark) and psutil.Process(mark.pid).status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def kill_group(mark: ProcessMark) -> bool:
    """End the process group that this process leads; False where it is not that process any more."""
    if not is_alive(mark):
        return False
    try:
        os.killpg(mark.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def take_lock(file: int | IO, seconds: float) -> bool:
    """Lock an open file for this process alone, waiting so long for another to end; the kernel lets go at any death."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)


def group_members(group: int) -> list[int]:
    """Process numbers of a group."""
    members = []
    for pid in psutil.pids():
        try:
            if os.getpgid(pid) == group:
                members.append(pid)
        except (ProcessLookupError, PermissionError):
            continue
    return members


def _mark_by_clock(pid: int) -> ProcessMark | None:
    # systems without /proc: the start by the wall clock is the best there is
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else ProcessMark(pid, process.create_time(), "")
    except psutil.NoSuchProcess:
        return None
