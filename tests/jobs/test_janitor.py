import os
import threading
import time

import pytest

from jobs import housekeeping
from jobs.janitor import DAY, HOUR, LOG_BYTES, tidy_up
from jobs.uploads import dataset_paths, keep_files
from jobs.worker import Worker
from storage.records import RunState
from storage.trash import UNDO_SECONDS


@pytest.fixture
def running(services):
    """A running run with a checkpoint, and an adapter that it has published and not yet recorded."""
    services.runs.submit(name="poet", task="t", method="lora", base_model="b", recipe={}, base={}, data={})
    run = services.leases.claim_next("cpu", "here")
    make(services.settings.runs_dir / run.id / "checkpoints" / "attempt-1" / "checkpoint-1" / "weights")
    make(services.settings.adapters_dir / f"{run.id}-1" / "adapter_model.safetensors")
    make(services.settings.adapters_dir / f"{run.id}-1.zip")
    return run


def make(path, age: float = 0.0, text: str = "x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    grow_old(path, age)
    return path


def grow_old(path, age: float) -> None:
    os.utime(path, (time.time() - age,) * 2)


def everything(home) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*") if not path.name.startswith(("studio.db", "queue.db"))}


def test_nothing_of_a_running_run_is_touched_however_old(services, running):
    before = everything(services.settings.home)
    assert tidy_up(services, time.time() + 365 * DAY) == []
    assert everything(services.settings.home) == before


@pytest.mark.parametrize("state, done", [(RunState.FAILED, 2), (RunState.CANCELLED, 3)])
def test_what_an_ended_run_published_and_never_recorded_goes_after_an_hour(services, running, state, done):
    services.leases.end(running.id, running.fence, state)
    adapter = services.settings.adapters_dir / f"{running.id}-1"
    tidy_up(services, time.time() + HOUR / 2)
    assert adapter.is_dir() and adapter.with_name(f"{adapter.name}.zip").exists()
    tidy_up(services, time.time() + HOUR + 1)
    assert list(services.settings.adapters_dir.iterdir()) == []
    checkpoints = services.settings.runs_dir / running.id / "checkpoints"
    assert checkpoints.exists() == (state == RunState.FAILED), "only a cancelled run keeps none"


def test_a_recorded_adapter_stays_also_while_it_can_be_restored(services, running):
    record = {"name": "poet", "folder": f"{running.id}-1", "zip_name": f"{running.id}-1.zip", "bytes": 1, "zip_bytes": 1,
              "files": [], "task": "t", "method": "lora", "base_model": "b", "base_path": "", "base_hash": ""}
    services.leases.end(running.id, running.fence, RunState.FINISHED, adapter=record)
    assert tidy_up(services, time.time() + DAY) == []
    housekeeping.delete(services, "run", running.id)
    assert tidy_up(services, time.time() + DAY) == []
    assert (services.settings.adapters_dir / f"{running.id}-1.zip").exists()


def test_what_was_deleted_goes_when_its_week_is_over(settings, running, services, tmp_path):
    data = keep_files(services, [make(tmp_path / "rows.csv", text="a,b\n1,2\n")])
    services.leases.end(running.id, running.fence, RunState.FAILED)
    for kind, id in (("run", running.id), ("dataset", data.id)):
        housekeeping.delete(services, kind, id)
    assert tidy_up(services) == []
    services.trash.clock = lambda: time.time() + UNDO_SECONDS
    assert tidy_up(services) == [f"Removed the deleted run {running.id} for good.",
                                 f"Removed the deleted dataset {data.id} for good."]
    assert list(settings.runs_dir.iterdir()) == list(settings.uploads_dir.iterdir()) == []


def test_half_made_things_go_after_a_day_and_not_before(services, settings, tmp_path):
    kept = dataset_paths(services, keep_files(services, [make(tmp_path / "rows.csv", text="a,b\n1,2\n")]))[0]
    grow_old(kept, 365 * DAY)
    for age in (DAY / 2, 2 * DAY):
        for path in (settings.adapters_dir / f".staged-{age}", settings.temporary_dir / f"{age}"):
            make(path / "file", age)
            grow_old(path, age)
        make(settings.adapters_dir / f".staged-{age}.zip", age)
        make(settings.uploads_dir / f".{age}.part", age)
        make(settings.uploads_dir / f"0123{age}" / "lost.csv", age)
    before = everything(settings.home)
    done = tidy_up(services)
    gone = before - everything(settings.home)
    assert gone == {path for path in before if f"{2 * DAY}" in path} and len(gone) == 8 and len(done) == 5
    assert kept.exists()


def test_a_page_that_still_writes_keeps_its_temporary_files(services, settings):
    grow_old(make(settings.temporary_dir / "upload" / "growing.csv").parent, 2 * DAY)
    assert tidy_up(services) == [] and (settings.temporary_dir / "upload" / "growing.csv").exists()


def test_run_folders_without_a_run_go_and_foreign_files_stay(services, settings):
    lost, notes = settings.runs_dir / "0123456789ab", settings.runs_dir / "my notes"
    for path in (lost, notes, settings.adapters_dir / "my adapter"):
        make(path / "file", 2 * HOUR)
        grow_old(path, 2 * HOUR)
    assert tidy_up(services) == ["Removed runs/0123456789ab: it belongs to no run."]
    assert not lost.exists() and notes.exists() and (settings.adapters_dir / "my adapter").exists()


def test_links_out_of_the_home_are_not_followed(services, settings, tmp_path):
    outside = tmp_path / "outside"
    make(outside / "precious", 9 * DAY)
    make(outside / "0123456789ab" / "precious", 9 * DAY)
    for folder, name in ((settings.adapters_dir, ".staged-link"), (settings.runs_dir, "ab0123456789"),
                         (settings.uploads_dir, "0123456789abcdef"), (settings.temporary_dir, "link")):
        (folder / name).symlink_to(outside)
    tidy_up(services, time.time() + 9 * DAY)
    settings.runs_dir.joinpath("ab0123456789").unlink()
    settings.runs_dir.rmdir()
    settings.runs_dir.symlink_to(outside)  # runs on another disk: what lies there is not for us to judge
    tidy_up(services, time.time() + 9 * DAY)
    assert everything(outside) == {"precious", "0123456789ab", "0123456789ab/precious"}


def test_a_long_log_is_put_aside_while_its_writer_goes_on(services, settings):
    log = settings.logs_dir / "worker.log"
    with log.open("a") as writer:
        writer.write("x" * LOG_BYTES)
        writer.flush()
        assert tidy_up(services) == []
        writer.write("the last line before\n")
        writer.flush()
        assert tidy_up(services) == ["Put logs/worker.log aside as worker.log.1."]
        writer.write("the first line after\n")
    assert log.read_text() == "the first line after\n"
    assert log.with_name("worker.log.1").read_text().endswith("the last line before\n")


def test_what_cannot_be_removed_does_not_keep_the_rest_from_going(services, settings, monkeypatch, caplog):
    def broken(*_):
        raise PermissionError("not yours")

    monkeypatch.setattr(services.trash, "due", broken)
    make(settings.uploads_dir / ".old.part", 2 * DAY)
    assert tidy_up(services) == ["Removed uploads/.old.part: it was never finished."]
    assert "not yours" in caplog.text


def test_a_worker_tidies_up_when_it_starts(services, settings):
    leftover = settings.runs_dir / "0123456789ab"
    leftover.mkdir()
    os.utime(leftover, (0, 0))
    worker = Worker(settings)
    worker.stopping.set()
    thread = threading.Thread(target=worker.tidy_on)
    thread.start()
    thread.join(10)
    assert not leftover.exists() and not thread.is_alive()
