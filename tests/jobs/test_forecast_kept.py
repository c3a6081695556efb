"""What a run keeps of its forecast, and what finished runs teach the next ones: real records, and forecasts made by hand."""

import time
from dataclasses import replace

import pytest

from jobs.forecast import keeping
from jobs.forecast.accuracy import accuracy
from jobs.forecast.asking import device_of, forecast_for, known_of_run, question_for
from jobs.forecast.forecast import forecast_with_suggestions
from jobs.forecast.keeping import NOT_FORECAST, give_way, is_settled, keep_at_hand, keep_for_run
from jobs.forecast.learnt import basis, corrected, learn
from jobs.forecast.result import PARTS, Forecast, Seconds
from jobs.forecast.rows import Rows, rows_of
from jobs.forecast.time import with_time
from jobs.recipe import Recipe
from jobs.submit import submit
from storage.problems import TrainingStopped
from storage.records import RunState
from studio.views.accuracy_view import accuracy_parts
from studio.views.forecast_said import about_forecast


def recipe(tiny_llama, chats, **training) -> Recipe:
    return Recipe(base_model=str(tiny_llama), dataset={"source": str(chats)}, name="kept",
                  training={"batch_size": 4, "max_length": 64, "epochs": 1, **training})


def start(services, run, longest_row: int = 40):
    claimed = services.leases.claim_next("cpu", "here")
    assert claimed.id == run.id
    services.leases.beat(run.id, claimed.fence, data={**run.data, "longest_row": longest_row})
    return claimed


def finish(services, run, peak: int, **results):
    fence = services.runs.get(run.id).fence
    services.leases.beat(run.id, fence, step=10, total_steps=10)
    results = {"train_seconds": 2.0, **results}
    services.leases.end(run.id, fence, RunState.FINISHED, peak_memory_bytes=peak, peak_memory_of="process", **results)
    return services.runs.get(run.id)


def said(peak: int = 1000, **more) -> Forecast:
    parts = dict.fromkeys(PARTS, 0) | {"base weights": peak - peak // 4, "activations": peak // 4}
    return Forecast(**{"device": "cpu", "device_name": "test", "basis": basis(), "peak_memory_bytes": peak, "parts": parts,
                       "when": "forward",
                       "trainable_parameters": 1, "total_parameters": 2, "checkpoint_bytes": 3, "disk_bytes": 4,
                       "step_operations": 1e9, "step_tokens": 4 * 40, **more})


def test_a_forecast_gives_way_to_the_runs_first_step_but_not_for_long(services, tiny_llama, chats, monkeypatch):
    monkeypatch.setattr(keeping, "LOOK_SECONDS", 0.05)
    run = submit(services, recipe(tiny_llama, chats))
    started = start(services, run)
    monkeypatch.setattr(keeping, "GIVE_WAY", 0.3)
    began = time.monotonic()
    give_way(services, run.id, started.fence)
    assert time.monotonic() - began >= 0.3
    monkeypatch.setattr(keeping, "GIVE_WAY", 600)
    give_way(services, run.id, started.fence + 1)  # another attempt has it
    services.leases.beat(run.id, started.fence, step=1)
    give_way(services, run.id, started.fence)


def test_a_started_run_keeps_the_forecast_of_what_was_asked_with_its_longest_row(services, tiny_llama, chats):
    run = submit(services, recipe(tiny_llama, chats))
    assert run.forecast_memory_bytes is None and not services.forecaster.has_answers
    started = start(services, run)
    assert not is_settled(services, started)
    device = device_of(services, "cpu")
    assert keep_for_run(services, run.id, started.fence, device, forecast_with_suggestions)
    kept = services.runs.get(run.id)
    found = Forecast.from_record(kept.forecast)
    assert kept.forecast_memory_bytes == found.peak_memory_bytes == sum(found.parts.values()) > 0
    assert (found.step_tokens, found.device_name, found.correction) == (4 * 40, device.name, 1.0)
    assert is_settled(services, kept)
    # an attempt in less memory, another worker, a second opinion: it stays as it was said
    services.leases.put_back(run.id, started.fence, adjustments={"batch_size": 2, "accumulation": 2})
    again = services.leases.claim_next("cpu", "here")
    assert not keep_for_run(services, run.id, again.fence, device, lambda *question: pytest.fail("it was asked again"))
    assert not services.runs.keep_forecast(run.id, said().record())
    assert services.runs.get(run.id).forecast == kept.forecast


def test_a_forecast_that_cannot_be_made_leaves_a_line_in_the_log_and_nothing_else(services, tiny_llama, chats):
    run = submit(services, recipe(tiny_llama, chats))
    started = start(services, run)

    def ask(*question):
        raise TrainingStopped("Such a method is not known to it.")

    assert not keep_for_run(services, run.id, started.fence, device_of(services, "cpu"), ask)
    now = services.runs.get(run.id)
    assert (now.state, now.forecast, now.forecast_memory_bytes) == (RunState.RUNNING, {}, None)
    assert services.runs.log_lines(run.id)[-1].text == f"{NOT_FORECAST} Such a method is not known to it."
    assert is_settled(services, now)


def test_an_attempt_that_was_replaced_keeps_nothing(services, tiny_llama, chats):
    run = submit(services, recipe(tiny_llama, chats))
    started = start(services, run)
    services.leases.put_back(run.id, started.fence)
    assert not keep_for_run(services, run.id, started.fence, device_of(services, "cpu"), lambda *question: said())
    assert services.runs.get(run.id).forecast_memory_bytes is None


def test_a_submitted_run_keeps_what_the_page_has_just_said(services, tiny_llama, chats, monkeypatch):
    first = submit(services, recipe(tiny_llama, chats))
    finish(services, start(services, first), 1000)  # tells how long the longest row is
    asked = recipe(tiny_llama, chats)
    asked = asked.model_copy(update={"dataset": asked.dataset.model_copy(update={"source": first.data["dataset_id"]})})
    monkeypatch.setattr(services.forecaster, "_running", lambda: pytest.fail("the process was started"))
    question = question_for(services, asked, device_of(services))
    assert question.known.longest_row == 40
    from jobs.forecast import process

    services.forecaster._known[process._key(process._sent(*question.asked))] = said(2000)
    run = submit(services, asked.model_copy(update={"name": "another name"}))
    kept = services.runs.get(run.id)
    assert kept.forecast_memory_bytes == 2000 and not keep_at_hand(services, kept)


# ---- learning


def finished(services, tiny_llama, chats, peak: int, kept: Forecast, **results):
    run = submit(services, recipe(tiny_llama, chats))
    services.runs.keep_forecast(run.id, kept.record())
    start(services, run)
    return finish(services, run, peak, **results)


def test_three_runs_teach_a_factor_from_what_was_said_before_any_correction(services, tiny_llama, chats):
    for peak in (1200, 1100, 1150):
        assert learn(services.runs.forecast_runs("cpu", "test")).correction == 1.0
        finished(services, tiny_llama, chats, peak, said())
    learnt = learn(services.runs.forecast_runs("cpu", "test"))
    assert (learnt.correction, learnt.runs) == (1.15, 3)
    assert learn(services.runs.forecast_runs("cpu", "another")).runs == 0
    better = corrected(said(device_memory_bytes=1100, fits=True), learnt.correction)
    assert (better.peak_memory_bytes, better.correction, better.fits) == (1150, 1.15, False)
    assert sum(better.parts.values()) == 1150
    # forecasts that were corrected already, and are right, teach the same factor
    for _ in range(4):
        finished(services, tiny_llama, chats, 1150, better)
    assert learn(services.runs.forecast_runs("cpu", "test")).correction == 1.15


def test_runs_that_did_another_thing_than_was_forecast_teach_nothing_and_no_factor_leaves_its_limits(services, tiny_llama, chats):
    for peak in (5000, 6000, 7000):
        finished(services, tiny_llama, chats, peak, said())
    runs = services.runs.forecast_runs("cpu", "test")
    assert learn(runs).correction == 1.5
    assert learn([replace(run, adjustments={"batch_size": 2}) for run in runs]).runs == 0
    assert learn([replace(run, data={**run.data, "longest_row": 20}) for run in runs]).runs == 0
    assert learn([replace(run, peak_memory_of="cuda") for run in runs]).runs == 0
    assert learn([replace(run, forecast={**run.forecast, "basis": "terms of before"}) for run in runs]).runs == 0


def test_what_was_learnt_is_in_the_next_forecast(services, tiny_llama, chats):
    device = device_of(services, "cpu")
    for _ in range(3):
        finished(services, tiny_llama, chats, 1300, said(device_name=device.name))
    run = submit(services, recipe(tiny_llama, chats))
    asked = []

    def ask(*question):
        asked.append(question)
        return corrected(said(), question[-1])

    found = forecast_for(services, Recipe.model_validate(run.recipe), device=device, ask=ask, known=known_of_run(run))
    assert (found.peak_memory_bytes, found.correction, found.learnt_from) == (1300, 1.3, 3)
    assert asked[0][3].longest_row == 40  # from the earlier runs on the same data


# ---- time


def test_time_is_told_from_what_the_device_did_with_a_range_that_narrows(services, tiny_llama, chats):
    wanted, rows = recipe(tiny_llama, chats), Rows(training=100, mean_tokens=20.0, longest=40)
    assert with_time(said(), wanted, rows, []).step_seconds is None
    # 1e9 operations for 160 tokens: 100 tokens in a second are 6.25e8 operations
    for speed in (100.0, 80.0, 125.0):
        last = finished(services, tiny_llama, chats, 1000, said(), tokens_per_second=speed, train_seconds=20.0)
        if speed == 100.0:
            one = with_time(said(), wanted, rows, services.runs.forecast_runs("cpu", "test"))
            assert one.step_seconds == Seconds(0.8, 0.4, 1.6)  # 4 rows of 20 tokens
    several = with_time(said(), wanted, rows, services.runs.forecast_runs("cpu", "test"))
    assert several.step_seconds.likely == pytest.approx(0.8)
    assert several.step_seconds.least == pytest.approx(0.64 / 1.1) and several.step_seconds.most == pytest.approx(1.1)
    beside = max(0, last.finished_at - last.claimed_at - 20)  # these took no time at all
    assert several.run_seconds.likely == pytest.approx(25 * 0.8 + beside)
    # nothing known of the rows: a step of the longest ones, and nothing of the whole run
    plain = with_time(said(), wanted, Rows(), services.runs.forecast_runs("cpu", "test"))
    assert plain.step_seconds.likely == pytest.approx(1.6) and plain.run_seconds is None
    # ten times the work in a batch may take less than ten times as long, and the range says so
    large = with_time(said(step_operations=1e10), wanted, Rows(), services.runs.forecast_runs("cpu", "test"))
    assert large.step_seconds.likely == pytest.approx(16) and large.step_seconds.least == pytest.approx(1.28 / 1.1)


def test_rows_are_known_from_earlier_runs_as_far_as_these_can_tell(services, tiny_llama, chats):
    run = finished(services, tiny_llama, chats, 1000, said(), tokens_per_second=100.0, train_seconds=2.0)
    stored = Recipe.model_validate(run.recipe)
    rows = rows_of(services, stored, tiny_llama)
    assert (rows.training, rows.longest) == (run.data["train_rows"], 40)
    assert rows.mean_tokens == pytest.approx(200 / run.data["train_rows"])
    longer = stored.model_copy(update={"training": stored.training.model_copy(update={"max_length": 128})})
    assert rows_of(services, longer, tiny_llama).longest == 40
    assert rows_of(services, recipe(tiny_llama, chats), tiny_llama).mean_tokens == rows.mean_tokens  # the same file
    assert rows_of(services, recipe(tiny_llama, tiny_llama / "config.json"), tiny_llama) == Rows()


# ---- how right it was


def test_accuracy_compares_what_can_be_compared_and_says_what_is_left_out(services, tiny_llama, chats):
    assert accuracy([]).errors is None
    for peak in (1000, 1010, 900, 800):
        finished(services, tiny_llama, chats, peak, said())
    finished(services, tiny_llama, chats, 1000, said(device_name="another"))
    runs = services.runs.forecast_runs()
    found = accuracy([replace(runs[0], adjustments={"batch_size": 2}), *runs])
    assert found.errors.runs == 5 and found.left_out == {"adjusted": 1}
    assert found.errors.median == pytest.approx(0.0099, abs=1e-4) and found.errors.nine_in_ten == pytest.approx(0.25)
    assert [(device, method, errors.runs) for device, method, errors in found.by] == [("test", "lora", 4), ("another", "lora", 1)]
    assert [each.measured for each in found.worst[:2]] == [800, 900]
    assert [(device, learnt.correction) for device, learnt in found.learnt] == [("test", 0.95)]
    page = accuracy_parts(found)
    assert "+25%" in page and "−0.99%" in page and f"/run?id={found.worst[0].run.id}" in page
    assert "Nothing to compare yet" in accuracy_parts(accuracy([]))
    assert about_forecast(found.worst[0].run) == "25% more than measured"
    assert "memory ran short" in about_forecast(replace(runs[0], adjustments={"batch_size": 2}))
