"""An accepted run is never lost, and the bell may ring as often as it likes, or not at all."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.turn import Turn
from jobs.worker import RECONCILE_SECONDS
from storage.faults import EXIT_CODE
from storage.records import RunState
from storage.settings import REPOSITORY
from tests.conftest import wait_for_end, wait_until
from tests.faults.checker import check
from tests.faults.conftest import wait_for
from tests.faults.record import full, record


def test_a_run_whose_submitter_died_before_it_rang_starts_within_two_looks(busy_workshop, tmp_path):
    services = busy_workshop.services
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"base_model: {busy_workshop.base}\ndataset: {{source: {busy_workshop.data}}}\ntraining: {{max_steps: 2}}\n")
    waits = []
    for _ in range(10 if full() else 1):
        before = {run.id for run in services.runs.search()}
        ended = subprocess.run(
            [sys.executable, str(REPOSITORY / "app.py"), "train", str(recipe), "--no-wait"], capture_output=True, text=True,
            env={**os.environ, "STUDIO_HOME": str(services.settings.home), "STUDIO_FAULT": "submit.accepted:1"})
        assert ended.returncode == EXIT_CODE, ended.stderr
        run, = [run for run in services.runs.search() if run.id not in before]
        run = wait_until(services, run.id, lambda run: run.claimed_at is not None)
        waits.append(run.claimed_at - run.created_at)
        assert wait_for_end(services, run.id).state == RunState.FINISHED
    assert max(waits) <= 2 * RECONCILE_SECONDS + 0.5, waits
    record("F4 submitters killed before they rang", kills=len(waits), runs=len(waits), lost=0,
           longest_wait_seconds=round(max(waits), 2))


def test_fifty_rings_for_one_run_make_one_attempt_among_three_workers(busy_workshop):
    services = busy_workshop.services
    already = len(busy_workshop.workers[0].log.read_text().splitlines())
    others = [busy_workshop.start_worker() for _ in range(2)]
    wait_for(lambda: len(services.workers.alive()) == 3, 20, "three workers answer")
    run = busy_workshop.submit()
    for _ in range(49):
        services.bell.ring_for_run(run.id)
    wait_for(lambda: not services.bell.pending(), 20, "all rings are answered")
    run = wait_for_end(services, run.id)
    assert (run.state, run.attempts) == (RunState.FINISHED, 1)
    for worker in others:
        busy_workshop.kill_worker(worker)
    lines = busy_workshop.workers[0].log.read_text().splitlines()[already:]
    assert [line for line in lines if "Traceback" in line or " huey" in line] == []
    assert len([line for line in lines if run.id in line]) == 1
    record("F6 rings for one run", runs=1, rings=50, attempts=run.attempts)


def test_the_queue_s_file_may_be_deleted_while_runs_train_and_wait(open_workshop, busy_workshop):
    services = busy_workshop.services
    times = 5 if full() else 1
    for _ in range(times):
        training = busy_workshop.submit(max_steps=150, save_steps=50)
        wait_until(services, training.id, lambda run: run.step > 2)
        held = busy_workshop.submit(Turn(hold=True))
        path = services.bell.path
        for name in (path, *path.parent.glob(f"{path.name}-*")):
            Path(name).unlink(missing_ok=True)
        deleted = time.monotonic()
        waiting = busy_workshop.submit()  # as a page does it, whose bell knows the old file
        services.queue.change(held.id, held=False)
        wait_until(services, held.id, lambda run: run.state != RunState.QUEUED, 2 * RECONCILE_SECONDS)
        assert time.monotonic() - deleted < 2 * RECONCILE_SECONDS + 0.5
        ended = [wait_for_end(services, run.id) for run in (training, held, waiting)]
        assert [(run.state, run.attempts) for run in ended] == [(RunState.FINISHED, 1)] * 3
    record("F16 queue files deleted", runs=3 * times, deleted=times, lost=0)


@pytest.fixture(scope="module", autouse=True)
def all_is_well_afterwards(warm_workshop):
    yield
    check(warm_workshop.services)
