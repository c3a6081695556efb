"""The queue from a terminal."""

import json

import pytest
import yaml
from typer.testing import CliRunner

import app
from jobs.turn import system_user
from storage.problems import NotWaiting, RecipeInvalid


@pytest.fixture
def studio(settings, monkeypatch):
    monkeypatch.setenv("STUDIO_HOME", str(settings.home))

    def studio(*arguments):
        return CliRunner().invoke(app.app, [str(argument) for argument in arguments], catch_exceptions=False)
    return studio


@pytest.fixture
def queued(studio, tmp_path, tiny_llama, chats):
    def queued(name, *options):
        recipe = tmp_path / f"{name}.yaml"
        recipe.write_text(yaml.safe_dump({"base_model": str(tiny_llama), "dataset": {"source": str(chats)}}))
        return found(studio("train", recipe, "--no-wait", "--json", *options))["run_id"]
    return queued


def found(result) -> dict:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_the_queue_is_listed_in_its_order_with_what_was_wished(studio, queued):
    held = queued("held", "--hold")
    later = queued("later", "--start-at", "2126-11-22 08:00", "--priority", "low")
    urgent = queued("urgent", "--priority", "high", "--device", "cpu")
    waiting = found(studio("runs", "queue", "--json"))["waiting"]
    assert [run["run_id"] for run in waiting] == [urgent, held, later]
    assert [run["place"] for run in waiting] == [1, 0, 0]
    assert waiting[0] == {"run_id": urgent, "name": "urgent", "owner": system_user(), "priority": "high", "device": "cpu",
                          "place": 1, "held": False, "start_at": None, "expected_start": None}
    assert waiting[2]["start_at"] == "2126-11-22 08:00"
    table = studio("runs", "queue").stdout
    assert urgent in table and "held" in table and "2126-11-22" in table


def test_an_empty_queue_says_so(studio):
    assert "nothing waits" in studio("runs", "queue").stdout
    assert found(studio("runs", "queue", "--json")) == {"running": [], "waiting": [], "waiting_count": 0}


def test_runs_are_moved_held_and_changed(studio, queued):
    first, second = queued("first"), queued("second")
    assert found(studio("runs", "move", second, "up", "--json"))["place"] == 1
    assert "first: number 1 in the queue" in studio("runs", "move", first, "top").stdout
    assert found(studio("runs", "hold", first, "--json"))["held"]
    assert found(studio("runs", "queue", "--json"))["waiting"][1]["place"] == 1, "a held run is left out of the line"
    assert not found(studio("runs", "release", first, "--json"))["held"]
    changed = found(studio("runs", "change", second, "--priority", "high", "--start-at", "2126-11-22 08:00", "--json"))
    assert (changed["priority"], changed["start_at"], changed["place"]) == ("high", "2126-11-22 08:00", 0)
    assert "second: number 1" in studio("runs", "change", second, "--start-at", "").stdout


def test_what_cannot_be_is_a_known_problem(studio, queued):
    run_id = queued("a run")
    with pytest.raises(RecipeInvalid, match="moved 'sideways'. Choose up, down or top"):
        studio("runs", "move", run_id, "sideways")
    with pytest.raises(RecipeInvalid, match="device is 'tpu'"):
        studio("runs", "change", run_id, "--device", "tpu")
    with pytest.raises(RecipeInvalid, match="priority is 'urgent'"):
        studio("runs", "change", run_id, "--priority", "urgent")
    studio("runs", "cancel", run_id)
    with pytest.raises(NotWaiting):
        studio("runs", "hold", run_id)
