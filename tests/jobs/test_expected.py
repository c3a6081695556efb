"""Expected starts: told from what was measured, and not at all without."""

from dataclasses import replace

import pytest

from jobs.expected import Expected, Pace, duration, expected_starts, paces_of, read_expected, seconds_left
from storage.records import Phase, Request, RunState

NOW = 1_000_000.0
CPU = [("here", "cpu")]
PACES = {("demo-base", "lora", "cpu"): Pace(0.1, 10.0), ("demo-base", "lora", "cuda"): Pace(0.01, 10.0)}


@pytest.fixture
def run(services):
    """A waiting run that sees 300 rows: on the processor it takes 10 s and 30 s of training."""
    a_run = services.runs.submit(
        name="a run", task="text-generation", method="lora", base_model="demo-base", base={}, data={"train_rows": 100},
        recipe={"training": {"epochs": 3, "batch_size": 10, "accumulation": 1, "max_steps": 0}})

    def run(name="a run", **changes):
        return replace(a_run, id=name, name=name, **changes)
    return run


def running(run, name="runs", **changes):
    """Half through after 60 s."""
    values = {"state": RunState.RUNNING, "phase": Phase.TRAINING, "host": "here", "device": "cpu", "step": 50, "total_steps": 100,
              "training_since": NOW - 60, "claimed_at": NOW - 70}
    return run(name, **{**values, **changes})


def starts(runs, waiting, places=CPU, paces=PACES):
    found = expected_starts(runs, waiting, places, paces, NOW)
    return {name: (at.place, None if at.start is None else at.start - NOW) for name, at in found.items()}


def test_time_left_follows_the_pace_of_this_attempt(run):
    assert seconds_left(running(run), NOW) == pytest.approx(60)
    assert seconds_left(running(run, training_since_step=40), NOW) == pytest.approx(300)
    assert seconds_left(running(run, training_since=None), NOW) is None


def test_each_run_starts_when_the_one_before_it_should_end(run):
    waiting = [run("a"), run("b"), run("c")]
    assert starts([running(run)], waiting) == {"a": (1, 60), "b": (2, 100), "c": (3, 140)}
    assert starts([], waiting) == {"a": (1, 0), "b": (2, 40), "c": (3, 80)}


def test_a_run_that_is_still_loading_is_counted_by_what_such_runs_took(run):
    loading = running(run, step=0, total_steps=0, training_since=None, claimed_at=NOW - 5)
    assert starts([loading], [run("a")]) == {"a": (1, 35)}


def test_behind_what_was_never_measured_only_the_place_is_told(run):
    waiting = [run("a"), run("new", method="ia3"), run("b"), run("c")]
    assert starts([running(run)], waiting) == {"a": (1, 60), "new": (2, 100), "b": (3, None), "c": (4, None)}
    loading = running(run, step=0, training_since=None)
    assert starts([loading], waiting, paces={}) == {"a": (1, None), "new": (2, None), "b": (3, None), "c": (4, None)}


def test_without_a_worker_no_time_is_told(run):
    assert starts([running(run)], [run("a")], places=[]) == {"a": (1, None)}


def test_several_devices_take_from_one_line(run):
    places = [("here", "cuda:0"), ("here", "cuda:1")]
    busy = running(run, device="cuda:0")
    waiting = [run(name) for name in "abcdefgh"]  # 13 s each
    found = starts([busy], waiting, places)
    assert [round(start) for _, start in found.values()] == [0, 13, 26, 39, 52, 60, 65, 73]


def test_a_chosen_device_is_waited_for_while_others_go_ahead(run):
    places = [("here", "cuda:0"), ("here", "cuda:1")]
    busy = running(run, device="cuda:1")
    found = starts([busy], [run("chosen", wanted_device="cuda:1"), run("any"), run("next")], places)
    assert found == {"chosen": (1, 60), "any": (2, 0), "next": (3, 13)}


def test_an_unknown_device_leaves_the_times_of_another_s_own_runs_known(run):
    places = [("here", "cuda:0"), ("here", "cuda:1")]
    unknown = running(run, device="cuda:1", method="ia3", step=0, training_since=None)
    own = [run("one", wanted_device="cuda:0"), run("two", wanted_device="cuda:0")]
    assert starts([unknown], own, places) == {"one": (1, 0), "two": (2, 13)}
    assert starts([unknown], [run("any"), *own], places) == {"any": (1, None), "one": (2, None), "two": (3, None)}


def test_held_runs_and_those_of_a_later_time_are_left_out_of_the_line(run):
    waiting = [run("held", held=True), run("later", start_at=NOW + 50), run("a"), run("b"), run("c")]
    found = starts([], waiting)
    assert found == {"held": (0, None), "later": (0, 80), "a": (1, 0), "b": (2, 40), "c": (3, 120)}
    assert starts([], [run("tonight", start_at=NOW + 5000)]) == {"tonight": (0, 5000)}


def test_a_run_that_ends_on_request_gives_its_device_back_now(run):
    assert starts([running(run, request=Request.STOP)], [run("a")]) == {"a": (1, 0)}


def test_a_checkpoint_shortens_what_is_left(run):
    assert duration(run(), "cpu", PACES) == pytest.approx(40)
    assert duration(run(checkpoint_step=15, total_steps=30), "cpu", PACES) == pytest.approx(25)
    assert duration(run(checkpoint_step=15), "cpu", PACES) == pytest.approx(25)
    limited = {"training": {"epochs": 3, "batch_size": 10, "accumulation": 2, "max_steps": 5}}
    assert duration(run(recipe=limited), "cpu", PACES) == pytest.approx(20)


def test_the_pace_is_the_middle_of_what_whole_runs_took(run):
    def ended(seconds, **changes):
        return run(**{"state": RunState.FINISHED, "device": "cuda:1", "attempts": 1, "step": 30, "total_steps": 30,
                      "train_seconds": seconds, "claimed_at": NOW, "finished_at": NOW + (seconds or 0) + 8, **changes})

    runs = [ended(30), ended(60), ended(3000), ended(1, attempts=2), ended(1, continues="other"), ended(None)]
    assert paces_of(runs) == {("demo-base", "lora", "cuda"): Pace(0.2, 8)}
    assert paces_of([ended(30, step=15)])["demo-base", "lora", "cuda"].seconds_per_row == 0.2, "half of the rows were seen"


def test_a_long_queue_is_played_through_quickly(run):
    waiting = [run(str(number)) for number in range(1000)]
    found = expected_starts([], waiting, [("here", f"cuda:{number}") for number in range(8)], PACES, NOW)
    assert found["999"] == Expected(1000, pytest.approx(NOW + 124 * 13))


def test_the_lab_book_tells_the_pace_and_the_workers_tell_the_places(services, run):
    for name in ("earlier", "first", "second"):
        services.runs.submit(name=name, task="text-generation", method="lora", base_model="demo-base", base={},
                             data={"train_rows": 100}, recipe={"training": {"epochs": 1}})
    services.queue.ask(services.queue.waiting()[0].id, Request.CANCEL)  # the fixture's own
    earlier = services.leases.claim_next("cpu", "here")
    services.leases.beat(earlier.id, earlier.fence, step=10, total_steps=10)
    services.leases.end(earlier.id, earlier.fence, RunState.FINISHED, train_seconds=50.0)
    first, second = services.queue.waiting()
    assert [at.start for at in read_expected(services, [], [first, second], NOW).values()] == [None, None]
    services.workers.beat("one", "here", 1, ["cpu"])
    starts = [at.start for at in read_expected(services, [], [first, second], NOW).values()]
    assert starts == [NOW, pytest.approx(NOW + 50)]
