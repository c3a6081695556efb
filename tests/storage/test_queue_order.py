"""The order of the queue: turns between people, moves, priorities, holds, times and devices."""

import threading

import pytest

from storage.problems import NotFound, NotWaiting
from storage.records import Priority, Request, RunState


@pytest.fixture
def submit(services):
    def submit(name, owner="", **values):
        return services.runs.submit(name=name, owner=owner, task="text-generation", method="lora", base_model="demo-base",
                                    recipe={}, base={}, data={}, **values)
    return submit


@pytest.fixture
def order(services):
    return lambda: [run.name for run in services.queue.waiting()]


def start_next(services, device="cpu"):
    return services.leases.claim_next(device, "here")


def end(services, run):
    assert services.leases.end(run.id, run.fence, RunState.FINISHED)


# ---- turns


def test_two_people_take_turns_however_many_runs_the_first_one_has(services, submit, order):
    for number in range(20):
        submit(f"ann {number}", "ann")
    start_next(services)
    for number in range(3):
        submit(f"bob {number}", "bob")
    assert order()[:7] == ["bob 0", "ann 1", "bob 1", "ann 2", "bob 2", "ann 3", "ann 4"]


def test_one_person_alone_is_served_in_the_order_of_submission(submit, order):
    names = [f"run {number}" for number in range(5)]
    for name in names:
        submit(name)
    assert order() == names


def test_who_comes_back_after_a_pause_has_saved_up_no_turns(services, submit, order):
    end(services, (submit("ann early", "ann"), start_next(services))[1])
    for number in range(6):
        submit(f"bob {number}", "bob")
        if number < 4:
            end(services, start_next(services))
    for number in range(3):
        submit(f"ann {number}", "ann")
    assert order() == ["bob 4", "ann 0", "bob 5", "ann 1", "ann 2"]


def test_cancelled_runs_cost_their_owner_no_turns(services, submit, order):
    for run in [submit(f"ann {number}", "ann") for number in range(10)]:
        services.queue.ask(run.id, Request.CANCEL)
    for number in range(3):
        submit(f"bob {number}", "bob")
    submit("ann again", "ann")
    assert order() == ["bob 0", "ann again", "bob 1", "bob 2"]


def test_runs_of_another_priority_cost_no_turns(services, submit, order):
    for number in range(8):
        submit(f"ann in the background {number}", "ann", priority=Priority.LOW)
    submit("ann urgent", "ann", priority=Priority.HIGH)
    start_next(services)
    for number in range(2):
        submit(f"bob {number}", "bob")
    submit("ann", "ann")
    assert order()[:4] == ["bob 0", "ann", "bob 1", "ann in the background 0"]


def test_a_held_run_lends_its_old_turn_to_nobody(services, submit, order):
    submit("kept back", "ann", held=True)
    for number in range(5):
        submit(f"bob {number}", "bob")
    for _ in range(3):
        end(services, start_next(services))
    submit("eve 0", "eve")
    submit("eve 1", "eve")
    assert order() == ["kept back", "bob 3", "eve 0", "bob 4", "eve 1"]


# ---- moves


def test_a_run_moves_up_down_and_to_the_top(services, submit, order):
    runs = {name: submit(name) for name in "abcd"}
    services.queue.move(runs["d"].id, "up")
    assert order() == list("abdc")
    services.queue.move(runs["a"].id, "down")
    assert order() == list("badc")
    services.queue.move(runs["c"].id, "top")
    assert order() == list("cbad")
    services.queue.move(runs["c"].id, "up")
    services.queue.move(runs["d"].id, "down")
    assert order() == list("cbad"), "the ends stay where they are"
    assert [services.queue.position(services.runs.get(runs[name].id)) for name in "cbad"] == [1, 2, 3, 4]


def test_a_run_that_passes_another_priority_takes_it_on(services, submit, order):
    high, normal, low = (submit(name, priority=Priority[name.upper()]) for name in ("high", "normal", "low"))
    assert services.queue.move(low.id, "up").priority == Priority.NORMAL
    assert order() == ["high", "low", "normal"]
    assert services.queue.move(normal.id, "top").priority == Priority.HIGH
    assert services.queue.move(high.id, "down").priority == Priority.NORMAL
    assert order() == ["normal", "low", "high"]


def test_moving_to_and_fro_never_runs_out_of_room(services, submit, order):
    runs = [submit(name) for name in "abc"]
    for _ in range(60):  # each puts a run between two others, which halves the room that is left there
        services.queue.move(services.queue.waiting()[2].id, "up")
    assert sorted(order()) == list("abc")
    services.queue.move(runs[0].id, "top")
    assert order()[0] == "a"


def test_moves_of_several_people_at_once_lose_no_run(services, submit, order):
    runs = [submit(f"{number}") for number in range(8)]
    threads = [threading.Thread(target=lambda run=run, how=how: services.queue.move(run.id, how))
               for run in runs for how in ("up", "down", "top")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(order()) == [run.name for run in runs]


# ---- what a run waits for


def test_the_higher_priority_starts_first(services, submit):
    submit("normal")
    submit("low", priority=Priority.LOW)
    high = submit("high", priority=Priority.HIGH)
    assert start_next(services).id == high.id


def test_a_held_run_waits_until_it_is_released(services, submit):
    held, next_one = submit("held", held=True), submit("next")
    assert start_next(services).id == next_one.id
    assert start_next(services, "cuda:0") is None and not services.queue.startable()
    services.queue.change(held.id, held=False)
    assert services.queue.startable() and start_next(services, "cuda:0").id == held.id


def test_a_run_of_a_later_time_starts_then(services, submit):
    later = submit("later", start_at=services.runs.clock() + 3600)
    assert not services.queue.startable() and start_next(services) is None
    services.queue.change(later.id, at_once=True)
    assert services.runs.get(later.id).start_at is None and start_next(services).id == later.id


def test_a_chosen_device_is_waited_for(services, submit):
    chosen, other = submit("chosen", wanted_device="cuda:1"), submit("other")
    assert start_next(services, "cuda:0").id == other.id
    assert start_next(services, "cuda:1").id == chosen.id


def test_only_a_waiting_run_has_a_place_to_change(services, submit):
    submit("runs")
    run = start_next(services)
    with pytest.raises(NotWaiting, match="'runs' is running"):
        services.queue.move(run.id, "top")
    with pytest.raises(NotWaiting):
        services.queue.change(run.id, held=True)
    with pytest.raises(NotFound, match="no run 'nothing'"):
        services.queue.move("nothing", "top")
