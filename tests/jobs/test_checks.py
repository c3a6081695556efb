import json
import logging
import os
import signal
import threading
import time

import psutil
import pytest

from jobs import trainers
from jobs.checking import MOST_CRASHES, Checker, execute_check
from jobs.checks import ReadAs, ask_check, report_of, rows_of
from jobs.janitor import CACHE_DAYS, DAY, HOUR, tidy_up
from jobs.processes import mark_of
from jobs.uploads import keep_files
from storage.library import WORKER_SILENCE
from tests.conftest import WorkerProcess


@pytest.fixture
def keep(services, tmp_path):
    """Keeps rows as a dataset of the studio."""
    def keep_rows(rows: list[dict], name: str = "rows.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return keep_files(services, [tmp_path / name])
    return keep_rows


def chats(count: int, more: str = "") -> list[dict]:
    return [{"prompt": f"What is {number} and {number * 7}, in words?{more}", "completion": f"It is {number * 8}, of course."}
            for number in range(count)]


def make_here(services, check):
    """What the worker's process does, in this one."""
    assert (claimed := services.checks.claim(check.id))
    execute_check(services, claimed)
    return services.checks.find(check.id)


def wait_for(services, check, seconds: float = 150, state: str = "finished"):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := services.checks.find(check.id)).state == state:
            return found
        time.sleep(0.05)
    pytest.fail(f"After {seconds} s the check is {found.state} {found.phase} {found.done} {found.problem}. "
                f"{(services.settings.logs_dir / 'worker.log').read_text()[-3000:]}")


def test_a_report_is_stored_with_the_rows_of_its_findings(services, keep, tiny_llama):
    data = keep([*chats(30), *chats(3)])
    done = make_here(services, ask_check(services, data, ReadAs(), base_path=str(tiny_llama)))
    assert (done.state, done.done, done.problem) == ("finished", 1, "")
    report = report_of(done)
    assert [finding.kind for finding in report.findings] == ["exact_duplicates"] and report.tokens.examples == 33
    assert list(rows_of(services.settings, done.id, "exact_duplicates")) == [30, 31, 32]
    assert list(rows_of(services.settings, done.id, "keys")) == [] == list(rows_of(services.settings, "../uploads", "keys"))
    assert services.datasets.find(data.id).rows == 33
    assert not [path for path in services.settings.checks_dir.iterdir() if path.name != done.id], "something temporary is left"


def test_the_same_question_is_answered_once_and_another_one_anew(services, keep):
    data = keep(chats(20))
    first = ask_check(services, data, ReadAs())
    make_here(services, first)
    assert ask_check(services, data, ReadAs()).state == "finished"
    assert ask_check(services, data, ReadAs(format="text", columns={"text": "prompt"})).id != first.id
    assert ask_check(services, data, ReadAs(), chat_template="{{ messages }}").id != first.id


def test_a_report_whose_rows_were_removed_from_the_disk_is_made_again(services, keep):
    data = keep([*chats(20), *chats(1)])
    done = make_here(services, ask_check(services, data, ReadAs()))
    (services.settings.checks_dir / done.id / "exact_duplicates.bin").unlink()
    (services.settings.checks_dir / done.id).rmdir()
    assert ask_check(services, data, ReadAs()).state == "queued"
    make_here(services, done)
    assert list(rows_of(services.settings, done.id, "exact_duplicates")) == [20]


def test_overlap_with_a_validation_dataset_is_in_the_report(services, keep):
    data, held_out = keep(chats(40)), keep(chats(2), "held.jsonl")
    done = make_here(services, ask_check(services, data, ReadAs(), validation_id=held_out.id))
    assert [finding.kind for finding in report_of(done).findings] == ["validation_overlap"]


@pytest.mark.parametrize("rows, read_as, said", [
    ([{"prompt": "a question", "completion": ""}] * 9, ReadAs(), "no answer"),
    (chats(9), ReadAs(task="text-generation", format="preference"), "needs chosen and rejected"),
])
def test_data_that_cannot_be_read_fails_with_its_sentence_and_is_tried_again_when_asked(services, keep, rows, read_as, said):
    data = keep(rows)
    failed = make_here(services, ask_check(services, data, read_as))
    assert failed.state == "failed" and said in failed.problem and "Traceback" not in failed.problem
    assert ask_check(services, data, read_as).state == "queued"


def test_what_nobody_foresaw_is_a_sentence_for_the_person_and_a_traceback_in_the_log(services, keep, caplog):
    check = ask_check(services, keep(chats(9)), ReadAs())
    services.settings.checks_dir.rmdir()
    services.settings.checks_dir.write_text("a file, where a folder is expected")
    with caplog.at_level(logging.ERROR):
        failed = make_here(services, check)
    assert failed.state == "failed" and "The worker's log has the details" in failed.problem and "Traceback" not in failed.problem
    assert "Traceback" in caplog.text and "jobs/checking.py" in caplog.text


def test_data_that_is_deleted_meanwhile_leaves_no_report(services, keep):
    data = keep(chats(9))
    check = ask_check(services, data, ReadAs())
    services.trash.delete("dataset", data.id)
    assert "deleted" in make_here(services, check).problem


def test_a_claimed_check_whose_worker_is_silent_is_taken_up_again(services, keep):
    check = ask_check(services, keep(chats(9)), ReadAs())
    assert services.checks.claim(check.id) and not services.checks.claim(check.id) and services.checks.waiting() == []
    with services.checks.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE data_check SET beat_at = beat_at - {WORKER_SILENCE + 1}")
    assert services.checks.waiting() == [check.id] and services.checks.claim(check.id)


def test_the_worker_makes_a_report_that_was_rung_for_and_one_whose_ring_was_lost(working_services, tmp_path):
    services = working_services
    for name in ("rung", "lost"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in chats(40, name)))
        data = keep_files(services, [tmp_path / f"{name}.jsonl"])
        if name == "rung":
            check = ask_check(services, data, ReadAs())
        else:
            check = services.checks.ask("lost", data.id, {**vars(ReadAs()), "base_path": "", "chat_template": "", "max_length": 0})
        assert report_of(wait_for(services, check)).kept == 40


def test_a_process_that_is_killed_in_the_middle_is_begun_anew(services, keep, settings):
    data = keep(chats(3000))
    once = settings.home / "struck"
    worker = WorkerProcess(settings, STUDIO_FAULT="check.progress:2", STUDIO_FAULT_ONCE=str(once))
    try:
        done = wait_for(services, ask_check(services, data, ReadAs()))
        assert once.exists() and report_of(done).kept == 3000
        assert f"The process of the health report {done.id} ended with code 70" in worker.log.read_text()
    finally:
        worker.stop()


def test_a_process_that_always_dies_is_given_up_with_a_sentence(services, keep, settings, monkeypatch):
    check = ask_check(services, keep(chats(9)), ReadAs())
    started = []

    class Dead:
        exitcode, name = -signal.SIGKILL, check.id

    monkeypatch.setattr(trainers, "start_check", lambda *of: started.append(of) or Dead())
    Checker(services, threading.Event()).serve(check.id)
    failed = services.checks.find(check.id)
    assert len(started) == MOST_CRASHES and failed.state == "failed"
    assert "was ended by signal 9, 3 times in a row" in failed.problem and "memory" in failed.problem


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_process_ends_with_its_worker_and_the_next_worker_begins_anew(services, keep, settings, number):
    check = ask_check(services, keep(chats(9)), ReadAs())
    worker = WorkerProcess(settings, STUDIO_FAULT="check.progress:1:stop", STUDIO_FAULT_ONCE=str(settings.home / "struck"))
    wait_for(services, check, state="running")
    deadline = time.monotonic() + 150
    while not (settings.home / "struck").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    [process] = [child for child in psutil.Process(worker.process.pid).children(recursive=True)
                 if child.status() == psutil.STATUS_STOPPED]
    worker.stop(number)
    if number == signal.SIGKILL:
        os.kill(process.pid, signal.SIGCONT)  # it stood still, and goes on without its worker
    with_next = WorkerProcess(settings)
    try:
        assert report_of(wait_for(services, check)).kept == 9
        assert mark_of(process.pid) is None
    finally:
        with_next.stop()


def test_old_imports_and_reports_without_data_go_and_others_stay(services, keep):
    data = keep(chats(20))
    make_here(services, ask_check(services, data, ReadAs()))
    settings = services.settings
    for name, age in (("0123", 2 * HOUR), (".half.part", 2 * DAY)):
        (settings.checks_dir / name).mkdir()
        os.utime(settings.checks_dir / name, (time.time() - age,) * 2)
    before = list(settings.imports_dir.iterdir())
    assert len(tidy_up(services)) == 2 and list(settings.imports_dir.iterdir()) == before
    assert len(list(settings.checks_dir.iterdir())) == 1
    assert len(tidy_up(services, time.time() + (CACHE_DAYS + 1) * DAY)) == 1
    assert list(settings.imports_dir.iterdir()) == [] and len(list(settings.checks_dir.iterdir())) == 1
    report = make_here(services, ask_check(services, data, ReadAs(task="text-generation")))
    assert report.state == "finished", "what is removed is made again"


def test_what_a_running_run_may_have_opened_stays(services, keep):
    services.runs.submit(name="poet", task="t", method="lora", base_model="b", recipe={}, base={}, data={})
    services.leases.claim_next("cpu", "here")
    make_here(services, ask_check(services, keep(chats(9)), ReadAs()))
    assert tidy_up(services, time.time() + 365 * DAY) == []
