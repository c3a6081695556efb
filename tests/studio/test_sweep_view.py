"""A sweep's page and the form that makes one, without a browser."""

import json
import re
from dataclasses import replace

import gradio as gr
import pytest

from jobs.methods import METHODS
from jobs.sweep_plan import expand, is_sweep, tried_text
from studio.recipe_form import SettingsForm
from studio.sweep_form import SweepForm
from studio.views import sweep_view
from studio.views.parallel import ParallelLine, parallel_chart, result_axis, setting_axis
from studio.views.run_rows import run_rows, runs_table
from studio.views.run_view import title as run_title
from tests.browser.lab_book import NASTY
from tests.browser.sweep_book import add_sweep, end, filled_sweep


@pytest.fixture
def sweep(services):
    return filled_sweep(services)


@pytest.fixture
def runs(services, sweep):
    return services.sweeps.runs(sweep.id)


# ---- the axes


def test_numbers_stand_by_their_size_and_learning_rates_by_their_powers():
    assert setting_axis("Epochs", [1, 2, 3], str).places == (0, 0.5, 1)
    rates = setting_axis("Learning rate", [1e-4, 1e-3, 1e-2], str, log=True)
    assert rates.places == pytest.approx((0, 0.5, 1))
    assert setting_axis("Rank", [4, 8, 64], str).places == pytest.approx((0, 0.25, 1)), "a wide range too"
    assert setting_axis("Seed", [7, 7], str).places == (0.5, 0.5)


def test_names_stand_apart_and_a_setting_that_a_run_lacks_has_its_own_place():
    axis = setting_axis("Rank", [4, 8, None, 8], str)
    assert axis.places == (0, 0.5, 1, 0.5)
    assert [text for _, text in axis.ticks] == ["4", "8", "–"]
    assert setting_axis("DoRA", [True, False], {True: "on", False: "off"}.get).ticks == ((0, "on"), (1, "off"))


def test_labels_that_would_touch_are_left_out():
    axis = setting_axis("Length", [100, 101, 500], str)
    assert [text for _, text in axis.ticks] == ["100", "500"]


def test_results_have_round_labels_and_no_place_where_nothing_was_measured():
    axis = result_axis("Loss", [0.54, None, float("nan"), 0.91], str)
    assert axis.places[1] is None and axis.places[2] is None
    assert 0 <= axis.places[0] < axis.places[3] <= 1
    assert result_axis("Loss", [None], str).ticks == ()
    same = result_axis("Loss", [0.5, None, 0.5], str)
    assert (same.ticks, same.places) == (((0.5, "0.5"),), (0.5, None, 0.5))


def test_a_line_ends_at_the_first_missing_value_and_the_best_is_drawn_last():
    axes = [setting_axis("Rank", [4, 8], str), result_axis("Loss", [0.5, None], str), result_axis("Memory", [1, 2], str)]
    html = parallel_chart(axes, [ParallelLine("one", True), ParallelLine("two", False)], "Axes", "In words.")
    paths = re.findall(r'<polyline points="([^"]+)"', html)
    assert [len(path.split()) for path in paths] == [1, 3]
    assert html.index("<title>two</title>") < html.index("<title>one</title>") < html.index("★ Best")
    assert "<desc id=\"sweep-parallel-text\">In words.</desc>" in html


# ---- the page's parts


def test_the_best_comes_first_and_says_so_in_words(sweep, runs):
    rows = sweep_view.rows_of(sweep, runs)
    assert [row.number for row in rows][:4] == [3, 2, 4, 1]
    assert [row.best for row in rows] == [True] + [False] * 8
    assert [(heading, value) for heading, value, _ in rows[0].cells] == [
        ("Method", "LoRA"), ("Rank", "4"), ("Learning rate", "0.003"), ("Evaluation loss", "0.54"), ("Peak memory", "655 MB"),
        ("Adapter size", "1.2 MB"), ("Training time", "52 s"), ("Trained parameters", "303 k")]
    table = sweep_view.table(sweep, runs)
    assert table.count("</svg>Best</span>") == 1 and "Running 50%" in table


def test_rows_are_sorted_as_asked_and_runs_without_the_figure_come_last(sweep, runs):
    assert [row.number for row in sweep_view.rows_of(sweep, runs, "made")] == list(range(1, 10))
    by_memory = [row.number for row in sweep_view.rows_of(sweep, runs, "peak_memory_bytes")]
    assert by_memory[:2] == [1, 2] and by_memory[-2:] == [8, 9]


def test_the_states_are_counted_in_words(runs):
    assert sweep_view.counts_text(runs) == "4 finished, 1 failed, 1 cancelled, 1 training, 2 waiting"
    assert 'aria-valuenow="72"' in sweep_view.status(runs, worker_alive=True)
    assert "python app.py worker" in sweep_view.status(runs, worker_alive=False)
    assert "python app.py worker" not in sweep_view.status(runs[:6], worker_alive=False)


def test_the_parallel_view_says_in_words_what_it_draws(sweep, runs):
    html = sweep_view.parallel(sweep, runs)
    assert "One axis each for Method, Rank, Learning rate, Evaluation loss, Peak memory, Adapter size, Training time;" in html
    assert "one line for each of 9 runs, 4 of them measured so far." in html
    assert "The best is Run 3: lora · r 4 · lr 0.003, Evaluation loss 0.54, Peak memory 655 MB" in html


def test_links_and_cancelling_are_there_only_when_they_make_sense(services, runs):
    assert f"/?from={runs[2].id}" in sweep_view.links(runs)
    assert sweep_view.links(runs[4:]) == ""
    assert sweep_view.can_cancel(runs) and not sweep_view.can_cancel(runs[:6])
    assert not sweep_view.can_cancel([replace(runs[6], request="cancel")])


def test_every_name_on_the_page_is_escaped(services):
    sweep = add_sweep(services, NASTY[:60], base_model="demo-base", seed=[1, 2])
    runs = services.sweeps.runs(sweep.id)
    end(services, runs[0], 0.5)
    runs = [replace(run, sweep_values={"seed": NASTY}) for run in services.sweeps.runs(sweep.id)]
    shown = [sweep_view.title(sweep, runs), sweep_view.table(sweep, runs), sweep_view.parallel(sweep, runs), sweep_view.links(runs)]
    assert not any("<img" in html for html in shown)


def test_a_run_and_the_lab_book_link_to_the_sweep(services, sweep, runs):
    link = f'href="/sweep?id={sweep.id}"'
    assert link in run_title(runs[0]) and link in runs_table(run_rows(runs), searched=False)
    alone = replace(runs[0], sweep_id=None)
    assert "/sweep" not in run_title(alone) + runs_table(run_rows([alone]), searched=False)


# ---- the form


@pytest.fixture
def form(services):
    with gr.Blocks():
        settings, sweep = SettingsForm(), SweepForm(services)
        settings.build("lora")
        sweep.build("lora")
    values = {field: field.value for field in (*settings.components, *sweep.components)}
    return settings, sweep, values


FIELDS = {"r": "LoraSettings.r", "tokens": "PromptTuningSettings.num_virtual_tokens"}


def several(form, method: str = "lora", rate: float = 2e-4, **tried) -> dict:
    """What the form reads with these fields filled in."""
    settings, sweep, _ = form
    values, plain = filled(form, method, rate, **tried)
    return sweep.read(values, plain)


def filled(form, method: str = "lora", rate: float = 2e-4, **tried) -> tuple[dict, dict]:
    """What the fields hold, and the recipe of those above them."""
    settings, sweep, values = form
    values = values | {settings.rate: rate} | {getattr(sweep, name): value for name, value in tried.items() if name not in FIELDS}
    plain = {"name": "x", "base_model": "demo-base", "dataset": {"source": "x"}, "method": method, **settings.read(values, method)}
    values |= held(sweep.changed(values, plain))
    fields = json.loads(values[sweep.tried])["fields"]
    return values | {sweep.numbers[fields.index(FIELDS[name])]: tried[name] for name in tried.keys() & FIELDS.keys()}, plain


def held(updates: dict) -> dict:
    return {field: update.get("value", "") if isinstance(update, dict) else update for field, update in updates.items()}


def tried(values: dict) -> list[str]:
    return [tried_text(trial.tried) for trial in expand(values).trials]


def test_an_empty_part_is_no_sweep_and_a_single_value_replaces_the_one_above(form):
    assert not is_sweep(several(form))
    one = several(form, rates=" 1e-3 ", r="8", methods=["lora"])
    assert not is_sweep(one) and one["training"]["learning_rate"] == "1e-3" and one["method_settings"]["r"] == "8"


def test_several_values_of_several_fields_make_every_combination(form):
    assert tried(several(form, rates="1e-4, 3e-4;1e-3", r="4 8")) == [
        f"r {r} · lr {rate}" for r in (4, 8) for rate in ("1e-4", "3e-4", "0.001")]
    assert len(tried(several(form, bases=["demo-base", "other"], quantizations=["none", "nf4"]))) == 4


def test_every_method_tries_its_own_settings_with_its_own_learning_rate(form):
    plan = expand(several(form, methods=["lora", "ia3", "prompt-tuning"], r="4, 8", tokens="8, 16"))
    assert [tried_text(trial.tried) for trial in plan.trials] == [
        "lora · r 4", "lora · r 8", "ia3", "prompt-tuning · num virtual tokens 8", "prompt-tuning · num virtual tokens 16"]
    assert [trial.recipe.training.learning_rate for trial in plan.trials] == [
        METHODS[trial.recipe.method].learning_rate for trial in plan.trials]
    typed = expand(several(form, methods=["lora", "ia3"], rate=0.005))
    assert {trial.recipe.training.learning_rate for trial in typed.trials} == {0.005}, "one that a person typed stays"


def test_ranks_that_were_typed_for_another_method_are_not_tried_and_come_back_with_it(form):
    settings, sweep, _ = form
    values, plain = filled(form, r="4, 8")
    other = {**plain, "method": "prompt-tuning", **settings.read(values, "prompt-tuning")}
    assert not is_sweep(sweep.read(values, other)), "the fields still say Rank"
    values |= held(sweep.changed(values, other))
    assert not is_sweep(sweep.read(values, other))
    values |= held(sweep.changed(values, plain))
    assert len(tried(sweep.read(values, plain))) == 2


def test_what_stands_above_is_meant_for_its_own_method(form):
    settings, sweep, _ = form
    values, plain = filled(form, methods=["lora", "vera"])
    plain["method_settings"]["r"] = 64
    both = sweep.read(values, plain)["method_settings"]
    assert both["lora"]["r"] == 64 and "r" not in both["vera"]


def test_the_line_counts_the_runs_and_names_bad_text(form):
    settings, sweep, _ = form
    assert "This makes 2 runs." in sweep._line(several(form, r="4, 8"))
    assert "Rank is &#39;four&#39;. It must be a whole number." in sweep._line(several(form, r="4, four"))
    assert "makes 100 runs, and 64 are the most" in sweep._line(several(form, r=" ".join(map(str, range(1, 101)))))
    assert sweep._line(several(form)) == ""


def test_the_fields_of_the_tried_methods_are_shown(form):
    settings, sweep, _ = form
    values, plain = filled(form)
    shown = sweep.changed(values | {sweep.methods: ["prompt-tuning"]}, plain)
    assert [shown[field]["label"] for field in sweep.numbers if shown.get(field, {}).get("visible")] == ["Virtual tokens"]
    assert sum(update == gr.update(visible=False, value="") for update in shown.values()) == 1, "that of alpha"
    assert list(sweep.changed(values, plain)) == [sweep.line], "nothing is sent where the methods are the same"


def test_of_more_methods_than_there_are_fields_the_first_have_some(form):
    settings, sweep, _ = form
    values, plain = filled(form)
    shown = sweep.changed(values | {sweep.methods: list(METHODS)}, plain)
    assert all(shown[field]["visible"] for field in sweep.numbers) and shown[sweep.numbers[0]]["label"] == "Ranks"
