"""LoRA's variants, each trained on a tiny model by the studio's own code: it learns, fits the base model as it was, and goes on."""

import dataclasses
import functools
import json
import math
from types import SimpleNamespace

import pytest

from jobs.continuing import continue_run
from jobs.methods import METHODS, describe
from jobs.methods.building import build_config
from jobs.methods.lora_variants import ANY, APART, BITS, BY_FIELD, PLAIN, VARIANTS, misfits
from jobs.methods.trial import MUST, Cannot, Trial
from jobs.models.inspect import inspect_base_model
from jobs.recipe import Recipe
from jobs.recipe_reader import read_recipe
from jobs.submit import check_recipe, submit
from storage.problems import RecipeInvalid
from storage.records import RunState
from tests.in_process import train_here, weights_of
from tests.jobs.test_new_tasks import ROWS

SMALL = {"r": 4, "lora_alpha": 8}
QUICK = {"max_steps": 4, "learning_rate": 5e-3}
HERE = [name for name, variant in VARIANTS.items() if not variant.cannot and "none" in variant.bases]
MOVING = [name for name, variant in VARIANTS.items() if variant.moves_base]
LORA = METHODS["lora"]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    import torch

    from jobs.training.workshop import Workshop

    class Variants(Workshop):
        given: dict = {}

        def settings_for(self, method):
            return self.given

        def trained(self, settings, family="llama", **training):
            self.given = {**SMALL, **settings}
            return self.train(LORA, family=family, **{**QUICK, **training})

    torch.set_num_threads(1)  # tiny models gain nothing by more
    return Variants(tmp_path_factory.mktemp("variants"))


@pytest.fixture(autouse=True)
def short_answers(monkeypatch):
    """Of the samples that a run shows: nothing is learned from them."""
    from jobs.training import process

    monkeypatch.setattr(process, "TrainingContext", functools.partial(process.TrainingContext, sample_tokens=3))


@pytest.fixture(scope="module")
def base_loss(workshop):
    """Of the base model alone, which every variant must tell, whatever it does to the weights."""
    return workshop.trained({}, max_steps=1).run.eval_loss_before


def run_here(workshop, settings, source=None, method="lora", quantization="none", **training):
    """A run from the queue to its end."""
    recipe = {"name": "try", "base_model": str(workshop.base("llama")), "method": method, "quantization": quantization,
              "method_settings": {**SMALL, **settings}, "dataset": source or {"source": str(workshop.rows("text-generation"))},
              "training": {"batch_size": 4, "schedule": "constant", "warmup": 0, "max_length": 64, **QUICK, **training}}
    run = submit(workshop.services, read_recipe(recipe))
    train_here(workshop.services)
    run = workshop.services.runs.get(run.id)
    assert (run.state, run.problem) == (RunState.FINISHED, "")
    return run


def config_of(workshop, trained):
    return json.loads((workshop.unpacked(trained) / "adapter_config.json").read_text())


@pytest.mark.parametrize("name", HERE)
def test_a_variant_learns_and_its_adapter_fits_the_base_as_it_was(workshop, base_loss, name, record_property):
    trained = workshop.trained({"variant": name})
    assert trained.run.eval_loss_before == pytest.approx(base_loss, abs=1e-4)
    assert trained.run.eval_loss < 0.95 * base_loss
    trial = Trial(workshop, trained)
    for check in MUST.values():
        check(trial)
    if VARIANTS[name].no_merge:
        with pytest.raises((Cannot, NotImplementedError)):
            trial.merge()
    else:
        trial.merge()
    config, card = config_of(workshop, trained), (workshop.unpacked(trained) / "README.md").read_text()
    assert f"| Method | LoRA ({VARIANTS[name].title}) |" in card or name == PLAIN
    assert config["init_lora_weights"] in (True, name)
    assert config["r"] == (8 if name in MOVING else 4)
    assert (name in MOVING) == (trained.model.active_peft_config.r != config["r"])
    record_property("method", {"name": f"lora, {name}", "found": {**dict.fromkeys(MUST, ""), "merge": VARIANTS[name].no_merge}})


@pytest.mark.parametrize("settings", [
    {"variant": "lora-plus", "init_lora_weights": "pissa_niter_4", "use_dora": True, "use_rslora": True,
     "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 5}, "target_modules": ["q_proj", "v_proj", "embed_tokens"]},
    {"variant": "eva", "use_dora": True, "use_rslora": True},
    {"variant": "monteclora", "init_lora_weights": "corda", "corda_config": {"corda_method": "kpm"}},
    {"variant": "lora-fa", "init_lora_weights": "lora_ga", "trainable_token_indices": ["<|assistant|>", 7]},
    {"variant": "pissa", "layers_to_transform": [0], "layers_pattern": "layers", "modules_to_save": ["norm"], "bias": "all"},
], ids=["pissa, LoRA+, DoRA, rsLoRA, patterns", "EVA, DoRA, rsLoRA", "CorDA, MonteCLoRA", "LoRA-GA, LoRA-FA, tokens",
        "PiSSA, layers, whole layers"])
def test_variants_of_different_parts_go_together(workshop, settings):
    trained = workshop.trained(settings)
    trial = Trial(workshop, trained)
    for check in MUST.values():
        check(trial)
    if settings.get("layers_to_transform"):
        from safetensors import safe_open

        with safe_open(workshop.unpacked(trained) / "adapter_model.safetensors", "pt") as file:
            names = list(file.keys())
        assert all(".layers.0." in name for name in names if ".lora_" in name) and any("norm" in name for name in names)


@pytest.mark.parametrize("name", ["pissa", "eva", "lora-ga", "monteclora", "velora"])
def test_a_run_that_goes_on_ends_as_if_it_had_never_stopped(workshop, name):
    import torch

    settings = {"variant": name, "lora_dropout": 0.1, **({"velora_init": "batch_average_once"} if name == "velora" else {})}
    whole, part = run_here(workshop, settings), run_here(workshop, settings, max_steps=2)
    longer = continue_run(workshop.services, part.id, max_steps=QUICK["max_steps"])
    train_here(workshop.services)
    ours, theirs = weights_of(workshop.services, longer.id), weights_of(workshop.services, whole.id)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("name", [name for name, variant in VARIANTS.items() if "nf4" in variant.bases and name != PLAIN
                                  and not variant.cannot])
def test_a_variant_on_a_base_in_four_bits(workshop, base_loss, name, record_property):
    trained = workshop.trained({"variant": name}, quantization="nf4", learning_rate=1e-8 if name == "loftq" else 5e-3)
    before, after = trained.run.eval_loss_before, trained.run.eval_loss
    if name == "loftq":  # without learning, it is nearer to the base in full
        assert abs(after - base_loss) < 0.8 * abs(before - base_loss)
    else:
        assert after < 0.95 * before
    Trial(workshop, trained).reload()
    record_property("method", {"name": f"lora, {name}", "found": {"nf4": ""}})


@pytest.mark.parametrize("name", ["pissa", "kasa"])
def test_preferences_are_compared_with_the_base_as_it_was(workshop, tmp_path, name):
    path = tmp_path / "preferences.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS["preference"]))
    run = run_here(workshop, {"variant": name}, {"source": str(path), "validation": 0.25})
    assert run.metrics["eval_loss_before"] == pytest.approx(math.log(2), abs=1e-4)
    assert run.metrics["reward_margin"] > 0.1


def test_an_alora_leaves_all_before_its_invocation_to_the_base(workshop):
    trained = workshop.trained({"variant": "alora"})
    assistant = 4  # what the chat template puts before an answer
    assert config_of(workshop, trained)["alora_invocation_tokens"] == [assistant]
    ids = trained.batch["input_ids"][:1]
    place = ids[0].tolist().index(assistant)
    ours = trained.answers[:1]
    with trained.model.disable_adapter():
        bases = workshop.answers(trained.model, {name: rows[:1] for name, rows in trained.batch.items()})
    assert workshop.difference(ours[:, :place], bases[:, :place]) < 1e-5 < workshop.difference(ours[:, place:], bases[:, place:])
    from storage.problems import TrainingStopped

    with pytest.raises(TrainingStopped, match="no training row holds the invocation 'Abracadabra'"):
        workshop.trained({"variant": "alora", "alora_invocation": "Abracadabra"})


def test_single_weights_of_experts_are_adapted(workshop):
    import torch
    from transformers import MixtralConfig, MixtralForCausalLM

    from jobs.tiny_models import make_tokenizer

    folder, tokenizer = workshop.home / "bases" / "mixtral", make_tokenizer()
    torch.manual_seed(0)
    MixtralForCausalLM(MixtralConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2, max_position_embeddings=128, initializer_range=0.1,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    trained = workshop.trained({"target_modules": [], "target_parameters": ["mlp.experts.down_proj"]}, family="mixtral")
    assert trained.run.eval_loss < trained.run.eval_loss_before
    Trial(workshop, trained).reload()


def test_a_penalty_is_in_the_loss_that_is_learned_and_not_in_the_one_that_is_measured(workshop, base_loss):
    trained = workshop.trained({"variant": "kasa", "kasa_gamma": 1.0}, max_steps=1)
    assert trained.losses[0] > base_loss + 1 and trained.run.eval_loss < base_loss + 0.1


def test_how_steps_are_taken_stays_where_a_training_starts_from_an_adapter(workshop):
    trained = workshop.trained({"variant": "pissa"})
    recipe = read_recipe({"base_model": str(workshop.base("llama")), "dataset": {"source": str(workshop.rows("text-generation"))},
                          "method_settings": {"variant": "lora-plus", "loraplus_lr_ratio": 4}, "start_from": trained.run.id})
    settings = check_recipe(workshop.services, recipe).recipe.method_settings
    assert {"variant": "lora-plus", "loraplus_lr_ratio": 4, "r": 8, "init_lora_weights": True}.items() <= settings.items()


# ---- without training


@pytest.mark.parametrize("ours, theirs", [
    ({"variant": "dora"}, {"use_dora": True}),
    ({"variant": "rslora"}, {"use_rslora": True}),
    ({"variant": "mica"}, {"init_lora_weights": "mica"}),
    ({"variant": "orthogonal"}, {"init_lora_weights": "orthogonal"}),
    ({"variant": "eva", "eva_rho": 1.5}, {"init_lora_weights": "eva", "eva_config": {"rho": 1.5}}),
    ({"variant": "velora", "velora_groups": 8}, {"velora_config": {"num_groups": 8}}),
    ({"variant": "kasa", "kasa_beta": 0.01}, {"kasa_config": {"beta": 0.01}}),
    ({"variant": "monteclora", "monteclora_samples": 4}, {"monteclora_config": {"num_samples": 4}}),
    ({"variant": "bdlora", "bdlora_rows": ["o_proj"], "bdlora_columns": ["q_proj"]},
     {"use_bdlora": {"target_modules_bd_a": ["o_proj"], "target_modules_bd_b": ["q_proj"], "nblocks": 2, "match_strict": False}}),
], ids=lambda values: values.get("variant", ""))
def test_pefts_own_names_say_the_same(ours, theirs):
    context = SimpleNamespace(modules_to_save=[], model_type="llama", peft_task="CAUSAL_LM", checkpoint=None, tokenizer=None)
    made = [dataclasses.asdict(build_config(LORA, LORA.read_settings(values), context)) for values in (ours, theirs)]
    assert made[0] == made[1]


def test_pefts_own_names_say_the_same_of_what_is_begun_by_the_studio():
    from jobs.training.lora.settings import corda_config, lora_ga_config, pissa_way

    read = LORA.read_settings
    assert corda_config(read({"variant": "corda", "corda_method": "kpm"})) == corda_config(
        read({"init_lora_weights": "corda", "corda_config": {"corda_method": "kpm"}}))
    assert lora_ga_config(read({"variant": "lora-ga", "lora_ga_scale": "unit"})) == lora_ga_config(
        read({"init_lora_weights": "lora_ga", "lora_ga_config": {"scale": "unit"}}))
    assert pissa_way(read({"variant": "pissa", "pissa_iterations": 4})) == pissa_way(read({"init_lora_weights": "pissa_niter_4"}))


@pytest.mark.parametrize("settings, sentence", [
    ({"variant": "dora", "init_lora_weights": "mica"}, "DoRA and MiCA. Both decide what an adapted layer computes"),
    ({"variant": "pissa", "init_lora_weights": "olora"}, "PiSSA and OLoRA. Both decide how training starts"),
    ({"variant": "lora-fa", "use_dora": True}, "LoRA-FA and DoRA"),
    ({"variant": "alora", "init_lora_weights": "pissa"}, "leaves the tokens before the invocation to the base as it was"),
    ({"variant": "arrow"}, "Arrow, which cannot run here. It trains nothing"),
    ({"variant": "orthogonal", "rank_pattern": {"q_proj": 3}}, "r is 3, and the orthogonal start needs even ranks"),
    ({"eva_config": {}}, "eva_config is given, and EVA is not chosen"),
    ({"variant": "corda", "corda_config": {"cache_file": "/etc/x"}}, "names files"),
    ({"variant": "bdlora", "bdlora_blocks": 3}, "cannot be split into 3 blocks"),
    ({"monteclora_config": {"num_samples": 64}}, "num_samples is 64"),
    ({"lora_bias": True, "variant": "eva"}, "lora_bias is on, and it does not go with EVA"),
    ({"target_parameters": ["w"], "lora_dropout": 0.1}, "single weights take no dropout"),
    ({"target_parameters": ["w"], "variant": "pissa"}, "cannot be adapted with PiSSA"),
    ({"layers_pattern": "h"}, "without layers_to_transform"),
    ({"layers_to_transform": [1], "target_modules": ".*q_proj"}, "target_modules is the pattern '.*q_proj'"),
])
def test_settings_that_do_not_go_together_are_refused(settings, sentence):
    with pytest.raises(RecipeInvalid) as problem:
        LORA.read_settings(settings)
    assert any(sentence in line for line in problem.value.problems), problem.value.problems


def refused(workshop, settings, family="llama", facts=None, **recipe):
    found = inspect_base_model(workshop.base(family))
    found = dataclasses.replace(found, **facts) if facts else found
    recipe = Recipe(base_model="b", dataset={"source": "x"}, **recipe)
    return " ".join(LORA.special.refuse(LORA.read_settings(settings), recipe, found))


@pytest.mark.parametrize("settings, recipe, facts, sentence", [
    ({"variant": "loftq"}, {}, {}, "Set quantization to nf4"),
    ({"variant": "loftq"}, {}, {"quantization": "awq"}, "It looks for what few bits lose in the weights in full"),
    ({"variant": "qalora"}, {}, {}, "stored in GPTQ only"),
    ({"variant": "qalora"}, {}, {"quantization": "gptq"}, "the package gptqmodel"),
    ({"variant": "alora"}, {"task": "text-classification"}, {}, "serves text generation only"),
    ({"variant": "alora"}, {"training": {"packing": True}}, {}, "would speak in the last one only"),
    ({"variant": "alora"}, {"training": {"gradient_checkpointing": True}}, {}, "trained but not measured"),
    ({"variant": "olora"}, {}, {"architecture": "GPT2LMHeadModel"}, "hold their weight turned over"),
    ({"variant": "eva", "r": 32}, {}, {}, "EVA takes at most 16 on this base model, whose layers are 64 wide"),
    ({"variant": "lora-fa"}, {"training": {"optimizer": "adafactor"}}, {}, "LoRA-FA brings an AdamW of its own"),
    ({"variant": "lora-plus"}, {"training": {"optimizer": "muon"}}, {}, "Set it to adamw_torch"),
    ({"trainable_token_indices": [9999]}, {}, {}, "has 9999, and the base model's tokens have the numbers 0 to"),
])
def test_what_cannot_run_on_a_base_model_is_said_before_the_start(workshop, settings, recipe, facts, sentence):
    assert sentence in refused(workshop, settings, facts=facts, **recipe)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_says_on_which_bases_it_cannot_be_trained(workshop, name, record_property):
    variant = VARIANTS[name]
    if variant.cannot:
        record_property("method", {"name": f"lora, {name}", "found": {"learn": variant.cannot}})
        return
    for bits in BITS:
        assert bool(refused(workshop, {"variant": name}, quantization=bits)) == (bits not in variant.bases)
    assert bool(variant.not_there) == (variant.bases != ANY)
    denied = {bits: variant.not_there for bits in ("none", *BITS) if bits not in variant.bases}
    record_property("method", {"name": f"lora, {name}", "found": denied})


def test_the_table_of_variants_is_whole():
    fields = LORA.settings.model_fields
    for variant in VARIANTS.values():
        assert {*variant.knobs, *variant.sets} <= fields.keys(), variant.name
        texts = (variant.title, variant.does, variant.choose_when)
        assert all(texts) and variant.does.endswith(".") and all(len(text) <= 132 for text in texts), variant.name
    assert {"variant", *BY_FIELD} - {"loftq_config"} <= fields.keys() and fields["variant"].default == PLAIN
    assert all(pair <= VARIANTS.keys() for pair in APART)
    for name in VARIANTS:  # what can be chosen can be chosen alone
        assert not misfits(LORA.settings(variant=name))
    assert [variant["name"] for variant in describe(LORA)["variants"]] == list(VARIANTS)
    assert not describe(METHODS["ia3"])["variants"]


@pytest.mark.parametrize("config, sentence", [
    ({"init_lora_weights": "pissa_niter_4"}, "fits only the base model that its start has changed"),
    ({"init_lora_weights": True, "kasa_config": {"beta": 0.1}}, "threw directions of the base model's weights away"),
    ({"init_lora_weights": "eva", "kasa_config": None}, ""), ({"init_lora_weights": True}, "")])
def test_nothing_is_trained_on_from_an_adapter_whose_base_was_changed(config, sentence):
    why = LORA.special.refuse_start(config)
    assert sentence in why and bool(sentence) == bool(why)
