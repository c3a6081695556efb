"""Memory runs out: the run goes on with less at a time, and only when nothing is left it fails, with the setting that would fit."""

import os
import signal
from pathlib import Path

import pytest

from jobs.memory import answer_lack_of_memory, smaller
from jobs.recipe import Recipe
from jobs.recipe_reader import read_recipe
from jobs.services import open_services
from jobs.submit import submit
from storage.records import Request, RunState
from storage.settings import StudioSettings
from tests.conftest import WorkerProcess, wait_for_end, wait_until
from tests.in_process import strike, train_here, weights_of
from tests.tiny_models import make_tokenizer


@pytest.fixture
def start(services, tiny_llama, tiny_bert, chats, labelled):
    def start(task="text-generation", training=None, **changes):
        base, source = (tiny_llama, chats) if task == "text-generation" else (tiny_bert, labelled)
        return submit(services, recipe_for(base, source, task=task, training=training or {}, **changes))
    return start


def recipe_for(base, source, training, **changes) -> Recipe:
    return read_recipe({"base_model": str(base), "dataset": {"source": str(source)}, **changes, "training": {
        "epochs": 2, "batch_size": 8, "learning_rate": 1e-2, "save_steps": 4, **training}})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny_llama, chats) -> dict:
    """The weights of a run that never lacked memory."""
    services = open_services(StudioSettings.from_env({"STUDIO_HOME": str(tmp_path_factory.mktemp("undisturbed"))}))
    run = submit(services, recipe_for(tiny_llama, chats, {}))
    train_here(services)
    return weights_of(services, run.id)


def lines_of(services, run) -> str:
    return "\n".join(line.text for line in services.runs.log_lines(run.id))


@pytest.mark.parametrize("point", ["loading:1", "forward:8", "backward:1", "optimizer:6", "evaluation:3"])
def test_the_run_goes_on_with_half_the_rows_at_a_time_and_learns_the_same(services, start, undisturbed, monkeypatch, tmp_path,
                                                                           point):
    import torch

    run = start()
    strike(monkeypatch, f"training.{point}", once=tmp_path / "struck")
    train_here(services)

    ended = services.runs.get(run.id)
    assert (tmp_path / "struck").exists()
    assert (ended.state, ended.problem, ended.attempts, ended.step) == (RunState.FINISHED, "", 2, 10)
    assert ended.adjustments == {"batch_size": 4, "accumulation": 2}
    said = "memory ran out. Rows at a time go from 8 to 4, and accumulation from 1 to 2: the same batch of 8."
    assert said in lines_of(services, run)
    assert [point.step for point in services.runs.metrics(run.id, ["loss"])] == list(range(1, 11))
    for name, weight in weights_of(services, run.id).items():
        assert torch.allclose(weight, undisturbed[name], atol=2e-4), name


def test_after_the_last_step_down_it_fails_with_the_setting_that_would_fit(services, start, monkeypatch):
    run = start(training={"batch_size": 4, "accumulation": 2})
    strike(monkeypatch, "training.forward:1")
    passings = []
    while services.queue.startable():
        monkeypatch.setattr("storage.faults._fault.passings", iter([1]))  # each attempt is a process of its own, and counts anew
        claimed = services.leases.claim_next("cpu", "here")
        passings.append(claimed.adjustments)
        from jobs.training.process import execute_run

        run_dir = services.settings.runs_dir / run.id
        run_dir.mkdir(parents=True, exist_ok=True)
        execute_run(services, claimed, run_dir, 0)
    ended = services.runs.get(run.id)
    assert passings == [{}, {"batch_size": 2, "accumulation": 4}, {"batch_size": 1, "accumulation": 8},
                        {"batch_size": 1, "accumulation": 8, "gradient_checkpointing": True}]
    assert (ended.state, ended.problem_kind) == (RunState.FAILED, "gpu_oom")
    longest = ended.data["longest_row"]
    assert f"Set training.max_length to {longest // 2} tokens (the longest row has {longest})" in ended.problem


def test_the_effective_batch_stays_on_every_step_down():
    for batch_size, accumulation in ((8, 1), (6, 2), (7, 3), (1, 4)):
        recipe = Recipe.model_validate({"base_model": "x", "dataset": {"source": "y"},
                                        "training": {"batch_size": batch_size, "accumulation": accumulation}})
        while change := smaller(recipe):
            training = recipe.training.model_copy(update=change)
            assert training.batch_size * training.accumulation == batch_size * accumulation
            recipe = recipe.model_copy(update={"training": training})
        assert recipe.training.batch_size == 1 and recipe.training.gradient_checkpointing


@pytest.mark.parametrize("task", ["text-generation", "text-classification"])
@pytest.mark.parametrize("method", ["lora", "ia3", "prompt-tuning"])  # python -m bench methods tries the others
def test_gradient_checkpointing_learns_the_same(services, start, task, method):
    import torch

    runs = [start(task, method=method, training={"max_steps": 2, "gradient_checkpointing": on}) for on in (False, True)]
    train_here(services)
    ended = [services.runs.get(run.id) for run in runs]
    assert [(run.state, run.problem) for run in ended] == [(RunState.FINISHED, "")] * 2
    plain, checkpointed = (weights_of(services, run.id) for run in runs)
    for name, weight in plain.items():
        assert torch.allclose(weight, checkpointed[name], atol=1e-4), name


def test_a_cancel_that_meets_a_lack_of_memory_cancels(services, start):
    run = start()
    claimed = services.leases.claim_next("cpu", "here")
    services.queue.ask(run.id, Request.CANCEL)
    answer_lack_of_memory(services, claimed, "host_oom")
    assert services.runs.get(run.id).state == RunState.CANCELLED


def test_the_next_attempt_is_a_process_of_its_own_and_the_log_tells_of_both(services, settings, start, tmp_path):
    run = start(training={"epochs": 20})
    worker = WorkerProcess(settings, STUDIO_FAULT="training.forward:12:oom", STUDIO_FAULT_ONCE=str(tmp_path / "struck"))
    try:
        first = wait_until(services, run.id, lambda run: run.pid)
        second = wait_until(services, run.id, lambda run: run.fence == 2 and run.pid)
        assert first.pid != second.pid
        with pytest.raises(ProcessLookupError):
            os.kill(first.pid, 0)
        ended = wait_for_end(services, run.id)
    finally:
        worker.stop(signal.SIGINT)
    assert (ended.state, ended.attempts, ended.crashes) == (RunState.FINISHED, 2, 0)
    log = (settings.runs_dir / run.id / "log.txt").read_text()
    assert log.count("==== Attempt ") == 2 and "OutOfMemoryError" in log and "Rows at a time go from 8 to 4" in log
    assert "Going on from the checkpoint at step " in lines_of(services, run)


@pytest.fixture(scope="module")
def wide_base(tmp_path_factory):
    """A base model whose long rows take more than a gigabyte: each token is 16,384 numbers within its layer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder, tokenizer = tmp_path_factory.mktemp("models") / "wide", make_tokenizer()
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=16_384, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=4096, tie_word_embeddings=True, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id, bos_token_id=None)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_trainer_beyond_the_memory_limit_is_ended_and_the_worker_goes_on(services, settings, wide_base, tmp_path):
    source = tmp_path / "long.txt"
    source.write_text("\n\n".join(f"{number} " + "word " * 900 for number in range(8)))

    def start(**training):
        return submit(services, read_recipe({"base_model": str(wide_base), "dataset": {"source": str(source), "validation": "none"},
                                             "training": {"max_steps": 20, "batch_size": 1, **training}}))

    greedy, modest = start(batch_size=2, max_length=4096), start(max_length=64)
    worker = WorkerProcess(settings, STUDIO_MEMORY_LIMIT=str(1_300_000_000))
    try:
        greedy, modest = wait_for_end(services, greedy.id), wait_for_end(services, modest.id)
        assert worker.process.poll() is None
    finally:
        worker.stop()
    assert (greedy.state, greedy.problem_kind, greedy.crashes) == (RunState.FAILED, "host_oom", 0)
    assert "more than the 1.3 GB that STUDIO_MEMORY_LIMIT allows" in greedy.problem
    assert "Set training.max_length to 2048 tokens (the longest row has 4096)" in greedy.problem
    assert greedy.attempts == 3, "two rows, one row, one row with gradient checkpointing: no attempt is like the one before"
    assert modest.state == RunState.FINISHED
    assert "STUDIO_MEMORY_LIMIT" in (settings.runs_dir / greedy.id / "log.txt").read_text()


def test_a_trainer_asks_to_be_ended_before_the_page(services, settings, start):
    run = start(training={"epochs": 500})
    worker = WorkerProcess(settings)
    try:
        running = wait_until(services, run.id, lambda run: run.step >= 1)
        assert int(Path(f"/proc/{running.pid}/oom_score_adj").read_text()) == 500
        assert int(Path(f"/proc/{worker.process.pid}/oom_score_adj").read_text()) < 500
        services.queue.ask(run.id, Request.CANCEL)
        wait_for_end(services, run.id)
    finally:
        worker.stop()
