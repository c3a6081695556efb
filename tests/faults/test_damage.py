"""A flipped byte or a file cut short is noticed before anything is built on it."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from jobs import checkpoints
from jobs.compare import generate_answers
from jobs.continuing import continue_run
from jobs.doctor import check_records
from jobs.export import copy_zip
from jobs.recipe_reader import read_recipe
from jobs.services import open_services
from jobs.submit import submit
from storage.problems import ArtefactCorrupt, DatabaseDamaged, RecipeInvalid
from storage.records import RunState
from storage.settings import StudioSettings
from storage.soundness import check_database
from tests.conftest import ROOT, WorkerProcess
from tests.in_process import strike, train_here

DAMAGES = {"flip": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:], "cut": lambda content: content[:-9]}


@pytest.fixture(params=DAMAGES)
def damage(request):
    """Change a file, and take the change back at the end: the fixtures' files serve other tests too."""
    kept: dict[Path, bytes] = {}

    def damage(path: Path) -> None:
        kept[path] = path.read_bytes()
        path.write_bytes(DAMAGES[request.param](kept[path]))

    yield damage
    for path, content in kept.items():
        if path.parent.is_dir():  # a checkpoint may be gone by now
            path.write_bytes(content)


@pytest.fixture(scope="module")
def studio(tmp_path_factory, tiny_llama, chats):
    """Services with a finished run. Serves all tests here, which leave it as it was."""
    services = open_services(StudioSettings.from_env({"STUDIO_HOME": str(tmp_path_factory.mktemp("damaged"))}))
    run = submit(services, recipe_for(tiny_llama, chats))
    train_here(services)
    return services, services.runs.get(run.id)


def recipe_for(base, source, **changes):
    return read_recipe({"name": "try", "base_model": str(base), "dataset": {"source": str(source), "validation": "none"},
                        "training": {"max_steps": 6, "batch_size": 8, "save_steps": 2}, **changes})


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "optimizer.pt"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_it(services, tiny_llama, chats, damage, monkeypatch, tmp_path,
                                                                     name):
    run = submit(services, recipe_for(tiny_llama, chats))
    folder = services.settings.runs_dir / run.id / "checkpoints"
    claim = services.leases.claim_next

    def damage_then_claim(*values):
        if services.runs.get(run.id).attempts == 1:
            newest = checkpoints.newest(folder)
            assert checkpoints.step_of(newest) == 4
            damage(newest / name)
        return claim(*values)

    monkeypatch.setattr(services.leases, "claim_next", damage_then_claim)
    strike(monkeypatch, "training.forward:6", once=tmp_path / "struck")
    train_here(services)
    ended = services.runs.get(run.id)
    assert (ended.state, ended.problem, ended.step) == (RunState.FINISHED, "", 6)
    assert "Going on from the checkpoint at step 2." in [line.text for line in services.runs.log_lines(run.id)]


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_damaged_adapter_is_not_used_for_anything(studio, tiny_llama, chats, damage, name):
    services, run = studio
    adapter = services.adapters.get(run.id)
    folder = services.settings.adapters_dir / adapter.folder
    ask = ("Say river", {"max_new_tokens": 1})
    assert generate_answers(services, str(tiny_llama), [run.id], *ask)
    damage(folder / name)
    with pytest.raises(ArtefactCorrupt, match=f"The file '{name}' of the adapter 'try' is damaged"):
        generate_answers(services, str(tiny_llama), [run.id], *ask)
    with pytest.raises(RecipeInvalid, match=f"'{name}' .* is damaged"):
        submit(services, recipe_for(tiny_llama, chats, start_from=run.id))
    _, answer = generate_answers(services, str(tiny_llama), [str(folder)], *ask)  # as the page's playground does, by the folder
    assert name in answer["problem"] and answer["text"] == ""


def test_a_damaged_zip_is_not_given_out(studio, damage, tmp_path):
    from studio.web import create_web_app

    services, run = studio
    web = TestClient(create_web_app(services), base_url=f"http://127.0.0.1:{services.settings.port}")
    assert web.get(f"/download/{run.id}").status_code == 200
    path = services.settings.adapters_dir / services.adapters.get(run.id).zip_name
    content = path.read_bytes()
    damage(path)
    if path.stat().st_size == len(content):  # a byte of the weights, not of the list of contents at the end
        path.write_bytes(content[:len(content) // 2] + bytes([content[len(content) // 2] ^ 1]) + content[len(content) // 2 + 1:])
    with pytest.raises(ArtefactCorrupt, match="The zip of the adapter 'try' is damaged"):
        copy_zip(services, run.id, tmp_path)
    answer = web.get(f"/download/{run.id}")
    assert answer.status_code == 500 and "is damaged" in answer.text
    assert list(tmp_path.glob("*.zip")) == []


def test_damaged_data_is_never_trained_on(studio, tiny_llama, chats, damage, capfd):
    services, run = studio
    waiting = submit(services, recipe_for(tiny_llama, chats))
    damage(next(services.settings.uploads_dir.glob("*/chats.jsonl")))
    with pytest.raises(ArtefactCorrupt, match="'chats.jsonl' .* is not what was uploaded"):
        continue_run(services, run.id, max_steps=8)
    train_here(services)
    ended = services.runs.get(waiting.id)
    assert (ended.state, ended.problem_kind, ended.step) == (RunState.FAILED, "artefact_corrupt", 0)
    assert "'chats.jsonl'" in ended.problem and "Upload it again" in ended.problem
    assert "Traceback" in (said := capfd.readouterr().err) and "ArtefactCorrupt" in said


@pytest.fixture
def damaged_home(studio, tmp_path):
    """A copy of the studio's home, whose database has a page that is not what SQLite wrote."""
    services, _ = studio
    home = tmp_path / "copy"
    home.mkdir()
    with sqlite3.connect(services.settings.home / "studio.db") as source, sqlite3.connect(home / "studio.db") as target:
        source.backup(target)
    settings = StudioSettings.from_env({"STUDIO_HOME": str(home)})
    check_database(settings)
    with sqlite3.connect(home / "studio.db") as connection:
        size, = connection.execute("PRAGMA page_size").fetchone()
        page, = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'log_line'").fetchone()
    with (home / "studio.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(range(256)) * (size // 256))
    for left in home.glob("studio.db-*"):
        left.unlink()
    return settings


def test_a_damaged_database_is_told_by_the_doctor_and_no_worker_builds_on_it(damaged_home):
    with pytest.raises(DatabaseDamaged, match=r"studio.db is damaged \(.+\). Stop the studio"):
        check_database(damaged_home)
    finding = check_records(damaged_home)
    assert not finding.ok and "is damaged" in finding.text
    worker = WorkerProcess(damaged_home)
    assert worker.process.wait(timeout=60) == 2
    said = worker.log.read_text().replace("\n", " ")
    assert "is damaged" in said and "Traceback" not in said
    doctor = subprocess.run([sys.executable, str(ROOT / "app.py"), "doctor"], capture_output=True, text=True, timeout=120,
                            env={"STUDIO_HOME": str(damaged_home.home), "PATH": os.environ["PATH"]})
    assert doctor.returncode == 1 and "is damaged" in doctor.stdout.replace("\n", " ") and "Traceback" not in doctor.stderr


def test_a_file_that_is_no_database_is_told_too(tmp_path):
    settings = StudioSettings.from_env({"STUDIO_HOME": str(tmp_path)})
    check_database(settings)  # not there yet
    (tmp_path / "studio.db").write_bytes(b"something else" * 100)
    with pytest.raises(DatabaseDamaged, match="file is not a database"):
        check_database(settings)
