"""A comparison of methods as its page shows it, without a browser."""

import re
from dataclasses import replace
from itertools import combinations

import pytest

from jobs.comparison import LEFT_OUT, compare, equal_budget
from jobs.methods import METHODS
from jobs.recipe_reader import read_values_file
from jobs.sweep import submit_comparison
from storage.records import RunState
from storage.settings import REPOSITORY
from studio.compare_part import ComparePart
from studio.playground_bases import Bases
from studio.views import sweep_view
from studio.views.comparison_view import comparison, links
from studio.views.scatter import DOT, LETTER, NARROW, _inside, _sides, _touch, name_sides, scale
from tests.browser.lab_book import NASTY
from tests.browser.sweep_book import end

CHOSEN = ["lora", "ia3", "prompt-tuning", "vera", "oft"]
FIGURES = ((0.54, 655, 1_200_000), (0.91, 610, 40_000), (1.2, 640, 90_000), (0.6, 612, 60_000))  # loss, MB, bytes


@pytest.fixture
def sweep(services):
    values = read_values_file(REPOSITORY / "assets" / "recipes" / "poet.yaml")
    values["dataset"]["source"] = str(REPOSITORY / values["dataset"]["source"])
    return submit_comparison(services, equal_budget(values, CHOSEN, steps=20))


@pytest.fixture
def runs(services, sweep):
    """Four have ended, and the fifth goes on. Prompt tuning is beaten."""
    waiting = services.sweeps.runs(sweep.id)
    ended = [replace(run, state=RunState.FINISHED, eval_loss=loss, peak_memory_bytes=megabytes * 10**6, peak_memory_of="process",
                     checkpoint_bytes=size, trainable_parameters=size // 4, total_steps=20)
             for run, (loss, megabytes, size) in zip(waiting, FIGURES, strict=False)]
    going_on = replace(waiting[4], state=RunState.RUNNING, step=5, total_steps=20, peak_memory_bytes=1, peak_memory_of="process")
    return [*ended, going_on]


def shown(sweep, runs) -> str:
    return comparison(sweep, runs, compare(sweep, runs))


def test_the_page_says_in_words_who_is_best_and_whom_nobody_beats(sweep, runs):
    html = shown(sweep, runs)
    assert "So far, LoRA has the best quality: evaluation loss 0.54. " in html
    assert "Not beaten in quality, peak memory and adapter size together: LoRA, VeRA, IA³." in html
    assert "Each had 20 steps with 16 rows per step, of 128 tokens at most." in html and "its own usual learning rate" in html
    figures = "Prompt tuning: Evaluation loss 1.2, Peak memory 640 MB, Adapter size 90.0 kB"
    assert html.count(figures) == 4, "in the words and under the pointer, of both drawings"
    assert "OFT:" not in html, "nothing is drawn of a run that goes on"
    assert "Peak memory of the training process" in html and "peak resident set" in html


def test_the_table_marks_every_run_in_words(sweep, runs):
    rows = {row.number: row for row in sweep_view.rows_of(sweep, runs)}
    assert [rows[number].standing for number in range(1, 6)] == [
        ("unbeaten", "Nobody beats it"), ("unbeaten", "Nobody beats it"), ("beaten", "Beaten by IA³, VeRA"),
        ("unbeaten", "Nobody beats it"), ("", "")]
    assert [row.best for row in sweep_view.rows_of(sweep, runs)] == [True, False, False, False, False]
    assert rows[1].cells[-1][:2] == ("Trained parameters", "300 k")
    table = sweep_view.table(sweep, runs)
    assert table.count("Nobody beats it") == 3 and "Running 25%" in table and table.count("</svg>Best</span>") == 1
    assert "5 runs of demo-base, each with another method and the same budget" in sweep_view.title(sweep, runs)


def test_a_classifier_is_compared_by_its_accuracy_and_the_highest_comes_first(sweep, runs):
    runs = [replace(run, task="text-classification", metrics={"accuracy": share})
            for run, share in zip(runs, (0.6, 0.9, 0.7, 0.8, 0.1), strict=True)]
    rows = sweep_view.rows_of(sweep, runs)
    assert [row.number for row in rows] == [2, 4, 3, 1, 5]
    assert [cell[:2] for cell in rows[0].cells[1:3]] == [("Accuracy", "90%"), ("Evaluation loss", "0.91")] and rows[0].best
    html = shown(sweep, runs)
    assert "IA³ has the best quality: accuracy 90%." in html and "↖ better" in html and "higher is better" in html


def test_what_was_not_measured_is_not_told(sweep, runs):
    assert "as soon as the first run has ended" in shown(sweep, runs[4:])
    failed = [replace(run, state=RunState.FAILED) for run in runs]
    assert "nothing to compare" in shown(sweep, failed) and "st-spot" not in shown(sweep, failed)
    assert comparison(sweep, runs, None) == ""
    mixed = [replace(runs[0], peak_memory_of="cuda"), *runs[1:]]
    assert "Peak memory, some on a GPU" in shown(sweep, mixed) and "do not beat each other" in shown(sweep, mixed)
    assert "Memory ran short" in shown(sweep, [replace(runs[0], adjustments={"batch_size": 2}), *runs[1:]])


def test_methods_that_were_left_out_stand_there_with_their_reason_and_names_are_escaped(sweep, runs):
    html = shown(replace(sweep, recipe={**sweep.recipe, LEFT_OUT: {"bone": NASTY}}), [replace(run, method=NASTY) for run in runs])
    assert "<strong>bone</strong>: &lt;img" in html and "<img" not in html


def test_links_lead_to_the_playground_with_one_or_several_and_to_the_zip(services, sweep):
    assert links(None, []) == ""
    best, other, *_ = [end(services, run, loss) for run, loss in zip(services.sweeps.runs(sweep.id), (0.4, 0.5), strict=False)]
    gone = links(best, [])
    assert f"/?from={best.id}" in gone and "/playground" not in gone and "/download" not in gone
    html = links(best, [services.adapters.get(best.id), services.adapters.get(other.id)])
    both = f"{best.id},{other.id}"
    for address in (f"/playground?run={best.id}", f"/playground?run={both}", f"/download/{best.id}"):
        assert f'href="{address}"' in html
    base, chosen, missing = Bases(services).opened(f"{both},missing")
    assert [adapter.run_id for adapter in chosen] == [best.id, other.id] and missing == ["missing"] and base.has(chosen[0])


def test_a_method_that_cannot_take_part_is_told_before_the_start(monkeypatch):
    monkeypatch.setitem(METHODS["vera"].tried, "task text-generation", "It only counts.")
    line = ComparePart._line(CHOSEN, "text-generation", "none")
    assert "This makes 4 runs" in line and "VeRA cannot take part and is left out: It only counts." in line
    assert "Choose two methods or more." in ComparePart._line(["lora"], "text-generation", "none")


# ---- the drawing


def test_names_stand_where_they_touch_nothing():
    at = [(10, 60), (12, 64), (80, 100), (84, 104), (88, 96), (220, 180), (215, 5), (0, 0)]
    names = ["LoRA", "Prompt tuning", "IA³", "VeRA", "Layer norm tuning", "Multitask prompt tuning", "OFT", "FourierFT"]
    sides = name_sides(names, at, [True] * 3 + [False] * 5)
    boxes = [_sides(place, LETTER * len(name))[side] for name, place, side in zip(names, at, sides, strict=True) if side[0]]
    assert len(boxes) == 8
    assert all(_inside(box) for box in boxes) and not any(_touch(one, other) for one, other in combinations(boxes, 2))
    dots = [(x - DOT, y - DOT, x + DOT, y + DOT) for x, y in at]
    assert not any(_touch(dot, box) for dot in dots for box in boxes), "no name hides a point"
    assert all(0 <= x <= NARROW[0] and 0 <= y <= NARROW[1] for x, y in at)
    crowded = name_sides(["LayerNorm tuning", "Prompt tuning", "Multitask prompt", "Prefix tuning"],
                         [(100, 100), (125, 100), (150, 100), (175, 100)], [True] * 4)
    assert crowded == [("above", 0), ("below", 0), ("", 0), ("above", 18)], "farther away with a line, or not at all"


def test_sizes_that_lie_far_apart_have_a_scale_by_powers():
    sizes = scale([900, 1_200_000], str, powers=True, about=3)
    assert sizes.by_powers and [text for _, text in sizes.ticks] == ["100.0", "10000.0", "1000000.0"]
    assert 0 < sizes.place(900) < sizes.place(1_200_000) <= 1
    near = scale([600, 655], str, powers=True)
    assert not near.by_powers and all(0 <= place <= 1 for place, _ in near.ticks)
    alone = scale([5.0], str)
    assert alone.place(5.0) == pytest.approx(0.5, abs=0.2) and re.match(r"\d", alone.ticks[0][1])
