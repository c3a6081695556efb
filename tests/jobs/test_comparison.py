"""Methods with one budget, and which of their adapters nobody beats."""

from dataclasses import replace

import pytest

from jobs.comparison import (
    LEFT_OUT,
    Row,
    compare,
    equal_budget,
    front,
    is_comparison,
    plan_comparison,
    score_of,
    usual_methods,
    why_not,
)
from jobs.methods import METHODS
from jobs.recipe import TASKS
from jobs.sweep import best_of, submit_comparison, sweep_summary
from jobs.sweep_plan import expand
from storage.problems import RecipeInvalid
from storage.records import RunState

PLAIN = {"base_model": "org/demo-base", "dataset": {"source": "rows.csv"}, "method": "lora", "method_settings": {"r": 64},
         "start_from": "run", "training": {"learning_rate": 0.5, "epochs": 2, "batch_size": 4}}


def comparison_of(methods, **changes) -> dict:
    return {**equal_budget(PLAIN, methods), **changes}


def problems_of(values: dict, check=lambda values: None) -> list[str]:
    with pytest.raises(RecipeInvalid) as caught:
        plan_comparison(values, check)
    return caught.value.problems


# ---- before


@pytest.mark.parametrize("task", TASKS)
def test_the_usual_choice_is_of_different_families_and_serves_the_task(task):
    chosen = usual_methods(task)
    assert len(chosen) == 5 and len({METHODS[name].family for name in chosen}) == 5
    assert not any(why_not(name, task) for name in chosen)
    assert usual_methods(task, first="adalora")[0] == "adalora" and "lora" not in usual_methods(task, first="adalora")


def test_a_quantised_base_is_compared_on_methods_that_take_it(monkeypatch):
    assert why_not("qlora", "text-generation", "int8") == "It takes only bases in nf4 or fp4."
    monkeypatch.setitem(METHODS["ia3"].tried, "nf4", "Not that.")
    assert why_not("ia3", "text-generation", "nf4") == "Not that." and "ia3" not in usual_methods("text-generation", "nf4")


def test_every_method_gets_the_same_budget_and_keeps_its_own_settings():
    plan = expand(equal_budget(PLAIN, ["lora", "ia3", "lora"], steps=40))
    assert [trial.recipe.method for trial in plan.trials] == ["lora", "ia3"] and plan.name == "demo-base comparison"
    for trial in plan.trials:
        training, method = trial.recipe.training, METHODS[trial.recipe.method]
        assert (training.max_steps, training.batch_size, training.patience) == (40, 4, 0)
        assert training.learning_rate == method.learning_rate and trial.recipe.start_from == ""
        assert trial.recipe.method_settings == method.read_settings({}).model_dump(mode="json")
    assert expand(equal_budget(PLAIN, ["lora", "ia3"])).trials[0].recipe.training.epochs == 2, "no steps: the recipe's epochs"


def test_a_method_that_cannot_run_is_left_out_with_its_reason():
    def check(values):
        if values["method"] == "ia3":
            raise RecipeInvalid(["It cannot.", "Never."])

    planned = plan_comparison(comparison_of(["lora", "ia3", "vera"]), check)
    assert planned.values["method"] == ["lora", "vera"] and planned.left_out == {"ia3": "It cannot. Never."}
    first, last = problems_of(comparison_of(["lora", "ia3"]), check)
    assert first == "IA³ cannot take part: It cannot. Never." and last.startswith("Fewer than two methods are left")


def test_what_is_wrong_whatever_the_method_is_said_once():
    def check(values):
        raise RecipeInvalid(["There is no data.", f"{values['method']} is not ready."])

    assert problems_of(comparison_of(["lora", "ia3"]), check) == ["There is no data."]


def test_a_comparison_needs_methods_and_rows_to_measure_with():
    assert problems_of(comparison_of(["lora", "lora"])) == ["A comparison takes two methods or more. Choose some."]
    assert "rows to measure with" in problems_of(comparison_of(["lora", "ia3"], dataset={"source": "x", "validation": "none"}))[0]


# ---- after


def row(id: str, quality=0.5, memory=1000, size=100, of="process") -> Row:
    return Row(id, quality, memory, size, of)


def test_a_row_is_beaten_by_one_that_is_no_worse_anywhere_and_better_somewhere():
    rows = [row("good"), row("heavy", 0.4, 2000), row("small", 0.9, 1000, 10), row("bad", 0.6), row("worst", 0.9, 3000, 300)]
    assert front(rows, lower=True) == {
        "good": (), "heavy": (), "small": (), "bad": ("good",), "worst": ("good", "heavy", "small", "bad")}
    assert front(rows, lower=False)["good"] == ("small", "bad")


def test_rows_that_are_equal_in_all_three_do_not_beat_each_other():
    assert front([row("one"), row("two"), row("three", 0.7)], lower=True) == {"one": (), "two": (), "three": ("one", "two")}
    assert front([row("alone")], lower=True) == {"alone": ()}


def test_peaks_that_hardly_differ_are_the_same():
    assert front([row("one", memory=1000), row("two", 0.6, 985)], lower=True) == {"one": (), "two": ("one",)}
    assert front([row("one", memory=1000), row("two", 0.6, 970)], lower=True) == {"one": (), "two": ()}


def test_a_row_without_a_figure_is_not_compared_and_other_counts_of_memory_do_not_compare():
    rows = [row("whole"), row("lost", None), row("unsaved", size=None), row("gpu", 0.9, 5000, 500, of="cuda")]
    assert front(rows, lower=True) == {"whole": (), "gpu": ()}
    assert front([], lower=True) == {}


@pytest.fixture
def sweep(services, tiny_llama, chats):
    values = equal_budget({"name": "try", "base_model": str(tiny_llama), "dataset": {"source": str(chats)}},
                          ["lora", "ia3", "vera"], 2)
    return submit_comparison(services, values)


def end(run, eval_loss=None, memory=1000, size=100, state=RunState.FINISHED, **more):
    return replace(run, state=state, eval_loss=eval_loss, peak_memory_bytes=memory, checkpoint_bytes=size, peak_memory_of="process",
                   **more)


def test_the_best_is_one_that_nobody_beats(services, sweep):
    runs = services.sweeps.runs(sweep.id)
    assert is_comparison(sweep) and [run.sweep_values for run in runs] == [{"method": name} for name in ("lora", "ia3", "vera")]
    compared = compare(sweep, runs)
    assert (compared.beaten_by, compared.best, compared.unbeaten) == ({}, None, [])
    ended = [end(runs[0], 0.4, size=200), end(runs[1], 0.4), end(runs[2], 0.7, memory=500)]
    compared = compare(sweep, ended)
    assert compared.best == runs[1].id == best_of(sweep, ended).id, "of two that are equally good, the smaller one"
    assert compared.unbeaten == [runs[1].id, runs[2].id] and compared.beaten_by[runs[0].id] == (runs[1].id,)


def test_runs_that_go_on_or_failed_have_no_figures(services, sweep):
    runs = services.sweeps.runs(sweep.id)
    ended = [end(runs[0], 0.1, state=RunState.RUNNING), end(runs[1], 0.2, state=RunState.FAILED),
             end(runs[2], 0.5, state=RunState.STOPPED)]
    compared = compare(sweep, ended)
    assert compared.unbeaten == [runs[2].id] and compared.rows[runs[0].id].quality is None is compared.rows[runs[1].id].memory
    assert compare(sweep, [end(run, float("nan")) for run in runs]).best is None


def test_quality_is_the_main_score_of_the_task_unless_the_recipe_chose_another(services, sweep):
    run = services.sweeps.runs(sweep.id)[0]

    def score(task, format="", best_by="eval_loss"):
        found = score_of(replace(run, task=task, data={"format": format}, recipe={"training": {"best_by": best_by}}))
        return found.name, found.lower

    assert score("text-generation") == ("eval_loss", True)
    assert score("text-classification", "classification") == ("accuracy", False)
    assert score("text-classification", "classification", "macro_f1") == ("macro_f1", False)
    assert score("text-classification", "regression") == ("pearson", False)
    assert score("text-classification", "regression", "rmse") == ("rmse", True)
    assert score("text-generation", "binary-preference") == ("eval_loss", True)
    by_accuracy = [end(run, 0.9, task="text-classification", metrics={"accuracy": share})
                   for run, share in zip(services.sweeps.runs(sweep.id), (0.5, 0.8, 0.6), strict=True)]
    assert best_of(sweep, by_accuracy).id == by_accuracy[1].id


def test_a_sweep_over_base_models_or_data_compares_no_methods(sweep):
    assert is_comparison(replace(sweep, varied=["method", "method_settings.r", "training.learning_rate"]))
    for others in (["seed"], ["base_model", "method"], ["dataset.source", "method"]):
        assert not is_comparison(replace(sweep, varied=others)) and compare(replace(sweep, varied=others), []) is None


def test_a_method_that_the_catalogue_knows_to_fail_is_kept_out_of_the_queue(services, tiny_llama, chats, monkeypatch):
    monkeypatch.setitem(METHODS["vera"].tried, "task text-generation", "It only counts.")
    values = equal_budget({"base_model": str(tiny_llama), "dataset": {"source": str(chats)}}, ["lora", "ia3", "vera"], 2)
    sweep = submit_comparison(services, values, "key")
    assert submit_comparison(services, values, "key").id == sweep.id, "a double click is one comparison"
    assert [run.method for run in services.sweeps.runs(sweep.id)] == ["lora", "ia3"]
    why = services.sweeps.get(sweep.id).recipe[LEFT_OUT]
    assert list(why) == ["vera"] and "It only counts." in why["vera"]
    summary = sweep_summary(services, sweep.id)
    assert (summary["best"], summary["score"], summary["unbeaten"]) == (None, "eval_loss", [])
