"""A run that dies while it finishes is finished by its next attempt, and its adapter is published once."""

import itertools
import shutil
import socket

import pytest

from jobs.watchman import NOT_STARTED, Watchman
from storage.faults import EXIT_CODE
from storage.records import Request, RunState
from tests.faults.checker import check
from tests.faults.faulty import start_stopping_with, start_trainer_with
from tests.faults.record import full, record

HOST = socket.gethostname()


@pytest.fixture(scope="module")
def quiet_workshop(open_workshop):
    """One without a worker: the tests do what it does."""
    return open_workshop()


@pytest.fixture(scope="module")
def learnt(quiet_workshop):
    """A run that died after its first checkpoint."""
    services = quiet_workshop.services
    quiet_workshop.submit(save_steps=1)
    run = services.leases.claim_next("cpu", HOST)
    trainer = start_trainer_with("checkpoint.sealed:2", run, services)
    trainer.join(60)
    assert trainer.exitcode == EXIT_CODE
    Watchman(services, HOST).take_back(services.runs.get(run.id), "It died on purpose.")
    services.queue.change(run.id, held=True)
    return services.runs.get(run.id)


def test_a_trainer_killed_at_any_step_of_the_finish_leaves_one_adapter(quiet_workshop):
    services, strikes = quiet_workshop.services, 0
    # every step in full; else the last before the record is written, and the one after
    for number in itertools.count(1) if full() else (5, 7):
        run = quiet_workshop.submit(max_steps=1, save_steps=1)
        struck = False
        while not (run := services.runs.get(run.id)).state.is_end:
            claimed = services.leases.claim_next("cpu", HOST)
            assert claimed.id == run.id and services.adapters.find(run.id) is None
            trainer = start_trainer_with("nowhere:1" if struck else f"finish:{number}", claimed, services)
            trainer.join(60)
            if trainer.exitcode == EXIT_CODE:
                struck = True
                Watchman(services, HOST).take_back(services.runs.get(run.id), "It died on purpose.")
        assert run.state == RunState.FINISHED and run.attempts <= 2
        if not struck:
            break
        strikes += 1
    found = check(services)
    assert found.finished_twice == 0 and strikes >= (7 if full() else 2)
    record("F5 kills at a step of the finish", kills=strikes, runs=number, lost=0, finished_twice=found.finished_twice)


def test_a_worker_killed_while_it_saves_a_stopped_run_leaves_one_adapter(quiet_workshop, learnt):
    services = quiet_workshop.services
    checkpoints = services.settings.runs_dir / learnt.id / "checkpoints"
    for number in itertools.count(1):
        run = services.runs.submit(**{name: getattr(learnt, name) for name in (
            "name", "task", "method", "base_model", "recipe", "base", "data")})
        claimed = services.leases.claim_next("cpu", HOST)
        shutil.copytree(checkpoints, services.settings.runs_dir / run.id / "checkpoints")
        services.leases.beat(run.id, claimed.fence, **{name: getattr(learnt, name) for name in (
            "trainable_parameters", "total_parameters", "environment")})
        services.leases.checkpointed(run.id, claimed.fence, learnt.checkpoint_step)
        services.leases.crashed(run.id, claimed.fence, "It died on purpose.")
        services.queue.ask(run.id, Request.STOP)
        struck = False
        while not (run := services.runs.get(run.id)).state.is_end:
            assert [waiting.id for waiting in services.leases.stops_waiting()] == [run.id]
            claimed = services.leases.claim(run.id, HOST)
            saving = start_stopping_with("nowhere:1" if struck else f"finish:{number}", claimed, services)
            saving.join(60)
            if saving.exitcode == EXIT_CODE:
                struck = True
                Watchman(services, HOST).take_back(services.runs.get(run.id), NOT_STARTED)
            else:
                assert saving.exitcode == 0
        assert run.state == RunState.STOPPED and services.adapters.find(run.id)
        if not struck:
            break
    found = check(services)
    assert number > 7, "every step was tried"
    record("F5 kills while a stopped run is saved", kills=number - 1, runs=number, lost=0, finished_twice=found.finished_twice)
