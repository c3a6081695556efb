"""What people wish for a run's place, from any door."""

from datetime import datetime

import pytest

from jobs.recipe_reader import read_recipe
from jobs.submit import submit
from jobs.turn import Turn, change_turn, check_turn, offered_devices, read_turn, turn_of
from storage.problems import NotWaiting, RecipeInvalid
from storage.records import Priority, Request

LATER = "2126-11-22 08:00"


@pytest.fixture
def run(services, tiny_llama, chats):
    def run(**wishes):
        recipe = read_recipe({"base_model": str(tiny_llama), "dataset": {"source": str(chats)}})
        return submit(services, recipe, turn=Turn(**wishes))
    return run


def test_a_run_waits_as_it_was_wished(services, run):
    waits = run(priority="high", device="cpu", start_at=LATER, hold=True, owner=" Ann ")
    assert (waits.priority, waits.wanted_device, waits.held, waits.owner) == (Priority.HIGH, "cpu", True, "Ann")
    assert datetime.fromtimestamp(waits.start_at) == datetime(2126, 11, 22, 8)
    assert turn_of(waits) == Turn(priority="high", device="cpu", start_at=LATER, hold=True, owner="Ann")


def test_nothing_wished_is_the_usual_place(run):
    waits = run()
    assert turn_of(waits) == Turn() and waits.start_at is None


@pytest.mark.parametrize("typed", [LATER, "2126-11-22 08:00:00", "2126-11-22T08:00"])
def test_a_time_is_read_in_the_usual_forms(services, typed):
    assert datetime.fromtimestamp(check_turn(services, Turn(start_at=typed)).start_at) == datetime(2126, 11, 22, 8)


def test_a_time_that_has_passed_means_now(services):
    assert check_turn(services, Turn(start_at="2020-01-01 08:00")).start_at is None


def test_devices_are_those_of_the_living_workers(services):
    services.workers.beat("one", "here", 1, ["cuda:0", "cuda:1"])
    services.workers.beat("two", "there", 1, ["cuda:0"])
    assert offered_devices(services) == ["cuda:0", "cuda:1"]
    with pytest.raises(RecipeInvalid, match="'cpu', and no worker offers that. Choose one of cuda:0, cuda:1"):
        check_turn(services, Turn(device="cpu"))


def test_everything_that_is_wrong_is_told_at_once(services, tmp_path):
    recipe = read_recipe({"base_model": "nowhere", "dataset": {"source": str(tmp_path / "none.csv")}})
    with pytest.raises(RecipeInvalid) as problem:
        submit(services, recipe, turn=Turn(device="tpu", start_at="tomorrow"))
    told = "\n".join(problem.value.problems)
    assert all(word in told for word in ("nowhere", "none.csv", "'tpu'", "start_at is 'tomorrow'"))
    assert services.queue.count() == 0
    with pytest.raises(RecipeInvalid, match="priority is 'urgent'. Choose one of low, normal"):
        read_turn({"priority": "urgent"})


def test_a_change_leaves_alone_what_it_does_not_name(services, run):
    waits = run(priority="high", start_at=LATER, owner="Ann")
    changed = change_turn(services, waits.id, hold=True)
    assert turn_of(changed) == Turn(priority="high", start_at=LATER, hold=True, owner="Ann")
    assert change_turn(services, waits.id, start_at="").start_at is None
    assert services.bell.pending() == 3, "the worker is told that something changed"


def test_a_run_whose_device_has_gone_can_still_be_changed(services, run):
    services.workers.beat("one", "here", 1, ["cuda:7"])
    waits = run(device="cuda:7")
    services.workers.leave("one")
    assert change_turn(services, waits.id, priority="low").wanted_device == "cuda:7"
    assert change_turn(services, waits.id, device="").wanted_device == ""


def test_an_ended_run_has_no_place_any_more(services, run):
    ended = services.queue.ask(run().id, Request.CANCEL)
    with pytest.raises(NotWaiting):
        change_turn(services, ended.id, priority="high")
