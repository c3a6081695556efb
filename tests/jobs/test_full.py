"""Full fine-tuning: through the same queue, checkpoints, lab book, zip and playground as an adapter."""

import json
import subprocess
import time
import zipfile
from functools import partial

import pytest

from jobs import checkpoints
from jobs.continuing import continue_run
from jobs.recipe_reader import read_recipe
from jobs.stopping import end_from_checkpoint
from jobs.submit import check_recipe, submit
from storage.problems import RecipeInvalid
from storage.records import Request, RunState
from tests.in_process import train_here
from tests.tiny_models import write_labels

STEPS = {"batch_size": 8, "schedule": "constant", "warmup": 0, "epochs": 1, "learning_rate": 1e-3}
TASKS = {"messages": "text-generation", "classification": "text-classification", "tokens": "token-classification",
         "pairs": "sentence-similarity", "preference": "text-generation", "binary-preference": "text-generation"}


@pytest.fixture(autouse=True)
def short_answers(monkeypatch):
    from jobs.training import process

    monkeypatch.setattr(process, "TrainingContext", partial(process.TrainingContext, sample_tokens=2))


@pytest.fixture
def recipe(tiny_llama, tiny_bert, chats, labelled):
    def recipe(task="text-generation", validation="none", source=None, method="full", start_from="", quantization="none",
               settings=None, **training):
        base, rows = (tiny_llama, chats) if task == "text-generation" else (tiny_bert, labelled)
        return read_recipe({"name": "whole", "base_model": str(base), "task": task, "method": method, "quantization": quantization,
                            "dataset": {"source": str(source or rows), "validation": validation}, "start_from": start_from,
                            "method_settings": settings or {}, "training": {**STEPS, **training}})
    return recipe


@pytest.fixture
def train(services, recipe):
    def train(*arguments, **changes):
        run = submit(services, recipe(*arguments, **changes))
        train_here(services)
        return services.runs.get(run.id)
    return train


def train_once(services):
    """One attempt at the run that is next, as a worker and its trainer make it."""
    from jobs.training.process import execute_run

    run = services.leases.claim_next("cpu", "here")
    run_dir = services.settings.runs_dir / run.id
    run_dir.mkdir(parents=True)
    execute_run(services, run, run_dir, time.monotonic())


def folder_of(services, run):
    return services.settings.adapters_dir / services.adapters.get(run.id).folder


def weights_in(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def same(some, others) -> bool:
    import torch

    return some.keys() == others.keys() and all(torch.equal(some[name], others[name]) for name in some)


def test_it_leaves_a_whole_model_that_plain_transformers_opens_and_the_playground_asks_beside_its_base(services, train, tiny_llama,
                                                                                                       tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from jobs.playground.bench import Bench
    from jobs.playground.models import LoadedBase
    from jobs.playground.request import BaseChoice, GenerateRequest

    run = train(validation=0.2, epochs=3)
    assert (run.state, run.problem) == (RunState.FINISHED, "") and run.eval_loss < run.eval_loss_before
    base = AutoModelForCausalLM.from_pretrained(tiny_llama)
    assert run.trainable_parameters == run.total_parameters == sum(weight.numel() for weight in base.parameters())

    adapter = services.adapters.get(run.id)
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(services.settings.adapters_dir / adapter.zip_name) as archive:
        archive.extractall(unpacked)
    checked = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=unpacked, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "README.md",
            "recipe.yaml", "metrics.json", "SHA256SUMS"} == {path.name for path in unpacked.iterdir()} - {"tokenizer_config.json"}
    assert run.checkpoint_bytes == adapter.bytes == (unpacked / "model.safetensors").stat().st_size
    card = (unpacked / "README.md").read_text()
    assert "library_name: transformers" in card and "peft" not in card and "AutoModelForCausalLM.from_pretrained" in card
    everything = "".join(path.read_text() for path in unpacked.iterdir() if path.suffix in (".json", ".yaml", ".md"))
    assert str(tiny_llama.parent) not in everything, "a path of this machine is in the zip"
    assert json.loads((unpacked / "config.json").read_text())["use_cache"] is True

    tuned, tokenizer = AutoModelForCausalLM.from_pretrained(unpacked), AutoTokenizer.from_pretrained(unpacked)
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "Say apple"}], add_generation_prompt=True,
                                           return_tensors="pt", return_dict=True)
    expected = [tokenizer.decode(model.generate(**prompt, max_new_tokens=8, do_sample=False)[0][prompt["input_ids"].shape[1]:],
                                 skip_special_tokens=True) for model in (base, tuned)]
    asked = GenerateRequest(base_path=tiny_llama, base_name="tiny", prompt="Say apple", settings={"max_new_tokens": 8}, panes=[
        {"name": "base"}, {"name": "tuned", "adapter_folder": unpacked}])
    assert [answer["text"] for answer in Bench("cpu").answers(asked)] == expected and expected[0] != expected[1]

    loaded = LoadedBase(BaseChoice(base_path=tiny_llama, base_name="tiny"), "cpu")
    beside = loaded.answerer(unpacked)
    with torch.no_grad():
        assert torch.equal(beside.model(**prompt).logits, tuned.eval()(**prompt).logits)
    assert beside.bytes >= adapter.bytes * 0.9 and set(loaded.attached()) == {unpacked}
    loaded.detach_oldest(keep={unpacked})
    assert loaded.attached()
    loaded.detach_oldest(keep={None})
    assert not loaded.attached(), "as large as the base, it goes at once"


@pytest.mark.parametrize("chosen, learns", [
    ({"train_layers": ["q_proj", "*.layers.0.mlp.up*"]}, lambda name: "q_proj" in name or "layers.0.mlp.up" in name),
    ({"train_last": 1, "train_embeddings": True}, lambda name: name.startswith(("model.layers.1.", "model.norm.", "model.embed"))),
])
def test_only_the_chosen_layers_learn_and_the_lab_book_counts_them(services, train, tiny_llama, chosen, learns):
    import torch

    run = train(settings=chosen)
    assert (run.state, run.problem) == (RunState.FINISHED, "")
    before, after = weights_in(tiny_llama), weights_in(folder_of(services, run))
    assert before.keys() == after.keys()
    for name, weight in before.items():
        assert torch.equal(weight, after[name]) != learns(name), name
    assert run.trainable_parameters == sum(weight.numel() for name, weight in before.items() if learns(name))
    assert run.total_parameters == sum(weight.numel() for weight in before.values())


@pytest.mark.parametrize("chosen, learns", [
    ({"train_last": 1}, ("layer.1.", "pooler.", "classifier.")),
    ({"train_layers": ["layer.0.output"]}, ("layer.0.output.", "classifier."))])
def test_a_classifier_learns_with_the_chosen_layers_its_new_head(tiny_bert, chosen, learns):
    from types import SimpleNamespace

    from transformers import AutoModelForSequenceClassification

    from jobs.methods import find_method
    from jobs.training.weights import choose_weights

    model = AutoModelForSequenceClassification.from_pretrained(tiny_bert)
    context = SimpleNamespace(recipe=SimpleNamespace(task="text-classification"), new_modules=[])
    choose_weights(model, find_method("full").read_settings(chosen), context)
    for name, weight in model.named_parameters():
        assert weight.requires_grad == any(part in name for part in learns), name


def test_gradient_checkpointing_changes_nothing_but_the_memory(services, train):
    import torch

    ours, theirs = (weights_in(folder_of(services, train(max_steps=2, gradient_checkpointing=on))) for on in (True, False))
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in theirs)


@pytest.mark.parametrize("format", TASKS)
def test_every_task_learns_and_its_model_opens_again(services, train, tmp_path, format):
    from jobs.playground.models import AUTO_CLASSES
    from tests.jobs.test_training_settings import ROWS

    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(ROWS[format](number)) + "\n" for number in range(20)))
    run = train(TASKS[format], validation=4, source=data, max_steps=3)
    assert (run.state, run.problem) == (RunState.FINISHED, "") and run.eval_loss != run.eval_loss_before
    if "preference" in format:
        as_before = 0.693 if format == "preference" else 0.5
        assert run.eval_loss_before == pytest.approx(as_before, abs=1e-3), "the reference is the base"
    _, loading = AUTO_CLASSES[TASKS[format]].from_pretrained(folder_of(services, run), output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]


@pytest.mark.parametrize("optimizer", ["muon", "adamw_8bit"])
def test_a_paused_run_ends_with_the_same_weights_bit_for_bit(services, train, monkeypatch, optimizer):
    from jobs.training.watch import Watched

    whole = train(optimizer=optimizer, epochs=2)
    training_step, steps = Watched.training_step, []

    def pause(self, *arguments, **options):
        steps.append(1)
        if len(steps) == 4:
            services.queue.ask(self.report.run.id, Request.PAUSE)
            self.report.flush()
        return training_step(self, *arguments, **options)

    monkeypatch.setattr(Watched, "training_step", pause)
    paused = train(optimizer=optimizer, epochs=2)
    assert (paused.state, paused.attempts, paused.step) == (RunState.FINISHED, 2, whole.step)
    assert same(weights_in(folder_of(services, paused)), weights_in(folder_of(services, whole)))


def test_the_best_state_is_kept_and_a_longer_run_goes_on_from_the_last(services, train, tmp_path):
    contrary = write_labels(tmp_path / "contrary.csv", 30)
    contrary.write_text(contrary.read_text().replace(",up\n", ",?\n").replace(",down\n", ",up\n").replace(",?\n", ",down\n"))
    run = train("text-classification", str(contrary), eval_steps=2, patience=2, epochs=6, learning_rate=3e-3)
    assert run.state == RunState.FINISHED and run.best_step == run.step - 4
    log = "\n".join(line.text for line in services.runs.log_lines(run.id))
    assert "the model is that one." in log and "Finished. The model is in the library." in log
    shorter = train("text-classification", max_steps=run.best_step, learning_rate=3e-3)
    assert same(weights_in(folder_of(services, run)), weights_in(folder_of(services, shorter)))

    longer = continue_run(services, shorter.id, max_steps=shorter.step + 2)
    train_here(services)
    assert services.runs.get(longer.id).step == shorter.step + 2


def test_a_stopped_run_whose_trainer_is_gone_leaves_its_checkpoint_as_a_model(services, recipe, monkeypatch):
    from transformers import AutoModelForCausalLM

    from jobs.training.watch import Watched

    training_step = Watched.training_step

    def pause(self, *arguments, **options):
        services.queue.ask(self.report.run.id, Request.PAUSE)
        self.report.flush()
        return training_step(self, *arguments, **options)

    monkeypatch.setattr(Watched, "training_step", pause)
    run = submit(services, recipe())
    train_once(services)
    services.queue.ask(run.id, Request.STOP)
    end_from_checkpoint(services, services.leases.claim(run.id, "here"))
    folder = folder_of(services, run)
    assert services.runs.get(run.id).state == RunState.STOPPED and not list(folder.glob("optimizer*"))
    assert AutoModelForCausalLM.from_pretrained(folder).config.use_cache


def test_it_starts_from_what_an_earlier_one_left_and_not_from_an_adapter(services, train, recipe, tiny_llama):
    first, adapter = train(), train(method="lora")
    again = train(start_from=first.id, learning_rate=1e-12)
    assert (again.state, again.problem) == (RunState.FINISHED, "")
    ours, theirs = weights_in(folder_of(services, again)), weights_in(folder_of(services, first))
    assert all((ours[name] - theirs[name]).abs().max() < 1e-6 for name in theirs), "it begins where the first one ended"
    assert not same(theirs, weights_in(tiny_llama)) and again.base["adapter"]["name"] == "whole"
    with pytest.raises(RecipeInvalid, match="which is an adapter, and method is 'full'. Choose another method, or a whole model."):
        check_recipe(services, recipe(start_from=adapter.id))
    with pytest.raises(RecipeInvalid, match="which is a whole model, and method is 'lora'. Choose full, or an adapter."):
        check_recipe(services, recipe(start_from=first.id, method="lora"))


def test_weights_too_large_to_be_held_twice_are_found_on_the_disk_when_the_loss_leaves_the_numbers(services, train, monkeypatch):
    from jobs.training import watch

    monkeypatch.setattr(watch, "SNAPSHOT_LIMIT", 0)
    training_step, steps = watch.Watched.training_step, []

    def diverge(self, model, inputs, *others):
        steps.append(1)
        if len(steps) == 4:
            next(model.parameters()).data.fill_(float("nan"))
        return training_step(self, model, inputs, *others)

    monkeypatch.setattr(watch.Watched, "training_step", diverge)
    run = train(validation=0.2, eval_steps=1, epochs=2)
    assert run.state == RunState.FAILED and "The model after step 3, the last good state, is kept." in run.problem
    assert all(weight.isfinite().all() for weight in weights_in(folder_of(services, run)).values())


def test_what_cannot_be_trained_in_full_is_refused_with_the_reason(services, recipe, monkeypatch):
    for quantization in ("int8", "nf4", "fp4"):
        with pytest.raises(RecipeInvalid, match="a step is far smaller than the gaps between the values"):
            recipe(quantization=quantization)
    with pytest.raises(RecipeInvalid, match="train_last is 9, and .* has 2 layers. Choose fewer"):
        check_recipe(services, recipe(settings={"train_last": 9}))


def test_a_name_that_no_weight_has_ends_the_run_with_names_that_there_are(services, train):
    run = train(settings={"train_layers": ["no_such_layer"]})
    assert run.state == RunState.FAILED and "train_layers has 'no_such_layer'" in run.problem and "model.norm.weight" in run.problem


def test_checkpoints_are_whole_models_that_are_rotated_as_others(services, train):
    run = train(save_steps=1, keep_checkpoints=1, epochs=1)
    kept = list((services.settings.runs_dir / run.id / "checkpoints").glob("attempt-*/checkpoint-*"))
    assert len(kept) == 1 and checkpoints.is_whole(kept[0]) and (kept[0] / "model.safetensors").is_file()
