"""Whole runs on tiny models, through the queue, a real worker and its forked trainers."""

import json
import os
import signal
import subprocess
import zipfile

import pytest
import yaml

from jobs import checkpoints
from jobs.recipe_reader import read_recipe
from jobs.submit import submit
from storage.records import Request, RunState
from tests.conftest import wait_for_end, wait_until

LONG = {"epochs": 500, "learning_rate": 1e-3}


@pytest.fixture
def start(working_services, tiny_llama, tiny_bert, chats, labelled):
    def start(task="text-generation", **changes):
        base, source = (tiny_llama, chats) if task == "text-generation" else (tiny_bert, labelled)
        values = {"name": "try", "base_model": str(base), "task": task, "dataset": {"source": str(source)},
                  "training": {"epochs": 1, "learning_rate": 1e-2}, **changes}
        return submit(working_services, read_recipe(values))
    return start


@pytest.mark.parametrize("method", ["lora", "qlora", "ia3", "prompt-tuning"])
def test_a_run_leaves_an_adapter_that_plain_peft_opens_and_a_whole_record(working_services, start, tiny_llama, method, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run = wait_for_end(working_services, start(method=method).id)
    assert (run.state, run.problem) == (RunState.FINISHED, "")
    assert run.eval_loss < run.eval_loss_before
    assert 0 < run.trainable_parameters < run.total_parameters
    assert run.peak_memory_bytes > 1e8 and run.peak_memory_of == "process"
    assert run.tokens_per_second > 0 and run.train_seconds > 0 and run.seconds_to_first_step > 0
    assert run.environment["libraries"]["peft"] and len(run.base["sha256"]) == 64
    assert len(run.samples) == 3 and all(sample["after"] is not None for sample in run.samples)
    losses = working_services.runs.metrics(run.id, ["loss"])
    assert [point.step for point in losses] == [1, 2, 3, 4, 5]

    adapter = working_services.adapters.get(run.id)
    with zipfile.ZipFile(working_services.settings.adapters_dir / adapter.zip_name) as archive:
        archive.extractall(tmp_path)
    checked = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "chat_template.jinja", "README.md",
            "recipe.yaml", "metrics.json", "SHA256SUMS"} <= {path.name for path in tmp_path.iterdir()}
    everything = "".join(path.read_text() for path in tmp_path.iterdir() if path.suffix in (".json", ".yaml", ".md"))
    assert str(tiny_llama.parent) not in everything and "/home/" not in everything, "a path of this machine is in the zip"
    read_recipe(yaml.safe_load((tmp_path / "recipe.yaml").read_text()))
    assert json.loads((tmp_path / "metrics.json").read_text())["eval_loss"] == run.eval_loss
    assert json.loads((tmp_path / "tokenizer.json").read_text())["truncation"] is None, "others' texts would be cut as ours were"
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_llama), tmp_path)
    assert model.get_nb_trainable_parameters()[1] >= run.trainable_parameters


@pytest.mark.parametrize("method", ["lora", "prompt-tuning"])
def test_a_classifier_is_scored_and_keeps_its_label_names(working_services, start, tiny_bert, method):
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    training = {"epochs": 8, "learning_rate": 0.02}
    run = wait_for_end(working_services, start("text-classification", method=method, training=training).id)
    assert (run.state, run.problem) == (RunState.FINISHED, "")
    assert {"accuracy", "macro_f1", "accuracy_before", "eval_loss", "eval_loss_before"} <= set(run.metrics)
    folder = working_services.settings.adapters_dir / working_services.adapters.get(run.id).folder
    config = AutoConfig.from_pretrained(folder)
    assert config.id2label == {0: "down", 1: "flat", 2: "up"}
    base = AutoModelForSequenceClassification.from_pretrained(tiny_bert, config=config)
    model = PeftModel.from_pretrained(base, folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for sample in run.samples:
        logits = model(**tokenizer(sample["prompt"], return_tensors="pt", return_token_type_ids=False)).logits
        assert sample["after"] == f"{config.id2label[int(logits.argmax())]} ({logits.softmax(-1).max().item():.0%})"


def test_stop_keeps_what_was_learnt(working_services, start):
    run = start(training=LONG)
    running = wait_until(working_services, run.id, lambda run: run.step >= 2)
    assert 1e8 < running.memory_bytes <= 1.05 * running.peak_memory_bytes, "memory is told while it runs"
    working_services.queue.ask(run.id, Request.STOP)
    run = wait_for_end(working_services, run.id)
    assert run.state == RunState.STOPPED and 2 <= run.step < 2500
    assert working_services.adapters.find(run.id)
    kept = checkpoints.newest(working_services.settings.runs_dir / run.id / "checkpoints")
    assert checkpoints.step_of(kept) == run.step == run.checkpoint_step, "it can be gone on with"


def test_cancel_throws_it_away_and_frees_the_device(working_services, start):
    run = start(training={**LONG, "save_steps": 1})
    run = wait_until(working_services, run.id, lambda run: run.step >= 2)
    working_services.queue.ask(run.id, Request.CANCEL)
    run_dir = working_services.settings.runs_dir / run.id
    ended = wait_for_end(working_services, run.id)
    assert ended.state == RunState.CANCELLED and working_services.adapters.find(run.id) is None
    next_run = wait_for_end(working_services, start().id)
    assert next_run.state == RunState.FINISHED
    assert not (run_dir / "checkpoints").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(run.pid, 0)


def test_a_killed_trainer_goes_on_from_its_last_checkpoint(working_services, start):
    run = start(training={"epochs": 40, "learning_rate": 1e-3, "save_steps": 5})
    killed = wait_until(working_services, run.id, lambda run: run.step >= 12)
    os.killpg(killed.pid, signal.SIGKILL)
    run = wait_for_end(working_services, run.id)
    assert (run.state, run.attempts, run.step) == (RunState.FINISHED, 2, 200)
    lines = [line.text for line in working_services.runs.log_lines(run.id)]
    assert any("was ended by signal 9" in line for line in lines)
    assert any(line.startswith("Going on from the checkpoint at step ") for line in lines)
    assert len([point for point in working_services.runs.metrics(run.id, ["loss"])]) == 200
    assert run.eval_loss < run.eval_loss_before


def test_a_loss_that_becomes_infinite_stops_the_run_and_keeps_the_last_good_state(working_services, start):
    run = wait_for_end(working_services, start(training={"epochs": 50, "learning_rate": 1e30, "warmup": 0.2}).id)
    assert (run.state, run.problem_kind) == (RunState.FAILED, "user_config")
    assert "learning rate of 1e+30 is probably too high" in run.problem and "for example to 1e+29" in run.problem
    assert ("the last good state, is kept" in run.problem) == (working_services.adapters.find(run.id) is not None)


def test_rows_that_lose_their_answer_are_said_before_training(working_services, start):
    run = wait_for_end(working_services, start(training={"epochs": 1, "max_length": 8}).id)
    assert run.state == RunState.FAILED and "Raise training.max_length" in run.problem


def test_unknown_layers_become_a_sentence(working_services, start):
    run = wait_for_end(working_services, start(method_settings={"target_modules": ["no_such_layer"]}).id)
    assert run.state == RunState.FAILED
    assert "no_such_layer" in run.problem and "Change method_settings" in run.problem


def test_a_model_without_a_chat_template_gets_a_plain_one_that_travels_along(working_services, start, chats, tmp_path):
    from tests.tiny_models import make_tiny_llama

    base = make_tiny_llama(tmp_path / "plain-base", chat_template=None)
    run = wait_for_end(working_services, start(base_model=str(base)).id)
    assert run.state == RunState.FINISHED
    folder = working_services.settings.adapters_dir / working_services.adapters.get(run.id).folder
    assert "Assistant:" in (folder / "chat_template.jinja").read_text()
    assert any("no chat template" in line.text for line in working_services.runs.log_lines(run.id))


def test_layers_that_the_base_model_lacks_are_trained_and_saved_whole(working_services, start, tmp_path):
    from safetensors import safe_open
    from transformers import BertModel

    from tests.tiny_models import make_tiny_bert

    base = make_tiny_bert(tmp_path / "no-pooler")
    BertModel.from_pretrained(base, add_pooling_layer=False).save_pretrained(base)
    for method in ("lora", "prompt-tuning"):
        run = wait_for_end(working_services, start("text-classification", base_model=str(base), method=method).id)
        assert (run.state, run.problem) == (RunState.FINISHED, "")
        folder = working_services.settings.adapters_dir / working_services.adapters.get(run.id).folder
        with safe_open(folder / "adapter_model.safetensors", "pt") as weights:
            assert any("pooler" in name for name in weights.keys())
