"""What the pages show, without a browser."""

import math
import re
from dataclasses import replace

import pytest

from jobs.uploads import keep_files
from storage.problems import RecipeInvalid, StudioError
from storage.records import MetricPoint, Request, RunState
from storage.settings import REPOSITORY
from studio.problems import attempt, explain_problems, problem_box
from studio.views import run_view
from studio.views.chart import MOST_POINTS, axis, loss_chart, series
from studio.views.data_view import read_data
from studio.views.panes import Panes
from studio.views.run_rows import run_rows, runs_table
from tests.browser.lab_book import NASTY, add_run, fill_lab_book, start


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


def test_time_left_follows_the_pace_of_this_attempt(services):
    run = start(services, add_run(services, "pace"), share=0.5)  # 90 of 180 steps in 40 s
    assert run_view.seconds_left(run, run.training_since + 40) == pytest.approx(40)
    resumed = replace(run, training_since_step=80)
    assert run_view.seconds_left(resumed, run.training_since + 40) == pytest.approx(360)
    assert run_view.seconds_left(replace(run, training_since=None), 0) is None


def test_a_run_says_what_it_is_doing(services, book):
    now = 1e9
    said = {name: run_view.progress_of(services.runs.get(getattr(book, name)), 2, now).text for name in vars(book)}
    assert said["queued"] == "Number 2 in the queue"
    assert said["running"] == "Step 90 of 180"
    assert said["stopped"] == "Stopped at step 72 of 180; what was learnt until then is saved"
    assert said["failed"] == "This run failed"
    running = services.runs.get(book.running)
    assert run_view.progress_of(replace(running, request=Request.CANCEL), 0, now).text == "Cancelling; nothing will be kept"
    assert run_view.progress_of(replace(running, phase="saving"), 0, now).text == "Writing the adapter and its zip"


def test_a_waiting_run_without_a_worker_says_what_to_do(services, book):
    queued = services.runs.get(book.queued)
    assert "python app.py worker" in run_view.status(queued, 1, worker_alive=False, now=0)
    assert "python app.py worker" not in run_view.status(queued, 1, worker_alive=True, now=0)


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
        run_view.status(replace(nasty, state=RunState.FAILED, problem=NASTY), 0, True, 0),
        problem_box([NASTY]),
        run_view.samples(replace(nasty, samples=[{"prompt": NASTY, "before": NASTY, "after": NASTY, "expected": NASTY}])),
        Panes.of(NASTY, []).asked().after({"pane": "base", "text": NASTY}).html,
    ]
    assert not any("<img" in html for html in shown)


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


def test_panes_take_in_events_in_any_order():
    panes = Panes.of("base model", []).asked()
    assert "Loading" in panes.after({"waiting": True, "for": "model"}).html
    panes = (
        panes.after({"pane": "base", "text": "Hel"})
        .after({"pane": "nobody", "text": "x"})
        .after({"pane": "base", "text": "lo"})
    )
    assert panes.answers["base"].text == "Hello"
    done = panes.after({"pane": "base", "done": True, "text": "Hello.", "tokens": 1, "seconds": 0.5})
    assert done.answers["base"].note == "1 token in 0.5 s" and not done.answers["base"].busy
    assert done.stopped() == done, "a finished answer is not stopped"
    assert panes.failed("Gone.").answers["base"].problem == "Gone."


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
