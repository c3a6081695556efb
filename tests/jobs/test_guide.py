"""What the guide advises, rule by rule."""

import itertools
import json
from dataclasses import replace

import pytest

from assets.make_published import as_text, published
from jobs.expected import Pace
from jobs.guide import CHANGES, GOALS, PROMPTS, TASKS, WISHES, Answers, advise, choices_of
from jobs.machine import Machine, main_memory, this_machine
from jobs.methods import METHODS
from jobs.methods import published as figures
from jobs.own_figures import own_figures, score_of
from jobs.recipe import Recipe
from storage.records import RunState

GB = 10**9
ENOUGH = {"rows": 2000, "parameters": 3 * GB, "gpu": True, "memory_bytes": 80 * GB, "prompt": "lacking"}


def advice(**answers):
    return advise(Answers(**{**ENOUGH, **answers}))


def keys(reasons) -> list[str]:
    return [reason.key for reason in reasons]


# ---- without a training


@pytest.mark.parametrize(("answers", "verdict", "said"), [
    ({}, "train", []),
    ({"prompt": "untried"}, "first", ["try_prompt"]),
    ({"prompt": "works"}, "rather not", ["prompt_works"]),
    ({"rows": 12}, "rather not", ["few_rows"]),
    ({"rows": 0}, "rather not", ["no_rows"]),
    ({"rows": None}, "train", []),
    ({"goal": "facts", "changes": "changes", "rows": 100_000}, "rather not", ["facts_change"]),
    ({"goal": "facts", "rows": 200}, "rather not", ["facts_few"]),
    ({"goal": "facts", "rows": 20_000}, "first", ["facts_lookup"]),
    ({"goal": "labels", "rows": 300, "prompt": "untried"}, "first", ["try_labels"]),
    ({"goal": "labels", "rows": 10_000, "prompt": "untried"}, "train", []),
    ({"goal": "similar", "prompt": "untried"}, "first", ["try_ready"]),
    ({"goal": "similar", "rows": 40}, "rather not", ["few_similar"]),
    ({"changes": "changes"}, "train", []),
])
def test_it_says_when_something_simpler_would_do(answers, verdict, said):
    found = advice(**answers)
    assert (found.verdict, keys(found.instead)) == (verdict, said)


# ---- memory


@pytest.mark.parametrize(("answers", "method", "quantization", "careful", "said"), [
    ({}, "lora", "none", False, "memory_fits"),
    ({"memory_bytes": 24 * GB, "parameters": 8 * GB}, "lora", "none", True, "memory_careful"),
    ({"memory_bytes": 12 * GB, "parameters": 8 * GB}, "qlora", "nf4", True, "memory_nf4"),
    ({"memory_bytes": 8 * GB, "parameters": 3_800_000, "gpu": False}, "lora", "none", False, "memory_fits"),
    ({"memory_bytes": 16 * GB, "gpu": False}, "lora", "none", True, "memory_careful"),
    ({"wish": "memory"}, "qlora", "nf4", True, "memory_spared"),
    ({"wish": "memory", "parameters": 10**8}, "lora", "none", True, "memory_careful"),
    ({"memory_bytes": 0}, "lora", "none", False, "memory_unknown"),
    ({"parameters": 0}, "lora", "none", False, "memory_unknown"),
])
def test_the_base_model_is_held_in_as_many_bits_as_the_memory_takes(answers, method, quantization, careful, said):
    choice = advice(**answers).choice
    assert (choice.method, choice.quantization) == (method, quantization)
    assert choice.settings.get("training.gradient_checkpointing", False) == careful
    assert choice.settings.get("training.batch_size", 8) * choice.settings.get("training.accumulation", 1) == 8
    assert said in keys(choice.reasons)


def test_a_base_model_that_is_too_large_is_told_with_the_size_that_would_fit():
    found = advice(parameters=70 * GB, memory_bytes=24 * GB)
    assert not found.fits
    [reason] = [reason for reason in found.choice.reasons if reason.key == "memory_too_large"]
    assert reason.values["most"] == "20.0 B" and reason.values["memory"] == "24.0 GB"


# ---- the method


@pytest.mark.parametrize(("answers", "method", "others"), [
    ({}, "lora", ["oft", "lokr"]),
    ({"rows": 100}, "lora", ["ia3", "lokr"]),
    ({"goal": "facts"}, "lora", ["cartridge", "oft"]),
    ({"goal": "labels", "parameters": 22_000_000}, "lora", ["full", "ia3"]),
    ({"goal": "labels", "parameters": 22_000_000, "rows": 60}, "lora", ["ia3", "full"]),
    ({"goal": "labels", "parameters": 8 * GB}, "lora", ["ia3", "oft"]),
    ({"wish": "quality"}, "lora", ["hira", "lily"]),
    ({"wish": "files"}, "ia3", ["lokr", "lora"]),
    ({"wish": "files", "goal": "skill"}, "lokr", ["ia3", "lora"]),
    ({"wish": "keep"}, "oft", ["shira", "lora"]),
    ({"wish": "time"}, "lora", ["miss", "ia3"]),
    ({"wish": "memory", "parameters": 10**8}, "lora", ["miss"]),
])
def test_the_wish_and_the_goal_choose_the_method(answers, method, others):
    found = advice(**answers)
    assert found.choice.method == method
    able = [name for name in others if name in METHODS and not METHODS[name].reason(f"task {TASKS[answers.get('goal', 'style')]}")]
    assert [other.method for other in found.others if other.method in others] == able


def test_facts_and_the_best_result_take_the_rank_that_was_published():
    for answers in ({"wish": "quality"}, {"goal": "facts"}):
        choice = advice(**answers).choice
        row = figures.configuration("lora--llama-3.2-3B-rank64-rslora")
        assert {name: choice.settings[f"method_settings.{name}"] for name in ("r", "lora_alpha")} == {
            name: row.settings[name] for name in ("r", "lora_alpha")}
        assert choice.settings["method_settings.variant"] == "rslora" and row.settings["use_rslora"]
        assert choice.reasons[0].values["accuracy"] == "51%" and choice.reasons[0].values["lora_accuracy"] == "47%"


def test_what_others_trade_is_told_of_the_configuration_that_the_studio_begins_with():
    [miss] = [other for other in advice(wish="time").others if other.method == "miss"]
    assert miss.reasons[0].values["time"] == "14 min 57 s" and miss.reasons[0].values["memory"] == "20.3 GB"


def test_a_method_that_cannot_is_not_advised(monkeypatch):
    oft = METHODS["oft"]
    monkeypatch.setitem(METHODS, "oft", type(oft)(**{**vars(oft), "tried": {"nf4": "Not in PEFT."}}))
    found = advice(wish="keep", parameters=8 * GB, memory_bytes=12 * GB)
    assert found.choice.method == "qlora" and "method_cannot" in keys(found.choice.reasons)
    assert "oft" not in [other.method for other in found.others]


# ---- the training


@pytest.mark.parametrize(("rows", "epochs"), [(100, 5), (2000, None), (20_000, 2), (80_000, 1), (None, None)])
def test_the_rows_decide_about_the_epochs(rows, epochs):
    assert advice(rows=rows).choice.settings.get("training.epochs") == epochs


def test_tasks_bring_what_they_need():
    assert advice(goal="similar").choice.settings["training.batch_size"] == 32
    crowded = advice(goal="similar", parameters=8 * GB, memory_bytes=24 * GB).choice.settings
    assert crowded["training.batch_size"] > 1 and "training.accumulation" not in crowded
    choice = advice(goal="preferences").choice
    assert choice.settings["training.learning_rate"] == METHODS["lora"].learning_rate / 10
    assert "preferences_after" in keys(choice.reasons)
    assert "encoder" in keys(advice(goal="words").choice.reasons)
    assert "base_cannot_read" in keys(advice(goal="words", base="b", base_tasks=("text-generation",)).choice.reasons)
    assert "base_cannot_write" in keys(advice(base="b", base_tasks=("text-classification",)).choice.reasons)
    assert "training.learning_rate" not in advice().choice.settings
    small = advice(goal="labels", parameters=22_000_000)
    assert small.choice.settings["training.learning_rate"] == 10 * METHODS["lora"].learning_rate
    assert all("training.learning_rate" not in other.settings for other in small.others), "each has its own usual one"
    assert "slow_on_processor" in keys(advice(gpu=False).choice.reasons)


@pytest.mark.parametrize(("hours", "said", "epochs"), [
    (0, "time_known", None), (8, "time_known", None), (2, "time_cut", 2), (0.25, "time_short", 1)])
def test_the_pace_of_earlier_runs_is_told_and_cuts_epochs(hours, said, epochs):
    asked = []
    found = advise(Answers(**ENOUGH, hours=hours), lambda method: asked.append(method) or Pace(1.5, 60))
    assert asked == ["lora"] and said in keys(found.choice.reasons)
    assert found.choice.settings.get("training.epochs") == epochs
    assert "time_unknown" in keys(advice(hours=1).choice.reasons)
    assert not {"time_known", "time_unknown"} & set(keys(advice().choice.reasons))


# ---- every answer


def test_whatever_is_answered_the_advice_is_a_recipe_that_the_catalogue_takes():
    sizes = [(0, 0), (3_800_000, 8 * GB), (8 * GB, 12 * GB), (70 * GB, 24 * GB)]
    asked = itertools.product(GOALS, WISHES, PROMPTS[:1], CHANGES[:1], (None, 20, 30_000), sizes, (False, True))
    seen = set()
    for goal, wish, prompt, changes, rows, (parameters, memory), gpu in asked:
        found = advise(Answers(goal=goal, wish=wish, prompt=prompt, changes=changes, rows=rows, parameters=parameters, gpu=gpu,
                               memory_bytes=memory))
        assert len(found.others) <= 2
        for choice in (found.choice, *found.others):
            assert choice.reasons
            if (known := (choice.method, choice.quantization, json.dumps(choice.settings), goal)) not in seen:
                seen.add(known)
                check(choice, TASKS[goal])
    assert len({method for method, *_ in seen}) >= 10


def check(choice, task: str) -> None:
    groups = {"training": {}, "method_settings": {}}
    for name, value in choices_of(choice).items():
        group, dot, setting = name.partition(".")
        if dot:
            groups[group][setting] = value
    recipe = Recipe.model_validate({"base_model": "b", "dataset": {"source": "s"}, "method": choice.method, "task": task,
                                    "quantization": choice.quantization, **groups})
    METHODS[choice.method].complete(recipe)


# ---- figures


def test_the_published_figures_are_the_shared_ones(shared_data):
    lines = (shared_data / "forecast" / "peft_llama32_3b_l40s.jsonl").read_text("utf-8").splitlines()
    assert figures.FILE.read_text("utf-8") == as_text(published(lines))
    theirs = {(row := json.loads(line))["name"]: row for line in lines}
    assert len(figures.published_rows()) == len(theirs) == 42
    for row in figures.published_rows():
        measured = theirs[row.configuration]["measured"]
        names = ("test_accuracy", "memory_reserved_max", "train_seconds", "checkpoint_bytes", "trainable_params")
        assert (row.accuracy, row.memory_bytes, row.seconds, row.checkpoint_bytes, row.trainable_parameters) == tuple(
            measured[name] for name in names)


def test_every_published_row_is_of_a_method_of_the_catalogue_and_the_source_is_named():
    assert {row.method for row in figures.published_rows()} <= set(METHODS)
    found = [row.accuracy for row in figures.published("lora")]
    assert len(found) == 4 and found == sorted(found, reverse=True)
    assert figures.published("qlora") == []
    assert figures.source()["licence"] == "Apache 2.0" and "huggingface/peft" in figures.source()["name"]


@pytest.fixture
def measured(services):
    def measured(method: str, loss: float | None, dataset: str = "d1", **metrics):
        run = services.runs.submit(name=f"{method} {loss}", task="text-classification", method=method, base_model="b", recipe={},
                                   base={}, data={"dataset_id": dataset, "name": f"{dataset}.csv", "format": "classification"})
        run = services.leases.claim_next(f"cpu:{run.id}", "here")
        services.leases.end(run.id, run.fence, RunState.FINISHED, eval_loss=loss, metrics=metrics, train_seconds=10.0,
                            peak_memory_bytes=5, checkpoint_bytes=7)
        return services.runs.get(run.id)
    return measured


def test_own_figures_are_those_of_the_best_run_of_each_method_among_runs_that_compare(services, measured):
    measured("lora", 0.5, accuracy=0.8)
    best = measured("lora", 0.6, accuracy=0.9)
    measured("ia3", 0.4, accuracy=0.7)
    newest = measured("lora", 0.1, "d2", accuracy=0.99)
    services.runs.submit(name="waits", task="text-classification", method="oft", base_model="b", recipe={}, base={},
                         data={"dataset_id": "d1"})
    assert [(group.dataset_name, group.runs, group.methods) for group in services.runs.comparable()] == [
        ("d2.csv", 1, 1), ("d1.csv", 3, 2)]
    runs = services.runs.of_group("b", "text-classification", "d1")
    own = own_figures(runs)
    assert newest.id not in [run.id for run in runs] and set(own) == {"lora", "ia3"}
    assert (own["lora"].best.id, own["lora"].score_name, own["lora"].score, len(own["lora"].runs)) == (best.id, "accuracy", 0.9, 2)
    assert own["ia3"].score == 0.7


def test_without_a_score_of_the_task_the_loss_compares_and_what_is_missing_stays_open(measured):
    runs = [measured("lora", None), measured("lora", 0.5), measured("lora", float("nan")), measured("ia3", None)]
    own = own_figures(runs)
    assert score_of(runs) == "eval_loss" and own["lora"].score == 0.5 and own["ia3"].score is None
    assert own_figures([]) == {}


def test_the_machine_is_the_gpu_that_a_worker_offers_or_else_its_main_memory(services):
    assert this_machine(replace(services, settings=replace(services.settings, devices=("cpu",)))).gpu == ""
    facts = {"kind": "cuda", "name": "L4", "memory_bytes": 24 * GB, "bf16": True}
    services.workers.beat("w", "here", 1, ["cuda:0"], facts={"cuda:0": facts})
    assert this_machine(services) == Machine("L4", 24 * GB)


def test_the_memory_that_a_container_allows_is_the_machines(services, tmp_path):
    (tmp_path / "max").write_text("max\n")
    (tmp_path / "some").write_text("123456789\n")
    assert main_memory(services.settings, tmp_path / "some") == 123456789
    assert main_memory(services.settings, tmp_path / "max") == main_memory(services.settings, tmp_path / "none") > 123456789
