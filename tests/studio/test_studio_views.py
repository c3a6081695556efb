"""What the pages show, without a browser."""

import math
import re
from dataclasses import replace
from datetime import datetime

import pytest

from jobs.expected import Expected
from jobs.failures import FAILURES
from jobs.uploads import keep_files
from storage.problems import RecipeInvalid, StudioError
from storage.records import MetricPoint, Request, RunState
from storage.settings import REPOSITORY
from studio.problems import attempt, explain_problems, problem_box
from studio.run_page import GETTING_GOING, OFTEN, USUALLY, pause
from studio.views import run_view
from studio.views.chart import MOST_POINTS, axis, loss_chart, series
from studio.views.data_view import read_data
from studio.views.panes import Panes
from studio.views.run_rows import run_rows, runs_table
from tests.browser.lab_book import NASTY, fill_lab_book


@pytest.fixture
def book(services):
    return fill_lab_book(services)


def losses(count: int, name: str = "loss") -> list[MetricPoint]:
    return [MetricPoint(step, name, 3 / step) for step in range(1, count + 1)]


def test_a_long_curve_is_thinned_out_and_keeps_its_ends():
    thin = series(losses(10_000), "loss")
    assert len(thin) <= MOST_POINTS
    assert thin[0] == (1, 3.0)
    assert thin[-1] == (10_000, 3 / 10_000)
    assert [step for step, _ in thin] == sorted(step for step, _ in thin)


def test_a_curve_leaves_out_what_cannot_be_drawn():
    points = [MetricPoint(1, "loss", 2.0), MetricPoint(2, "loss", math.nan), MetricPoint(3, "loss", math.inf)]
    assert series(points, "loss") == [(1, 2.0)]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 3.21), (-2, 0.5), (0, 0.0004), (5, 5), (0, 123_456)])
def test_an_axis_has_few_round_ticks_around_its_values(low, high):
    found = axis(low, high)
    assert found.low <= low and found.high >= high
    assert 3 <= len(found.ticks) <= 8
    assert all(found.low <= tick <= found.high for tick in found.ticks)


def test_steps_are_labelled_with_whole_numbers():
    assert all(tick == int(tick) for tick in axis(0, 3, about=5, whole=True).ticks)


def test_the_chart_says_in_words_what_it_draws_and_spans_the_whole_run():
    chart = loss_chart(losses(50) + losses(50, "eval_loss"), total_steps=100, ended=False)
    assert "Loss over 50 steps. Training went from 3 to 0.06." in chart
    xs = [float(x) for x in re.findall(r"([\d.]+),[\d.]+", re.search(r'points="([^"]+)"', chart)[1])]
    assert max(xs) == 500  # half of the width: half of the steps
    assert loss_chart([], 100, ended=False) != loss_chart([], 100, ended=True)


def test_a_run_says_what_it_is_doing(services, book):
    now = 1e9
    said = {name: run_view.progress_of(services.runs.get(getattr(book, name)), Expected(2, None), now).text for name in vars(book)}
    assert said["queued"] == "Number 2 in the queue"
    assert said["running"] == "Step 90 of 180"
    assert said["stopped"] == "Stopped at step 72 of 180; what was learnt until then is saved"
    assert said["failed"] == "This run failed"
    running = services.runs.get(book.running)
    assert run_view.progress_of(replace(running, request=Request.CANCEL), None, now).text == "Cancelling; nothing will be kept"
    assert run_view.progress_of(replace(running, phase="saving"), None, now).text == "Writing the adapter and its zip"


def test_a_waiting_run_says_its_place_and_when_it_should_start(services, book):
    queued, noon = services.runs.get(book.queued), datetime(2026, 11, 22, 12).timestamp()

    def said(expected=None, **changes):
        progress = run_view.progress_of(replace(queued, **changes), expected, noon)
        return f"{progress.text}; {progress.detail}"

    assert said(Expected(1, noon + 3600)) == "Next in the queue; starts about 13:00"
    assert said(Expected(3, None)) == "Number 3 in the queue; "
    assert said(Expected(0, None), held=True) == "Held: it waits until somebody releases it; "
    assert said(Expected(0, noon + 7200), start_at=noon + 3600) == "Waits for its time: 13:00; starts about 14:00"
    assert "about to be saved" in said(None, request=Request.STOP)


def test_a_failed_run_says_its_class_and_what_to_do_next(services, book):
    failed = replace(services.runs.get(book.failed), problem_kind="disk_full")
    html = run_view.status(failed, None, "", 0)
    assert FAILURES["disk_full"].title in html and FAILURES["disk_full"].next_step in html
    assert f"/?from={failed.id}" in html and f"/log/{failed.id}" in html
    assert "problem" in run_view.status(replace(failed, problem_kind="", problem="a problem"), None, "", 0)


def test_a_run_says_what_a_lack_of_memory_changed_and_which_step_was_best(services, book):
    run = replace(services.runs.get(book.finished), adjustments={"batch_size": 4, "gradient_checkpointing": True}, best_step=120)
    assert "goes on with batch size 4, gradient checkpointing on" in run_view.status(run, None, "", 0)
    assert "best at step 120" in run_view.figures(run, {})


def test_the_history_of_a_run_is_told(services, book):
    run = services.runs.get(book.failed)
    html = run_view.log([], run, services.runs.events(run.id))
    assert "History (3)" in html
    for change in ("<strong>Waiting</strong>", "Waiting → <strong>Running</strong>", "Running → <strong>Failed</strong>"):
        assert change in html


def test_a_run_leads_to_the_run_it_continues_and_to_those_that_continue_it(services, book):
    run, other = services.runs.get(book.finished), services.runs.get(book.stopped)
    html = run_view.links(run, None, other, [replace(other, id="later", name=NASTY)])
    assert f"/run?id={other.id}" in html and "/run?id=later" in html and "<img" not in html


def test_figures_have_units_and_say_what_was_before(services, book):
    figures = run_view.figures(services.runs.get(book.finished), {})
    for text in (
        "0.54",
        "before: 3.1",
        "640 MB",
        "of the training process",
        "303 k",
        "8% of 3.8 M",
        "1.2 MB",
        "52 s",
        "8,421",
    ):
        assert text in figures
    labelled = replace(
        services.runs.get(book.finished),
        task="text-classification",
        metrics={"accuracy": 0.912, "accuracy_before": 0.013, "macro_f1": 0.9},
    )
    assert "91%" in run_view.figures(labelled, {}) and "before: 1.3%" in run_view.figures(labelled, {})


def test_the_recipe_on_the_page_is_one_that_the_command_line_takes(services, book, tmp_path):
    from html import unescape

    from jobs.recipe_reader import read_recipe_file

    shown = run_view.recipe(services.runs.get(book.finished))
    path = tmp_path / "recipe.yaml"
    path.write_text(unescape(re.search(r"<pre[^>]*>(.*?)</pre>", shown, re.DOTALL)[1]))
    assert read_recipe_file(path).training.learning_rate == 0.002


def test_every_value_on_a_page_is_escaped(services, book):
    nasty = services.runs.get(book.nasty)
    shown = [
        run_view.title(nasty),
        run_view.recipe(nasty),
        runs_table(run_rows([nasty]), searched=False),
        run_view.status(replace(nasty, state=RunState.FAILED, problem=NASTY), None, NASTY, 0),
        problem_box([NASTY]),
        run_view.samples(replace(nasty, samples=[{"prompt": NASTY, "before": NASTY, "after": NASTY, "expected": NASTY}])),
        Panes.of(NASTY, []).asked().after({"pane": "base", "text": NASTY}).html,
    ]
    assert not any("<img" in html for html in shown)


def test_a_runs_page_looks_more_often_until_the_first_step_but_not_for_long(services, book):
    waiting, running = services.runs.get(book.queued), services.runs.get(book.running)
    assert pause(waiting, waiting.created_at + 1) == OFTEN < pause(waiting, waiting.created_at + GETTING_GOING) == USUALLY
    begun = replace(running, step=0, claimed_at=waiting.created_at + 3600)
    assert pause(begun, begun.claimed_at + 1) == OFTEN < pause(replace(begun, step=1), begun.claimed_at + 1) == USUALLY


def test_the_lab_book_keeps_its_order_and_leaves_unknown_figures_open(services, book):
    rows = run_rows(services.runs.search(), now=services.runs.get(book.queued).created_at + 120)
    assert [row.name for row in rows][:2] == ["waiting its turn", "still learning"]
    assert rows[0].created == "2 min ago"
    assert dict((heading, value) for heading, value, _ in rows[0].cells)["Evaluation loss"] == "–"
    assert rows[1].progress == "50%"


def test_data_is_read_and_shown_with_its_first_rows(services):
    dataset = keep_files(services, [REPOSITORY / "assets" / "samples" / "poet.jsonl"])
    view = read_data(services, dataset.id)
    assert view.problems == ()
    assert view.data.format == "messages"
    assert "user: What pet does" in view.html.replace("&#39;", "'")


def test_data_that_cannot_be_used_still_shows_its_rows_and_columns(services, tmp_path):
    (tmp_path / "one.csv").write_text("text,label\n" + "a,yes\n" * 5)
    dataset = keep_files(services, [tmp_path / "one.csv"])
    view = read_data(services, dataset.id, task="text-classification")
    assert "yes" in view.problems[0]
    assert view.column_names == ("text", "label")
    assert "<td>yes</td>" in view.html


def test_a_known_problem_keeps_its_words_and_an_unknown_one_its_traceback(caplog):
    def known():
        raise RecipeInvalid(["Epochs is 0.", "There is no data."])

    def unknown():
        raise ZeroDivisionError("secret detail")

    assert attempt(known).problems == ("Epochs is 0.", "There is no data.")
    said = attempt(unknown).problems
    assert "Something unexpected happened" in said[0] and "secret" not in said[0]
    assert "ZeroDivisionError" in caplog.text


def test_a_problem_without_a_place_of_its_own_becomes_a_message(caplog):
    import gradio as gr

    def handler(problem):
        raise problem

    with pytest.raises(gr.Error, match="No such run"):
        explain_problems(handler)(StudioError("No such run"))
    with pytest.raises(gr.Error, match="unexpected"):
        explain_problems(handler)(ValueError("secret"))
    assert "secret" in caplog.text


def test_a_recipe_is_told_in_the_words_of_the_form_and_without_what_does_nothing():
    from jobs.recipe_reader import read_recipe
    from studio.views.recipe_view import main_settings, without_idle

    recipe = read_recipe({"base_model": "x", "dataset": {"source": "x"}, "method_settings": {"variant": "eva", "eva_rho": 1.5},
                          "training": {"schedule": "cosine"}}).model_dump(mode="json")
    told = dict(main_settings(recipe))
    assert told["Variant"] == "EVA" and told["Rank"] == "16" and told["Rank limit"] == "1.5" and told["Schedule"] == "Cosine"
    assert "Seed" not in told and "Dropout" not in told, "as they are by default"
    lean = without_idle(recipe)
    assert "velora_groups" not in lean["method_settings"] and lean["method_settings"]["lora_dropout"] == 0
    assert "cycles" not in lean["training"] and read_recipe(lean).model_dump(mode="json") == recipe
    assert main_settings({"method": "gone"}) == [] and without_idle({"method": "gone"})["training"] == {}
