"""The disk becomes full: what was learnt stays, the record stays whole, and the run can be continued."""

import os
import sqlite3

import pytest

from jobs import checkpoints
from jobs.continuing import continue_run
from jobs.recipe_reader import read_recipe
from jobs.services import open_services
from jobs.submit import submit
from storage.problems import RecipeInvalid
from storage.records import RunState
from storage.settings import StudioSettings
from storage.soundness import check_database
from tests.conftest import WorkerProcess, wait_for_end, wait_until
from tests.in_process import train_here
from tests.small_disk import small_disk

ROOM = 16 * 1024  # bytes that the log and the notes may still take; a checkpoint needs more


def fill(folder, leave: int) -> None:
    """Take all the room of a disk but for `leave` bytes."""
    status = os.statvfs(folder)
    with (folder / "ballast").open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, status.f_bavail * status.f_frsize - leave)


@pytest.fixture
def studio(tmp_path):
    """Services whose runs lie on a disk of 64 MB."""
    settings = StudioSettings.from_env({"STUDIO_HOME": str(tmp_path / "home"), "STUDIO_FREE_SPACE_FLOOR": str(8 * 1024**2)})
    settings.make_folders()
    with small_disk(settings.runs_dir, megabytes=64):
        yield open_services(settings)


@pytest.fixture
def recipe(tiny_llama, chats):
    return read_recipe({"name": "try", "base_model": str(tiny_llama), "dataset": {"source": str(chats), "validation": "none"},
                        "training": {"max_steps": 12, "batch_size": 8, "save_steps": 4}})


@pytest.mark.parametrize("leave", [0, ROOM])
def test_a_disk_that_fills_during_a_save_costs_no_more_than_that_save(studio, recipe, monkeypatch, leave):
    from jobs.training.report import Report

    run = submit(studio, recipe)
    run_dir = studio.settings.runs_dir / run.id
    progress = Report.progress

    def filling(report, step, total):
        progress(report, step, total)
        if step == 6:
            fill(studio.settings.runs_dir, leave)

    monkeypatch.setattr(Report, "progress", filling)
    train_here(studio)
    ended = studio.runs.get(run.id)
    assert (ended.state, ended.problem_kind, ended.checkpoint_step) == (RunState.FAILED, "disk_full", 4)
    assert "The disk became full" in ended.problem
    assert checkpoints.step_of(checkpoints.newest(run_dir / "checkpoints")) == 4
    assert [path.name for path in run_dir.glob("checkpoints/*/checkpoint-*")] == ["checkpoint-4"], "half a checkpoint is left"
    check_database(studio.settings)
    assert [line.level for line in studio.runs.log_lines(run.id)][-1] == "error"

    with pytest.raises(RecipeInvalid, match="GB free, and .* GB are needed"):
        submit(studio, recipe)
    monkeypatch.undo()
    (studio.settings.runs_dir / "ballast").unlink()
    new = continue_run(studio, run.id)
    train_here(studio)
    new = studio.runs.get(new.id)
    assert (new.state, new.problem, new.step) == (RunState.FINISHED, "", 12)
    assert [point.step for point in studio.runs.metrics(new.id, ["loss"])] == list(range(1, 13))


def test_no_run_starts_below_the_floor_and_it_starts_once_there_is_room_again(studio, recipe):
    run = submit(studio, recipe)
    fill(studio.settings.runs_dir, ROOM)
    worker = WorkerProcess(studio.settings, STUDIO_FREE_SPACE_FLOOR=str(studio.settings.free_space_floor))
    try:
        wait_until(studio, run.id, lambda _: "No run starts." in worker.log.read_text())
        assert studio.runs.get(run.id).state == RunState.QUEUED
        (studio.settings.runs_dir / "ballast").unlink()
        assert wait_for_end(studio, run.id).state == RunState.FINISHED
    finally:
        worker.stop()


def test_a_record_that_cannot_be_written_leaves_the_database_whole(tmp_path):
    with small_disk(tmp_path / "home", megabytes=4):
        settings = StudioSettings.from_env({"STUDIO_HOME": str(tmp_path / "home")})
        services = open_services(settings)
        fill(settings.home, leave=0)
        with pytest.raises(Exception, match="database or disk is full|disk I/O error"):
            for number in range(1000):
                services.workers.beat(f"worker {number}", "here", 1, ["cpu"] * 50)
        check_database(settings)
        (settings.home / "ballast").unlink()
        services.workers.beat("another", "here", 1, ["cpu"])
        assert services.workers.find("another")
        with sqlite3.connect(settings.home / "studio.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
