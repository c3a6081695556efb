"""The trainer process: forked from the warm server, on its own from then on. Brings a claimed run to its end."""

import contextlib
import errno
import fcntl
import os
import sys
import traceback
from pathlib import Path

import torch

from jobs.export import publish_adapter, remove_published
from jobs.models.hashing import base_model_hash
from jobs.recipe import Recipe
from jobs.services import Services, open_services
from jobs.submit import load_examples
from jobs.training import checkpoints
from jobs.training.context import TrainingContext
from jobs.training.devices import choose_precision, find_device, memory_record
from jobs.training.report import Report
from jobs.training.tasks import load_task
from jobs.training.train import Outcome, attempt_folder, train
from storage.problems import DiskFull, OutOfMemory, StudioError
from storage.records import Phase, Run, RunState
from storage.settings import StudioSettings

NICENESS = 5  # training takes what the page leaves, so that the page stays quick


def run_trainer(run_id: str, fence: int, settings: StudioSettings) -> None:
    """The forked child's whole life: its own session, its own log file, one run."""
    os.setsid()
    os.nice(NICENESS)
    run_dir = settings.runs_dir / run_id
    run_dir.mkdir(parents=True, exist_ok=True)
    log = os.open(run_dir / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    services = open_services(settings)
    run = services.runs.get(run_id)
    with only_one_here(run_dir):
        if run.fence == fence and run.state == RunState.RUNNING:
            execute_run(services, run, run_dir)


def execute_run(services: Services, run: Run, run_dir: Path) -> None:
    """Train, then write the end; a known problem becomes the run's reason, an unknown one keeps its traceback too."""
    device = find_device(run.device)
    report = Report(services.runs, run, run_dir, memory=lambda: memory_record(device))
    report.start()
    try:
        outcome = prepare_and_train(services, run, run_dir, device, report)
        finish(services, run, run_dir, outcome, report)
    except StudioError as problem:
        fail(services, run, report, str(problem), problem.kind)
    except torch.OutOfMemoryError:
        problem = out_of_memory(Recipe.model_validate(run.recipe))
        fail(services, run, report, str(problem), problem.kind)
    except Exception as error:
        if disk_is_full(error):
            fail(services, run, report, "The disk became full. Delete old runs or files, then run it again.", DiskFull.kind)
            return
        fail_unexpectedly(services, run, report, error)
        raise


def prepare_and_train(services: Services, run: Run, run_dir: Path, device: str, report: Report) -> Outcome:
    recipe = Recipe.model_validate(run.recipe)
    report.phase(Phase.PREPARING)
    report.say(f"Preparing on {device}." if run.attempts == 1 else f"Preparing on {device}, attempt {run.attempts}.")
    base = services.shelf.resolve(run.base["path"])
    report.change(base={**run.base, "sha256": base_model_hash(base.path, services.settings.models_dir / "hashes.json")})
    data, train_examples, validation_examples = load_examples(services, recipe)
    context = TrainingContext(
        recipe=recipe, task=load_task(recipe.task), device=device,
        precision=choose_precision(recipe.training.precision, device), base_path=base.path,
        attempt_dir=attempt_folder(run_dir, run.fence), report=report, labels=data.labels)
    return train(context, train_examples, validation_examples, claimed_at=run.claimed_at)


def finish(services: Services, run: Run, run_dir: Path, outcome: Outcome, report: Report) -> None:
    """Files first, then one transaction; the checkpoints go once nobody needs them."""
    if outcome.state is None:
        report.say("Paused. The run goes on from its checkpoint when the studio starts again.")
        report.stop()
        services.runs.put_back(run.id, run.fence)
        return
    adapter = None
    if outcome.model is not None:
        report.phase(Phase.SAVING)
        report.flush()
        adapter = publish_adapter(services, services.runs.get(run.id), outcome)
        outcome.results["checkpoint_bytes"] = adapter["bytes"]
    report.say(end_line(outcome), "error" if outcome.state == RunState.FAILED else "info")
    report.stop()
    held = services.runs.end(run.id, run.fence, outcome.state, adapter=adapter, problem=outcome.problem,
                             problem_kind=outcome.problem_kind, **outcome.results)
    if not held and adapter:
        remove_published(services.settings.adapters_dir, adapter)
    if held and outcome.state == RunState.FINISHED:
        checkpoints.remove_all(run_dir / "checkpoints")


def end_line(outcome: Outcome) -> str:
    return {RunState.FINISHED: "Finished. The adapter is in the library.",
            RunState.STOPPED: "Stopped. What was learnt so far is in the library."}.get(outcome.state, outcome.problem)


def fail(services: Services, run: Run, report: Report, problem: str, kind: str) -> None:
    report.say(problem, "error")
    report.stop()
    services.runs.end(run.id, run.fence, RunState.FAILED, problem=problem, problem_kind=kind)


def fail_unexpectedly(services: Services, run: Run, report: Report, error: Exception) -> None:
    traceback.print_exc()
    fail(services, run, report,
         f"Training ended unexpectedly: {type(error).__name__}: {error}. The run's log has the details; please report it "
         "with the log.", "bug")


def disk_is_full(error: BaseException) -> bool:
    """Whether the disk had no room: safetensors and torch.save say so in words of their own, not as an OSError."""
    return getattr(error, "errno", None) == errno.ENOSPC or any(
        words in str(error) for words in ("No space left on device", "inline_container.cc", "database or disk is full"))


def out_of_memory(recipe: Recipe) -> OutOfMemory:
    training = recipe.training
    if training.batch_size > 1:
        change = (f"Set training.batch_size to {training.batch_size // 2} (it is {training.batch_size}) and "
                  f"training.accumulation to {training.accumulation * 2}: the same learning in less memory.")
    elif not training.gradient_checkpointing:
        change = "Switch training.gradient_checkpointing on."
    else:
        change = (f"Set training.max_length to {training.max_length // 2} (it is {training.max_length}), "
                  "or use a smaller base model.")
    return OutOfMemory(f"The device ran out of memory. {change}")


@contextlib.contextmanager
def only_one_here(run_dir: Path):
    """Hold the run's folder: the kernel lets go of it at any death, so two trainers can never share one on a host."""
    with (run_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("Another trainer still holds this run's folder; this one ends.")
        yield
