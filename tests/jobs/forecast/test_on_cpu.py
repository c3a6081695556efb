"""What a trainer takes on a processor, forecast and measured."""

from bench.forecast_grid import Grid, Row, compared
from jobs.forecast import terms


def test_a_run_grows_as_far_as_forecast(tmp_path):
    found = compared(Grid(tmp_path, "cpu").tried(Row("llama")))
    assert abs(found["error_percent"]) < 10, found
    assert abs(found["before"] / terms.before("cpu") - 1) < 0.15  # what the trainer's process holds by itself


def test_what_a_process_takes_by_itself_is_the_devices_own():
    assert terms.with_overhead({"base weights": 10**9}, "cpu")[terms.OVERHEAD] >= terms.before("cpu") > 2e8
    assert terms.before("cuda") == 0  # on a GPU only its own memory is counted
