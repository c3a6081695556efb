"""SQLite for several processes: patience with locks, checkpoints by one process at a time, local disks only, backups."""

import contextlib
import fcntl
import os
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine, event

from storage.problems import DatabaseBusy, DatabaseOnNetwork

SHORT_PATIENCE = 20  # seconds that a page or a command waits for the write lock before it says so
LONG_PATIENCE = 600  # a worker and a trainer wait longer: nobody is there to try again
LONG_WAL = 4 * 1024**2  # bytes of write-ahead log from which it is copied back, as much as SQLite itself waits for
CHECKPOINT_REST = 10    # seconds between two tries of one process

WITHOUT_WAL_BUG = (3, 51, 3)
BACKPORTS = ((3, 44, 6), (3, 50, 7))  # older lines that got the correction too
NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "fuse.smbnetfs", "afs", "ceph", "fuse.ceph", "glusterfs",
           "fuse.glusterfs", "lustre", "ncpfs", "fuse.davfs", "fuse.rclone"}
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def prepare(engine: Engine, path: Path, patience: float) -> None:
    """Give an engine its settings, its patience and its care for the write-ahead log."""

    @event.listens_for(engine, "connect")
    def set_pragmas(connection, _record):
        # the first process of all makes the file's journal a WAL, which a second one can meet halfway
        patiently(lambda: connection.execute("PRAGMA journal_mode=WAL"), patience)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA busy_timeout={int(1000 * min(1, patience))}")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA wal_autocheckpoint=0")  # see Checkpoints

    @event.listens_for(engine, "begin")
    def begin(connection):
        raw = connection.connection
        if connection.get_execution_options().get("reads_only"):
            raw.dbapi_connection.execute("BEGIN")
        else:  # nothing has been done yet, so it can be tried again
            patiently(lambda: raw.dbapi_connection.execute("BEGIN IMMEDIATE"),
                      connection.get_execution_options().get("patience", patience))
            raw.info["wrote"] = True

    checkpoints = Checkpoints(path)

    @event.listens_for(engine, "checkin")
    def after_use(connection, record):
        if record.info.pop("wrote", False) and connection is not None:
            checkpoints.keep_short(connection)


def patiently(action: Callable[[], object], patience: float) -> None:
    """Do what a lock can refuse, again and again with growing, uneven pauses; raises DatabaseBusy when patience ends."""
    deadline, pause = time.monotonic() + patience, 0.02
    while True:
        try:
            action()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _BUSY:
                raise
            if time.monotonic() >= deadline:
                raise DatabaseBusy(patience) from error
        time.sleep(random.uniform(pause / 2, pause))
        pause = min(2 * pause, 1.0)


class Checkpoints:
    """Copies a long write-ahead log back into the database, in one process at a time.

    SQLite before 3.51.3 can damage a database when one connection checkpoints while another's write starts the log anew.
    So no connection does it on its own account: whoever has written and finds the log long takes a file lock, and TRUNCATE
    starts the log anew itself, while it keeps the writers out.
    """

    def __init__(self, path: Path):
        self.wal, self.turn = Path(f"{path}-wal"), Path(f"{path}-checkpoint")
        self.rest_until = 0.0

    def keep_short(self, connection: sqlite3.Connection) -> None:
        if time.monotonic() < self.rest_until or not self.wal.exists() or self.wal.stat().st_size < LONG_WAL:
            return
        self.rest_until = time.monotonic() + CHECKPOINT_REST
        with open(os.open(self.turn, os.O_WRONLY | os.O_CREAT, 0o600), "w") as turn, contextlib.suppress(BlockingIOError):
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def version_advice(version: tuple[int, int, int] = sqlite3.sqlite_version_info) -> str:
    """What to know about this SQLite; empty where there is nothing."""
    corrected = any(line <= version < (line[0], line[1] + 1, 0) for line in BACKPORTS)
    if version >= WITHOUT_WAL_BUG or corrected:
        return ""
    return (f"SQLite {'.'.join(map(str, version))} has a rare error that can damage a database which several processes write; "
            "the studio works around it. 3.51.3 or newer is safer, and comes with a newer Python.")


def refuse_network_disk(path: Path, mounts: Path = Path("/proc/mounts")) -> None:
    """Raise DatabaseOnNetwork for a file on a network drive, whose locks SQLite cannot trust."""
    found, kind = Path("/"), ""
    for line in mounts.read_text().splitlines() if mounts.exists() else ():
        fields = line.split(" ")
        point = Path(fields[1].encode().decode("unicode_escape"))  # a space in it is written \040
        if len(point.parts) >= len(found.parts) and path.resolve().is_relative_to(point):
            found, kind = point, fields[2]
    if kind in NETWORK:
        raise DatabaseOnNetwork(path, found, kind)


def back_up(path: Path, version: str) -> Path:
    """Copy a database as it is now to a file beside it; the copy before it goes. Returns the file."""
    target = path.with_name(f"{path.stem}-before-{version}.db")
    partial = target.with_suffix(".part")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(partial)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, whole by itself
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    partial.replace(target)
    for older in path.parent.glob(f"{path.stem}-before-*.db"):
        if older != target:
            older.unlink()
    return target
