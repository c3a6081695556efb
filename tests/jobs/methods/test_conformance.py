"""Every method of the catalogue on a tiny model: it learns, is opened by plain PEFT with the same answers, and does what the table
of capabilities (jobs/methods/tried.json) says of it, no more and no less."""

import pytest

from jobs.methods import METHODS
from jobs.methods.trial import FAMILIES, FEWER_BITS, MAY, MUST, Trial, train, try_in_bits, why_not
from jobs.recipe import TASKS, Recipe
from storage.problems import RecipeInvalid

TRY_AGAIN = "Look into it, then run python -m bench methods {}, which writes what it finds into jobs/methods/tried.json."
ADAPTERS = [name for name, method in METHODS.items() if method.peft_type]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    import torch

    from jobs.training.workshop import Workshop

    torch.set_num_threads(1)  # tiny models gain nothing by more
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.mark.parametrize("name", [name for name in ADAPTERS if "none" in METHODS[name].quantizations])
def test_a_method_does_what_the_table_says(workshop, name, record_property):
    method = METHODS[name]
    assert method.tried, f"{method.title} has not been tried. {TRY_AGAIN.format(name)}"
    if not method.tasks:
        record_property("method", {"name": name, "found": {"learn": method.reason(f"task {TASKS[0]}")}})
        assert train(workshop, method, TASKS[0], "llama")[1], f"{method.title} trains, and the table says that it cannot."
        return
    task = method.tasks[0]
    family = next(family for family in FAMILIES[task] if not method.reason(f"task {task} on {family}"))
    trained, why = train(workshop, method, task, family)
    assert not why, f"{method.title}: {why}"
    trial = Trial(workshop, trained)
    found = {ability: why_not(check, trial) for ability, check in (MUST | MAY).items()}
    if task == "text-generation":
        from tests.jobs.playground.equality import assert_says_what_plain_peft_says  # imports torch

        together = assert_says_what_plain_peft_says(workshop, trained, trial.folder)
        assert together == (2 if name == "lora" else 1), "plain LoRA adapters share a batch with the base model"
    found |= {bits: try_in_bits(workshop, method, bits, trained) for bits in FEWER_BITS}
    record_property("method", {"name": name, "found": found})
    must = {ability: why for ability, why in found.items() if ability in MUST and why}
    assert not must, f"{method.title}: {must}"
    assert_as_tried(method, {ability: why for ability, why in found.items() if ability not in MUST})


def test_qlora_is_lora_on_a_base_model_in_four_bits(workshop, record_property):
    trained = workshop.train(METHODS["qlora"])
    assert trained.recipe.quantization == "nf4"
    found = {ability: why_not(check, Trial(workshop, trained)) for ability, check in MUST.items()}
    record_property("method", {"name": "qlora", "found": found})
    assert not any(found.values()), found


def assert_as_tried(method, found: dict[str, str]) -> None:
    for ability, why in found.items():
        known = method.reason(ability)
        assert bool(why) == bool(known), (
            f"{method.title}, {ability}: the table says '{known or 'yes'}', and trying it says '{why or 'yes'}'. "
            f"{TRY_AGAIN.format(method.name)}")


def test_at_least_44_of_45_types_train():
    types = {METHODS[name].peft_type: METHODS[name] for name in ADAPTERS}
    cannot = {kind: method.reason(f"task {TASKS[0]}") for kind, method in types.items() if not method.tasks}
    assert len(types) >= 45 and len(cannot) <= 1, cannot
    assert all(why.endswith(".") for method in types.values() for why in method.tried.values() if why)


def test_what_the_table_denies_is_refused_before_the_start(workshop):
    denied = [(METHODS[name], key) for name in ADAPTERS for key in (*TASKS, *FEWER_BITS)
              if METHODS[name].reason(f"task {key}" if key in TASKS else key)]
    assert denied
    for method, key in denied:
        recipe = Recipe(
            base_model="b", dataset={"source": "x"}, method=method.name, method_settings=workshop.settings_for(method),
            task=key if key in TASKS else method.tasks[0], quantization="none" if key in TASKS else key)
        with pytest.raises(RecipeInvalid) as problem:
            method.complete(recipe)
        assert method.reason(f"task {key}" if key in TASKS else key) in str(problem.value)
