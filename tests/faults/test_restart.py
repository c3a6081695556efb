"""The worker goes away and comes back while a run trains."""

import os
import signal

import pytest

from jobs.recipe_reader import read_recipe
from jobs.submit import submit
from storage.records import RunState
from tests.conftest import WorkerProcess, wait_for_end, wait_until


@pytest.fixture
def run(services, tiny_llama, chats):
    return submit(services, read_recipe({"base_model": str(tiny_llama), "dataset": {"source": str(chats)},
                                         "training": {"epochs": 60, "learning_rate": 1e-3}}))


def test_a_run_goes_on_while_the_worker_is_restarted_and_pauses_when_the_studio_is_closed(services, settings, run):
    # closed with Ctrl-C: the trainer saves its state, and the run waits in its old place
    worker = WorkerProcess(settings)
    wait_until(services, run.id, lambda run: run.step >= 5)
    assert worker.stop(signal.SIGINT) == 0
    paused = services.runs.get(run.id)
    assert paused.state == RunState.QUEUED and services.workers.alive() == []
    checkpoint = next((settings.runs_dir / run.id / "checkpoints").glob("attempt-1/checkpoint-*"))

    # opened again: it goes on from there; then the worker is restarted, and the trainer does not notice
    worker = WorkerProcess(settings)
    step = int(checkpoint.name.split("-")[1])
    before = wait_until(services, run.id, lambda run: run.fence == 2 and run.pid and run.step > max(step, paused.step))
    assert worker.stop(signal.SIGTERM) == 0
    os.kill(before.pid, 0)
    worker = WorkerProcess(settings)
    try:
        ended = wait_for_end(services, run.id)
    finally:
        worker.stop()
    assert (ended.state, ended.attempts, ended.fence, ended.step) == (RunState.FINISHED, 2, 2, 300), services.runs.events(run.id)
    assert services.adapters.find(run.id)
