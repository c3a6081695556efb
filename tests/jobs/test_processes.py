import os
import subprocess
import sys

import pytest

from jobs.processes import ProcessMark, boot_id, group_members, is_alive, kill_group, mark_of


@pytest.fixture
def leader():
    """A process group of two: a shell and its sleep."""
    process = subprocess.Popen(["sh", "-c", "sleep 60 & echo started; wait"], start_new_session=True, stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    if process.poll() is None:
        os.killpg(process.pid, 9)
        process.wait()


def test_a_mark_says_that_very_process():
    own = mark_of(os.getpid())
    assert own == mark_of(os.getpid()) and own.boot_id == boot_id() != ""
    assert is_alive(own)
    assert not is_alive(ProcessMark(own.pid, own.started_at - 1, own.boot_id)), "an earlier owner of the number"
    assert not is_alive(ProcessMark(own.pid, own.started_at, "another start of the machine"))
    assert not is_alive(ProcessMark(0, 0, ""))


def test_a_dead_process_is_not_alive_even_before_its_parent_has_collected_it():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = mark_of(process.pid)
    assert is_alive(mark)
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table of processes
    assert mark_of(process.pid) is None and not is_alive(mark)
    process.wait()


def test_a_group_is_ended_whole_and_only_by_its_own_mark(leader):
    mark = mark_of(leader.pid)
    assert len(group_members(leader.pid)) == 2
    assert not kill_group(ProcessMark(mark.pid, mark.started_at + 5, mark.boot_id))
    assert len(group_members(leader.pid)) == 2
    assert kill_group(mark)
    assert leader.wait(timeout=60) == -9
    assert not kill_group(mark)
