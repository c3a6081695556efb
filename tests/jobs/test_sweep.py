import pytest

from jobs import sources
from jobs.recipe_reader import read_recipe, read_values_file
from jobs.sweep import best_first, best_run, cancel_rest, submit_sweep, sweep_summary
from jobs.sweep_plan import MOST_RUNS, expand, is_sweep, run_name, tried_text
from jobs.turn import Turn
from storage import sweeps
from storage.problems import NotFound, RecipeInvalid
from storage.records import Request, RunState
from storage.settings import REPOSITORY

PLAIN = {"name": "poet", "base_model": "demo-base", "dataset": {"source": "rows.csv"}}


def tried(**changes) -> list[str]:
    return [tried_text(trial.tried) for trial in expand({**PLAIN, **changes}).trials]


def problems(**changes) -> list[str]:
    with pytest.raises(RecipeInvalid) as caught:
        expand({**PLAIN, **changes})
    return caught.value.problems


# ---- from lists to combinations


def test_lists_make_a_run_for_each_combination():
    plan = expand({**PLAIN, "training": {"learning_rate": ["1e-4", 3e-4], "epochs": 1}, "method_settings": {"r": [4, 8]}})
    assert plan.varied == ["method_settings.r", "training.learning_rate"]
    assert [tried_text(trial.tried) for trial in plan.trials] == [
        "r 4 · lr 1e-4", "r 4 · lr 3e-4", "r 8 · lr 1e-4", "r 8 · lr 3e-4"]
    assert plan.trials[2].recipe == read_recipe(
        {**PLAIN, "training": {"learning_rate": 1e-4, "epochs": 1}, "method_settings": {"r": 8}})
    assert plan.trials[0].tried["training.learning_rate"] == 1e-4, "text that is a number is one"


@pytest.mark.parametrize("change, runs", [
    ({"seed": [1, 2, 3]}, 3), ({"seed": [7]}, 1), ({"seed": [1, 1, 2]}, 2), ({"base_model": ["a", "b"], "seed": [1, 2]}, 4),
    ({"quantization": ["none", "nf4"]}, 2), ({"dataset": {"source": "x", "validation": [0.1, 0.2]}}, 2),
    ({"dataset": {"source": [["a.csv"], ["b.csv", "c.csv"]]}}, 2),
    ({"method_settings": {"target_modules": ["all-linear", ["q_proj", "v_proj"]]}}, 2),
    ({"method_settings": [{"r": 4, "lora_alpha": 8}, {"r": 8, "lora_alpha": 16}]}, 2),
])
def test_a_list_where_the_schema_has_one_value_is_a_sweep(change, runs):
    assert is_sweep({**PLAIN, **change})
    assert len(tried(**change)) == runs


@pytest.mark.parametrize("change", [
    {}, {"dataset": {"source": ["a.csv", "b.csv"]}}, {"method_settings": {"target_modules": ["q_proj", "v_proj"]}},
    {"method": "ia3", "method_settings": {"feedforward_modules": ["fc"]}}])
def test_a_list_where_the_schema_takes_a_list_is_a_value(change):
    assert not is_sweep({**PLAIN, **change})


def test_a_setting_that_a_method_lacks_is_left_out_for_it_and_twins_are_dropped():
    assert tried(method=["lora", "ia3"], method_settings={"r": [4, 8], "lora_alpha": 16}) == ["lora · r 4", "lora · r 8", "ia3"]


def test_methods_with_a_setting_of_the_same_name_have_one_each():
    plan = expand({**PLAIN, "method": ["lora", "ia3"], "method_settings": {
        "lora": {"r": [4, 8], "target_modules": "all-linear"}, "ia3": {"target_modules": ["k_proj"]}}})
    assert [trial.recipe.method_settings["target_modules"] for trial in plan.trials] == ["all-linear", "all-linear", ["k_proj"]]


def test_combinations_that_come_to_the_same_recipe_are_one():
    assert tried(method=["lora", "qlora"], quantization=["none", "nf4"]) == [
        "lora · quantization none", "lora · quantization nf4", "qlora · quantization nf4"]


def test_each_method_has_its_own_learning_rate_where_none_is_given():
    plan = expand({**PLAIN, "method": ["lora", "ia3"]})
    assert [trial.recipe.training.learning_rate for trial in plan.trials] == [2e-4, 1e-2]


def test_every_problem_is_told_once_with_the_runs_that_it_belongs_to():
    assert problems(training={"learning_rate": [-1, 1e-4], "epochs": 0}, seed=[1, 2]) == [
        "training.epochs is 0. It must be greater than 0.",
        "training.learning_rate is -1. It must be greater than 0. (Where it tries lr -1.)"]
    assert problems(method=["lora", "lorra"]) == [
        "method is 'lorra', which is not in the catalogue. Did you mean 'lora'? (Where it tries lorra.)"]
    first, *_ = problems(method=["lora", "ia3"], method_settings={"rnk": [1, 2]})
    assert first.startswith("'method_settings.rnk' is not a setting.")


@pytest.mark.parametrize("change, said", [
    ({"seed": list(range(100))}, f"This sweep makes 100 runs, and {MOST_RUNS} are the most."),
    ({"seed": list(range(10**4)), "training": {"epochs": list(range(10**4))}}, "makes 100,000,000 runs"),
    ({"seed": []}, "seed is an empty list."), ({"method": []}, "method is an empty list."),
    ({"name": ["a", "b"]}, "name is a list.")])
def test_a_sweep_that_makes_no_sense_is_refused_with_a_sentence(change, said):
    assert said in problems(**change)[0]


def test_a_name_fits_the_lab_book():
    assert run_name("poet", {"method_settings.r": 8, "training.learning_rate": 3e-5}) == "poet · r 8 · lr 3e-5"
    long = run_name("n" * 80, {"base_model": "/models/llama", "method_settings.use_dora": True})
    assert len(long) == 80 and long.endswith("n · llama · use dora on")
    assert len(run_name("n", {"dataset.source": "x" * 200})) == 80


# ---- accepted sweeps


@pytest.fixture
def values(tiny_llama, chats):
    return {"name": "try", "base_model": str(tiny_llama), "dataset": {"source": str(chats)},
            "method": ["lora", "ia3"], "method_settings": {"r": [4, 8]}, "training": {"learning_rate": [1e-3, 1e-2]}}


def finish(services, run, eval_loss, state=RunState.FINISHED):
    taken = services.leases.claim(run.id, "host")
    assert services.leases.end(run.id, taken.fence, state, eval_loss=eval_loss, adapter={
        "name": run.name, "folder": run.id, "zip_name": f"{run.id}.zip", "bytes": 1, "zip_bytes": 1, "files": [], "task": run.task,
        "method": run.method, "base_model": run.base_model, "base_path": "", "base_hash": ""})


def test_an_accepted_sweep_is_a_group_of_waiting_runs_that_tell_what_they_try(services, values):
    sweep = submit_sweep(services, values, turn=Turn(owner="ann", priority="high"))
    runs = services.sweeps.runs(sweep.id)
    assert [run.name for run in runs] == [
        "try · lora · r 4 · lr 0.001", "try · lora · r 4 · lr 0.01", "try · lora · r 8 · lr 0.001", "try · lora · r 8 · lr 0.01",
        "try · ia3 · lr 0.001", "try · ia3 · lr 0.01"]
    assert all(run.state == RunState.QUEUED and run.owner == "ann" and run.priority == 1 for run in runs)
    assert runs[0].sweep_values == {"method": "lora", "method_settings.r": 4, "training.learning_rate": 1e-3}
    assert all(read_recipe(run.recipe).name == run.name for run in runs), "each can be repeated by itself"
    assert services.bell.pending() == 6
    kept = services.sweeps.get(sweep.id)
    assert (kept.name, kept.varied, kept.owner) == ("try", ["method", "method_settings.r", "training.learning_rate"], "ann")
    assert is_sweep(kept.recipe)


def test_a_double_click_makes_one_sweep(services, values):
    assert submit_sweep(services, values, "key").id == submit_sweep(services, values, "key").id
    assert services.runs.count() == 6


def test_data_that_runs_share_are_read_once(services, values, monkeypatch):
    read, splits = [], []
    monkeypatch.setattr(sources, "read_dataset", lambda *a, load=sources.read_dataset, **k: read.append(a) or load(*a, **k))
    monkeypatch.setattr(sources, "split_data", lambda *a, split=sources.split_data: splits.append(a) or split(*a))
    submit_sweep(services, {**values, "seed": [1, 2]})
    assert (services.runs.count(), len(read), len(splits)) == (12, 1, 2)


def test_one_wrong_run_keeps_all_from_the_queue_and_every_problem_is_said(services, values, tiny_bert):
    with pytest.raises(RecipeInvalid) as caught:
        submit_sweep(services, {**values, "base_model": [values["base_model"], str(tiny_bert)],
                                "dataset": {"source": "missing.csv"}}, turn=Turn(device="cuda:99"))
    first, second, third = caught.value.problems
    assert "missing.csv" in first and "Where" not in first
    assert "does not serve the task" in second and second.endswith("(Where it tries tiny-bert.)")
    assert "cuda:99" in third
    assert services.runs.search() == [] and services.bell.pending() == 0


def test_a_crash_in_the_middle_leaves_nothing_of_a_sweep(services, values, monkeypatch):
    accepted = []

    def crash_at_the_third(*given, add_run=sweeps.add_run, **named):
        if len(accepted) == 2:
            raise KeyboardInterrupt
        accepted.append(add_run(*given, **named))

    monkeypatch.setattr(sweeps, "add_run", crash_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        submit_sweep(services, values, "key")
    monkeypatch.undo()
    assert services.runs.count() == 0
    assert len(services.sweeps.runs(submit_sweep(services, values, "key").id)) == 6


def test_the_best_is_the_lowest_loss_among_runs_that_left_an_adapter(services, values):
    sweep = submit_sweep(services, values)
    runs = services.sweeps.runs(sweep.id)
    assert best_run(runs) is None
    finish(services, runs[0], 0.5)
    finish(services, runs[3], 0.4, RunState.STOPPED)
    finish(services, runs[4], None)
    services.queue.ask(runs[5].id, Request.CANCEL)
    runs = services.sweeps.runs(sweep.id)
    assert best_run(runs).id == runs[3].id
    assert [run.id for run in best_first(runs)][:2] == [runs[3].id, runs[0].id]
    summary = sweep_summary(services, sweep.id)
    assert (summary["sweep_id"], summary["best"]) == (sweep.id, runs[3].id)
    assert summary["runs"][0]["tried"] == runs[3].sweep_values and len(summary["runs"]) == 6


def test_cancelling_the_rest_leaves_what_has_ended(services, values):
    sweep = submit_sweep(services, values)
    runs = services.sweeps.runs(sweep.id)
    finish(services, runs[0], 0.5)
    services.leases.claim(runs[1].id, "host")
    assert cancel_rest(services, sweep.id) == 5
    runs = services.sweeps.runs(sweep.id)
    assert [run.state for run in runs] == ["finished", "running", "cancelled", "cancelled", "cancelled", "cancelled"]
    assert runs[1].request == Request.CANCEL


def test_a_sweep_that_nobody_has_is_not_found(services):
    with pytest.raises(NotFound, match="There is no sweep 'x'"):
        services.sweeps.get("x")


def test_the_example_that_comes_with_the_studio_is_a_sweep(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    plan = expand(read_values_file(REPOSITORY / "assets" / "recipes" / "sweep.yaml"))
    assert len(plan.trials) == 4 and plan.varied == ["method_settings.r", "training.learning_rate"]
