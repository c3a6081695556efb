"""Types that need more than a config: trained on tiny models, gone on with, and opened with nothing but PEFT."""

import contextlib
import functools
import re
import shutil
from types import SimpleNamespace

import pytest

from jobs.continuing import continue_run
from jobs.export import copy_zip
from jobs.memory import smaller
from jobs.methods import find_method
from jobs.methods.special.cpt import ANSWER, ANSWER_TEMPLATE, INPUT, INPUT_TEMPLATE, SEPARATOR, context_of
from jobs.methods.special.prompts import first_tokens
from jobs.methods.special.selective import special_tokens, tokens_named
from jobs.playground.request import BaseChoice, GenerationSettings
from jobs.recipe_reader import read_recipe
from jobs.submit import check_recipe, submit
from storage.problems import RecipeInvalid
from storage.records import Request, RunState
from tests.in_process import train_here, weights_of
from tests.tiny_models import SPECIAL, make_tokenizer, write_chats

STEPS = {"max_steps": 6, "batch_size": 4, "learning_rate": 1e-2, "eval_steps": 3, "save_steps": 3}
PATIENT = {"schedule": "constant", "warmup": 0, "eval_steps": 1, "patience": 0, "max_steps": 5}


@pytest.fixture(autouse=True)
def short_samples(monkeypatch):
    from jobs.training import process

    monkeypatch.setattr(process, "TrainingContext", functools.partial(process.TrainingContext, sample_tokens=2))


@pytest.fixture
def recipe(tiny_llama, tiny_bert, chats, labelled):
    def recipe(method, settings=None, task="text-generation", training=None, **changes):
        base, source = (tiny_llama, chats) if task == "text-generation" else (tiny_bert, labelled)
        values = {"name": "try", "base_model": str(base), "task": task, "method": method, "method_settings": settings or {},
                  "dataset": {"source": str(source), "validation": 4}, "training": {**STEPS, **(training or {})}}
        return read_recipe({**values, **changes})
    return recipe


@pytest.fixture
def train(services, recipe):
    def train(*values, **changes):
        run = submit(services, recipe(*values, **changes))
        train_here(services)
        run = services.runs.get(run.id)
        assert (run.state, run.problem) == (RunState.FINISHED, "")
        return run
    return train


def folder_of(services, run):
    return services.settings.adapters_dir / services.adapters.get(run.id).folder


def opened(base, folder, **options):
    """The adapter on a base model, as somebody without the studio opens it."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder, **options).eval()


def in_playground(base, folder, task="text-generation"):
    from jobs.playground.models import LoadedBase

    return LoadedBase(BaseChoice(base_path=base, base_name="tiny", task=task), "cpu").answerer(folder)


def logits(model, **inputs):
    import torch

    with torch.no_grad():
        return model(**inputs).logits


def some_ids(rows=2, length=20):
    import torch

    return torch.arange(10, 10 + rows * length).view(rows, length)


# ---- going on, and the best state


@pytest.mark.parametrize("method, given", [
    ("p-tuning", {"encoder_reparameterization_type": "LSTM", "encoder_hidden_size": 16, "encoder_num_layers": 2,
                  "encoder_dropout": 0.1}),
    ("cpt", {"context_rows": 3, "context_tokens": 90, "opt_projection_epsilon": 5}),
    ("adalora", {"lora_dropout": 0.1, "target_modules": ["q_proj", "v_proj"]}),
    ("adamss", {"use_asa": True, "asa_target_subspaces": 6, "num_subspaces": 4, "r": 16, "mask_interval": 1})])
def test_a_run_that_was_stopped_and_continued_ends_as_one_that_never_was(services, recipe, train, monkeypatch, method, given):
    from jobs.training.report import Report

    whole = train(method, given)
    old = submit(services, recipe(method, given))
    progress = Report.progress

    def asking(report, now, total):
        progress(report, now, total)
        if now == 4:
            services.queue.ask(report.run.id, Request.STOP)
            report.flush()

    with monkeypatch.context() as patch:
        patch.setattr(Report, "progress", asking)
        train_here(services)
    assert services.runs.get(old.id).step == 4
    new = continue_run(services, old.id)
    train_here(services)
    new = services.runs.get(new.id)
    assert (new.state, new.problem, new.step) == (RunState.FINISHED, "", 6)
    here, there = weights_of(services, new.id), weights_of(services, whole.id)
    assert here.keys() == there.keys() and all((here[name] == there[name]).all() for name in there)
    assert new.eval_loss == whole.eval_loss and new.eval_loss_before == whole.eval_loss_before


@pytest.mark.parametrize("method, given, rate", [
    ("p-tuning", {"encoder_hidden_size": 16}, 0.05), ("cpt", {"context_rows": 2, "context_tokens": 90}, 0.5)])
def test_the_adapter_is_the_best_state_not_the_last(services, train, tmp_path, method, given, rate):
    contrary = tmp_path / "contrary.jsonl"
    contrary.write_text('{"messages": [{"role": "user", "content": "Say"}, {"role": "assistant", "content": "0123456789"}]}\n' * 4)
    data = {"source": str(write_chats(tmp_path / "chats.jsonl", 12)), "validation": str(contrary)}
    run = train(method, given, training={**PATIENT, "learning_rate": rate}, dataset=data)
    measured = {point.step: point.value for point in services.runs.metrics(run.id, ["eval_loss"]) if point.step}
    best = min(measured, key=measured.get)
    assert run.best_step == best < run.step and run.eval_loss == measured[best]
    shorter = train(method, given, training={**PATIENT, "learning_rate": rate, "max_steps": best, "keep_best": False}, dataset=data)
    ours, theirs = weights_of(services, run.id), weights_of(services, shorter.id)
    assert all((ours[name] == theirs[name]).all() for name in theirs)


@pytest.mark.parametrize("method, given, why", [
    ("p-tuning", {"encoder_hidden_size": 16}, "Its learning network is not kept"),
    ("prefix-tuning", {"prefix_projection": True, "start": "zero", "encoder_hidden_size": 16}, "Its learning network is not kept"),
    ("adalora", {"target_modules": ["q_proj"]}, "Its ranks were cut already")])
def test_an_adapter_that_lacks_what_learning_needs_is_not_started_from(services, recipe, train, method, given, why):
    first = train(method, given, training={"max_steps": 2})
    with pytest.raises(RecipeInvalid, match=why):
        submit(services, recipe(method, given, start_from=first.id))


# ---- AdaLoRA


def test_adalora_cuts_ranks_by_the_length_of_the_run_and_keeps_its_penalty_out_of_evaluations(services, train, tiny_llama):
    import json

    import torch

    settings = {"target_r": 4, "init_r": 8, "target_modules": ["q_proj", "v_proj"], "orth_reg_weight": 5}
    run = train("adalora", settings)
    plain = train("lora", training={"max_steps": 1})
    assert run.eval_loss_before == pytest.approx(plain.eval_loss_before, abs=1e-6), "the base model alone has no penalty"
    losses = [point.value for point in services.runs.metrics(run.id, ["loss"])]
    assert losses[0] > run.eval_loss_before + 1, "the loss that is trained on has it"
    config = json.loads((folder_of(services, run) / "adapter_config.json").read_text())
    assert (config["total_step"], config["tinit"], config["tfinal"]) == (6, 0, 1)
    assert sum(sum(kept) for kept in config["rank_pattern"].values()) == 4 * 4
    ranks = [len(value) for name, value in weights_of(services, run.id).items() if name.endswith("lora_E")]
    assert sum(ranks) == 16
    ours = in_playground(tiny_llama, folder_of(services, run)).model
    plain = opened(tiny_llama, folder_of(services, run))
    assert torch.equal(logits(ours, input_ids=some_ids()), logits(plain, input_ids=some_ids()))


# ---- X-LoRA


def test_xlora_takes_its_experts_along(services, recipe, train, tiny_llama, tmp_path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    targets = {"target_modules": ["q_proj", "v_proj"]}
    experts = [train("lora", {"r": rank, **targets}, training={"max_steps": 3, "learning_rate": 0.05}).id for rank in (2, 4)]
    mine = shutil.copytree(folder_of(services, services.runs.get(experts[1])), tmp_path / "mine")
    run = train("xlora", {"experts": [experts[0], str(mine)], "xlora_depth": 2, "xlora_size": 16})
    known = in_playground(tiny_llama, folder_of(services, run))
    expected = logits(known.model, input_ids=some_ids())
    shutil.unpack_archive(copy_zip(services, run.id, tmp_path), tmp_path / "elsewhere")
    shutil.rmtree(mine)
    shutil.rmtree(services.settings.home)

    texts = [path for path in (tmp_path / "elsewhere").rglob("*") if path.suffix in (".json", ".yaml", ".md")]
    everything = "".join(path.read_text() for path in texts)
    assert str(tmp_path) not in everything and str(tiny_llama.parent) not in everything, "a path of this machine is in the zip"
    assert "config.adapters = " in (tmp_path / "elsewhere" / "README.md").read_text()
    base = AutoModelForCausalLM.from_pretrained(tiny_llama)
    base.config.use_cache = False
    with contextlib.chdir(tmp_path / "elsewhere"):
        model = PeftModel.from_pretrained(base, ".").eval()
    assert torch.equal(logits(model, input_ids=some_ids()), expected)
    names = {name for name, _ in model.base_model.internal_xlora_classifier.named_parameters()}
    saved = {name.split("classifier.")[1] for name in _names(tmp_path / "elsewhere" / "adapter_model.safetensors")}
    assert names == saved, "all layers of the weighing network are there"


def _names(path):
    from safetensors import safe_open

    with safe_open(path, "pt") as weights:
        return list(weights.keys())


def test_xlora_refuses_what_it_cannot_mix(services, recipe, train, tiny_llama):
    dora = train("lora", {"r": 2, "variant": "dora", "target_modules": ["q_proj"]}, training={"max_steps": 1})
    ia3 = train("ia3", training={"max_steps": 1})
    with pytest.raises(RecipeInvalid, match="has one adapter, and there is nothing to mix"):
        recipe("xlora", {"experts": ["one"]})
    with pytest.raises(RecipeInvalid, match="Name two or more finished LoRA runs"):
        submit(services, recipe("xlora"))
    with pytest.raises(RecipeInvalid) as caught:
        submit(services, recipe("xlora", {"experts": [dora.id, ia3.id, "nowhere"]}))
    problems = str(caught.value)
    assert f"'{dora.id}', which was trained with use_dora" in problems and f"'{ia3.id}', which is IA3" in problems
    assert "method_settings.experts names 'nowhere', which is neither" in problems


# ---- several tasks


@pytest.mark.parametrize("method, given", [
    ("poly", {"r": 8, "n_skills": 2}), ("multitask-prompt-tuning", {"num_virtual_tokens": 8})])
def test_each_source_is_a_task_that_is_learned_and_asked_on_its_own(services, train, tiny_llama, tmp_path, method, given):
    import torch

    sources = []
    for name, answer in (("yes", "aaaa"), ("no", "bbbb")):
        row = f'{{"messages": [{{"role": "user", "content": "{name}?"}}, {{"role": "assistant", "content": "{answer}"}}]}}\n'
        row = row.replace(f"{name}?", "So?")
        sources.append(tmp_path / f"{name}.jsonl")
        sources[-1].write_text(row * 8)
    run = train(method, given, training={"max_steps": 30, "learning_rate": 0.05, "eval_steps": 30, "schedule": "constant"},
                dataset={"source": [str(path) for path in sources], "weights": [1, 1], "validation": "none"})
    folder = folder_of(services, run)
    answerer = in_playground(tiny_llama, folder)
    assert answerer.tasks == 2
    text = "<|user|>So?<|end|><|assistant|>"
    inputs = answerer.tokenizer(text, return_tensors="pt", return_token_type_ids=False)
    model = opened(tiny_llama, folder)
    a, b = answerer.tokenizer("ab", add_special_tokens=False)["input_ids"]
    said = []
    for task in (0, 1):
        found = model(**inputs, task_ids=torch.tensor([task])).logits[0, -1]
        answerer.model.usual_task = task
        assert torch.equal(logits(answerer.model, **inputs)[0, -1], found)
        ids = answerer.model.generate(**inputs, max_new_tokens=1, do_sample=False)
        assert ids[0, -1] == found.argmax()
        said.append(float(found[a] - found[b]))
    assert said[0] > said[1] + 0.2, "each task has learned the answers of its own source"

    from jobs.playground.generation import answer_as
    from jobs.playground.problems import PromptUnusable

    answer_as(answerer, GenerationSettings(task=1).task)
    assert answerer.model.usual_task == 1
    with pytest.raises(PromptUnusable, match="learned the tasks 0 to 1, and the settings ask for task 2"):
        answer_as(answerer, 2)


# ---- prompts


@pytest.mark.parametrize("method", ["prefix-tuning", "cartridge"])
def test_a_prefix_starts_as_what_the_model_makes_of_a_text(services, train, tiny_llama, method):
    import torch
    from transformers import AutoModelForCausalLM

    text = "The river is long. "
    run = train(method, {"num_virtual_tokens": 30, "start_text": text}, training={"max_steps": 1, "learning_rate": 1e-12})
    tokens = first_tokens(text, make_tokenizer(), None, 30)
    assert len(tokens) == 30 and tokens[19:] == tokens[:11]
    base = AutoModelForCausalLM.from_pretrained(tiny_llama).eval()
    together = logits(base, input_ids=torch.cat([torch.tensor([tokens]), some_ids(1)], dim=1))
    assert torch.allclose(logits(opened(tiny_llama, folder_of(services, run)), input_ids=some_ids(1)), together[:, 30:], atol=1e-5)


def test_without_a_text_a_prefix_starts_from_the_training_rows():
    from datasets import Dataset

    rows = Dataset.from_dict({"input_ids": [[1, 2, 3], [4, 5]]})
    assert first_tokens("", make_tokenizer(), rows, 7) == [1, 2, 3, 4, 5, 1, 2]


def test_a_decoder_that_labels_reads_the_last_token_of_each_text_behind_learned_vectors(services, train, tiny_llama, labelled):
    import torch

    run = train("prompt-tuning", task="text-classification", base_model=str(tiny_llama), training={"max_steps": 2})
    model = in_playground(tiny_llama, folder_of(services, run), "text-classification").model
    long, short = list(range(10, 30)), list(range(40, 47))
    batch = torch.tensor([long, short + [0] * 13])
    mask = (torch.arange(20)[None] < torch.tensor([[20], [7]])).long()
    together = logits(model, input_ids=batch, attention_mask=mask)
    for row, ids in zip(together, (long, short), strict=True):
        alone = logits(model, input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long))
        assert torch.allclose(row, alone[0], atol=1e-5)


def test_the_context_of_cpt_knows_the_parts_of_its_rows():
    from datasets import Dataset

    rows = Dataset.from_dict({"input_ids": [[1, 2, 11, 12, 3, 21, 9], [1, 2, 13, 3, 22, 23, 9], [1, 2, 14, 3, 24, 9], [7] * 90],
                              "trained": [[5, 6], [4, 6], [4, 5], [0, 90]]})
    ids, kinds, used = context_of(rows, 2, 20, seed=0)
    assert len(ids) == len(kinds) and len(used) == 2 and max(kinds) == 4 + ANSWER
    first = sorted(used, key=lambda number: ids.index(rows[number]["input_ids"][2]))[0]
    length = len(rows[first]["input_ids"])
    inputs, answers = rows[first]["trained"][0] - 3, rows[first]["trained"][1] - rows[first]["trained"][0]
    assert kinds[:length] == [INPUT_TEMPLATE] * 2 + [INPUT] * inputs + [ANSWER_TEMPLATE] + [ANSWER] * answers + [SEPARATOR]
    with pytest.raises(ValueError, match="at most 3 tokens"):
        context_of(rows, 2, 3, seed=0)


# ---- what is trained as it is


def test_tokens_are_named_by_text_or_number():
    from datasets import Dataset

    tokenizer = make_tokenizer()
    end, letters = tokenizer.convert_tokens_to_ids("<|end|>"), tokenizer("ab", add_special_tokens=False)["input_ids"]
    assert tokens_named(["<|end|>", 77, "ab", "ba", 77], tokenizer) == [end, 77, *letters]
    rows = Dataset.from_dict({"input_ids": [[end, 70, 3], [80, end]]})
    assert special_tokens(rows, tokenizer) == sorted([end, 3]) and 3 < len(SPECIAL)


def test_layer_norms_learn_in_32_bits_on_a_model_of_fewer(tiny_llama):
    import torch
    from peft import LNTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from jobs.training.weights import train_in_fp32

    base = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.bfloat16)
    model = get_peft_model(base, LNTuningConfig(task_type="CAUSAL_LM"))
    find_method("ln-tuning").special.opened(model)
    train_in_fp32(model)
    assert {weight.dtype for weight in model.parameters() if weight.requires_grad} == {torch.float32}
    assert logits(model, input_ids=some_ids()).dtype == torch.bfloat16


def test_osf_keeps_steps_out_of_the_strongest_directions_on_a_model_of_fewer_bits(tiny_llama):
    import torch
    from peft import OSFConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.bfloat16)
    model = get_peft_model(base, OSFConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], effective_rank=0.5))
    find_method("osf").special.opened(model)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(input_ids=some_ids(), labels=some_ids()).loss
    loss.backward()
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    gradient, kept = layer.osf_svd_params["default"]["U_low"].grad, layer._osf_U_low_init["default"].float()
    assert gradient.norm() > 0 and torch.allclose(kept @ (kept.T @ gradient), gradient, atol=1e-2 * float(gradient.norm()))


def test_chosen_layers_of_the_stack_may_go_with_all_linear(services, train):
    run = train("hra", {"layers_to_transform": [1], "target_modules": "all-linear"}, training={"max_steps": 1})
    names = weights_of(services, run.id)
    assert len(names) == 7 and all(".layers.1." in name for name in names)


def test_psoft_is_not_asked_where_its_directions_come_out_otherwise(services, train, tiny_llama, tmp_path):
    import json

    from jobs.playground.problems import AdapterMisfit

    run = train("psoft", {"r": 8, "target_modules": ["q_proj"]}, training={"max_steps": 1})
    folder = shutil.copytree(folder_of(services, run), tmp_path / "adapter")
    in_playground(tiny_llama, folder)
    (folder / "SHA256SUMS").unlink()
    found = json.loads((folder / "directions.json").read_text())
    name = next(iter(found))
    found[name][3] *= -1
    (folder / "directions.json").write_text(json.dumps(found))
    with pytest.raises(AdapterMisfit, match="come out otherwise on this machine"):
        in_playground(tiny_llama, folder)


# ---- what is refused, and why


@pytest.mark.parametrize("method, given, changes, why", [
    ("prefix-tuning", {}, {"training": {**STEPS, "gradient_checkpointing": True}}, "gradient_checkpointing is on. What it learns"),
    ("unilora", {}, {"quantization": "int8"}, "quantization is 'int8'.* nothing is learned"),
    ("adaption-prompt", {}, {"task": "text-classification"}, "cannot keep the head"),
    ("adaption-prompt", {"adapter_layers": 3}, {}, "adapter_layers is 3, and the base model has 2"),
    ("c3a", {"block_size": 48}, {}, "block_size is 48, and must divide .* is 64 wide. Set it to 32"),
    ("shadow", {}, {"task": "text-classification"}, "of the family bert. This method follows the blocks of models that write"),
    ("cpt", {}, {"task": "text-classification"}, "serves only text-generation"),
    ("prompt-tuning", {"num_virtual_tokens": 252}, {}, "takes 252 tokens of the base model's 256"),
    ("trainable-tokens", {"token_indices": [999]}, {}, "names the token 999, and the base model has 261"),
    ("multitask-prompt-tuning", {}, {"dataset": {"source": ["a.jsonl", "b.jsonl"], "weights": [1, 1], "validation": "c.jsonl"}},
     "its rows do not say to which of the 2 tasks they belong"),
    ("poly", {}, {"training": {**STEPS, "packing": True}}, "could be of several tasks")])
def test_what_cannot_run_is_told_before_the_start(services, recipe, method, given, changes, why):
    changes = {"task": "text-generation", "training": None, **changes}
    with pytest.raises(RecipeInvalid) as caught:
        check_recipe(services, recipe(method, given, **changes))
    assert re.search(why, " ".join(str(caught.value).split())), str(caught.value)


@pytest.mark.parametrize("method, given, why", [
    ("adalora", {"init_r": 8, "target_r": 8}, "there is nothing to cut"),
    ("adamss", {"use_asa": True, "init_warmup": 9, "final_warmup": 9}, "Set it to a later step"),
    ("prompt-tuning", {"prompt_tuning_init": "TEXT"}, "prompt_tuning_init_text is empty"),
    ("prefix-tuning", {"prefix_projection": True}, "a projected prefix cannot start from a text")])
def test_settings_that_contradict_each_other_are_told(recipe, method, given, why):
    with pytest.raises(RecipeInvalid, match=why):
        recipe(method, given)


def test_rows_are_cut_to_leave_room_for_a_learned_prompt_and_memory_is_not_saved_by_what_cannot_be(services, recipe):
    values = recipe("prefix-tuning", {"num_virtual_tokens": 100}, training={"max_length": 4096, "batch_size": 1})
    assert check_recipe(services, values).recipe.training.max_length == 156
    assert smaller(values) is None
    assert smaller(recipe("lora", training={"batch_size": 1})) == {"gradient_checkpointing": True}


def test_opening_an_adapter_that_changes_the_base_model_gets_weights_of_its_own():
    from peft import IA3Config, LoraConfig
    from peft.tuners.hra import HRAConfig

    from jobs.playground.models import changes_base

    assert not changes_base(LoraConfig()) and not changes_base(IA3Config()) and not changes_base(HRAConfig())
    assert changes_base(LoraConfig(init_lora_weights="pissa")) and changes_base(LoraConfig(bias="all"))
    assert changes_base(HRAConfig(bias="hra_only")) and changes_base(SimpleNamespace(peft_type="UNHEARD_OF"))
