import fcntl
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from storage.database import connect
from storage.problems import DatabaseBusy, DatabaseOnNetwork
from storage.sqlite import LONG_WAL, back_up, refuse_network_disk, version_advice

HOLD = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN IMMEDIATE'); print('held', flush=True); input()"


@pytest.fixture
def locked(tmp_path):
    """A database that another process holds the write lock of; call it to let go."""
    path = tmp_path / "studio.db"
    with connect(f"sqlite:///{path}").begin() as connection:
        connection.execute(text("CREATE TABLE note (words)"))
    holder = subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    holder.stdout.readline()
    yield path, lambda: holder.communicate("\n", timeout=10)
    holder.kill()
    holder.wait()


def test_a_writer_waits_until_another_program_lets_go(locked):
    path, let_go = locked
    engine = connect(f"sqlite:///{path}", patience=30)
    threading.Timer(0.5, let_go).start()
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO note VALUES ('written')"))
    with engine.connect().execution_options(reads_only=True) as connection:
        assert connection.execute(text("SELECT words FROM note")).scalars().all() == ["written"]


def test_a_writer_whose_patience_ends_says_what_to_do_and_a_reader_does_not_wait(locked):
    path, let_go = locked
    engine = connect(f"sqlite:///{path}", patience=0.3)
    with pytest.raises(DatabaseBusy, match="locked for 0.3 s.*close it"), engine.begin():
        pass
    began = time.monotonic()
    with engine.connect().execution_options(reads_only=True) as connection:
        assert connection.execute(text("SELECT count(*) FROM note")).scalar_one() == 0
    assert time.monotonic() - began < 0.2
    let_go()
    with engine.begin() as connection:  # the connection is as good as before
        connection.execute(text("INSERT INTO note VALUES ('later')"))


def test_twenty_writers_that_wait_leave_room_for_readers(locked):
    path, let_go = locked
    engine = connect(f"sqlite:///{path}", patience=30)

    def add_one():
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO note VALUES ('one')"))

    writers = [threading.Thread(target=add_one) for _ in range(20)]
    for writer in writers:
        writer.start()
    with engine.connect().execution_options(reads_only=True) as connection:
        assert connection.execute(text("SELECT count(*) FROM note")).scalar_one() == 0
    let_go()
    for writer in writers:
        writer.join()
    with engine.connect().execution_options(reads_only=True) as connection:
        assert connection.execute(text("SELECT count(*) FROM note")).scalar_one() == 20


def test_the_log_of_writes_is_copied_back_when_it_is_long_and_by_one_process_at_a_time(tmp_path):
    path, big = tmp_path / "studio.db", "x" * 600_000
    engines = [connect(f"sqlite:///{path}") for _ in range(2)]
    log = tmp_path / "studio.db-wal"

    def write(engine):
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO note VALUES (:words)"), {"words": big})

    with engines[0].begin() as connection:
        connection.execute(text("CREATE TABLE note (words)"))
    turn = open(tmp_path / "studio.db-checkpoint", "w")
    fcntl.flock(turn, fcntl.LOCK_EX)  # somebody else is at it
    for _ in range(10):
        write(engines[0])
    assert log.stat().st_size > LONG_WAL
    turn.close()
    write(engines[1])
    assert log.stat().st_size == 0
    with engines[0].connect().execution_options(reads_only=True) as connection:
        assert connection.execute(text("SELECT count(*) FROM note")).scalar_one() == 11
        assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"


@pytest.mark.parametrize(("version", "safe"), [((3, 40, 1), False), ((3, 51, 2), False), ((3, 51, 3), True), ((3, 53, 0), True),
                                               ((3, 44, 6), True), ((3, 45, 0), False), ((3, 50, 7), True), ((3, 50, 6), False)])
def test_an_sqlite_that_can_damage_its_log_is_told(version, safe):
    assert (version_advice(version) == "") == safe


def test_a_database_on_a_network_drive_is_refused(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/vda / ext4 rw 0 0\nserver:/home /mnt/team\\040share nfs4 rw 0 0\n"
                      "/dev/vdb /mnt/team\\040share/own xfs rw 0 0\n"
                      "me@host: /mnt/there fuse.sshfs rw 0 0\n")
    refuse_network_disk(tmp_path / "studio.db", mounts)
    refuse_network_disk(Path("/mnt/team share/own/studio.db"), mounts)
    for place in ("/mnt/team share/a/studio.db", "/mnt/there/studio.db"):
        with pytest.raises(DatabaseOnNetwork, match="STUDIO_HOME"):
            refuse_network_disk(Path(place), mounts)


def test_a_backup_is_one_whole_file_and_the_newest_one_only(tmp_path):
    path = tmp_path / "studio.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE note (words)")
        database.execute("INSERT INTO note VALUES ('kept')")
    first, second = back_up(path, "0002"), back_up(path, "0003")
    assert sorted(tmp_path.glob("*before*")) == [second] and not first.exists()
    assert oct(second.stat().st_mode)[-3:] == "600"
    assert sqlite3.connect(second).execute("SELECT words FROM note").fetchall() == [("kept",)]
