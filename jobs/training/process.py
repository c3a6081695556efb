"""The trainer process: forked from the warm server, on its own from then on. Brings a claimed run to its end."""

import contextlib
import faulthandler
import os
import socket
import sys
import traceback
from pathlib import Path

from jobs import checkpoints
from jobs.continuing import check_same_base
from jobs.export import publish_adapter, remove_published
from jobs.failures import classify
from jobs.memory import LACK_OF_MEMORY, adjusted, answer_lack_of_memory, be_ended_first, evaluation_rows
from jobs.methods.full import FULL
from jobs.models.inspect import width_of
from jobs.models.model_files import read_config
from jobs.precision import as_begun, numbers_of
from jobs.processes import take_lock
from jobs.recipe import Recipe
from jobs.run_log import header
from jobs.services import Services, open_services
from jobs.starting import adapter_to_train_on
from jobs.submit import load_examples
from jobs.training.context import TrainingContext
from jobs.training.devices import device_facts, device_name, memory_record, torch_device
from jobs.training.report import Report
from jobs.training.tasks import load_task
from jobs.training.train import Outcome, attempt_folder, train
from storage.faults import fault_point
from storage.records import Phase, Run, RunState
from storage.settings import StudioSettings
from storage.sqlite import LONG_PATIENCE

LOCK_SECONDS = 10  # that an earlier attempt, which has given the run back, has to end
NICENESS = 5  # training takes what the page leaves, so that the page stays quick


def run_trainer(run_id: str, fence: int, settings: StudioSettings, claimed_at: float) -> None:
    """The forked child's whole life: its own session, its own log file, one run. `claimed_at` is monotonic."""
    os.setsid()
    os.nice(NICENESS)
    be_ended_first()
    run_dir = settings.runs_dir / run_id
    run_dir.mkdir(parents=True, exist_ok=True)
    log = os.open(run_dir / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.enable(log)  # a crash below Python leaves its traceback too
    services = open_services(settings, patience=LONG_PATIENCE)
    run = services.runs.get(run_id)
    print(header(run.attempts, f"{run.host} {run.device}", fence), flush=True)
    with only_one_here(run_dir):
        if run.fence == fence and run.state == RunState.RUNNING:
            execute_run(services, run, run_dir, claimed_at)


def execute_run(services: Services, run: Run, run_dir: Path, claimed_at: float) -> None:
    """Train, then write the end; what goes wrong is answered by its class, and its traceback stays in the log."""
    device = torch_device(run.device)
    report = Report(services, run, run_dir, memory=lambda: memory_record(device))
    report.start()
    try:
        outcome = prepare_and_train(services, run, run_dir, device, report, claimed_at)
        finish(services, run, run_dir, outcome, report)
    except Exception as error:
        answer(services, run, run_dir, report, error)


def prepare_and_train(services: Services, run: Run, run_dir: Path, device: str, report: Report, claimed_at: float) -> Outcome:
    recipe = adjusted(Recipe.model_validate(run.recipe), run.adjustments)
    report.phase(Phase.PREPARING)
    if before := memory_record(device):
        report.change(memory_before_bytes=before["memory_bytes"])
    report.say(f"Preparing on {device}." if run.attempts == 1 else f"Preparing on {device}, attempt {run.attempts}.")
    base_path, base_hash = check_same_base(services, run)
    report.change(base={**run.base, "sha256": base_hash})
    data, train_examples, validation_examples = load_examples(services, recipe)
    facts = device_facts(device)
    numbers = as_begun(numbers_of(recipe, facts, width_of(read_config(base_path))), run.environment, device_name(device), facts)
    report.say(numbers.sentence())
    context = TrainingContext(
        recipe=recipe, task=load_task(recipe.task, data.format), format=data.format, device=device,
        precision=numbers.precision, precision_why=numbers.why, base_precision=numbers.base_precision, base_path=base_path,
        attempt_dir=attempt_folder(run_dir, run.fence), report=report, labels=data.labels,
        prepared_dir=services.settings.prepared_dir,
        evaluation_rows=evaluation_rows(recipe, run.adjustments), start_from=adapter_to_train_on(services, run, run_dir))
    return train(context, train_examples, validation_examples, claimed_at=claimed_at)


def answer(services: Services, run: Run, run_dir: Path, report: Report, error: Exception) -> None:
    """A lack of memory sends the run back to go on with less at a time; any other class of failure ends it."""
    failure = classify(error)
    if failure.kind == "disk_full":
        checkpoints.remove_unfinished(attempt_folder(run_dir, run.fence))  # makes room for the last words
    with contextlib.suppress(OSError):
        traceback.print_exc()
    if failure.kind in LACK_OF_MEMORY:
        report.stop()
        answer_lack_of_memory(services, run, failure.kind)
        return
    report.say(failure.problem, "error")
    report.stop()
    services.leases.end(run.id, run.fence, RunState.FAILED, problem=failure.problem, problem_kind=failure.kind)


def finish(services: Services, run: Run, run_dir: Path, outcome: Outcome, report: Report) -> None:
    """Files first, then one transaction; the checkpoints go once nobody needs them."""
    if outcome.state is None:
        report.say("Paused. The run goes on from its checkpoint when the studio starts again.")
        report.stop()
        services.leases.put_back(run.id, run.fence)
        return
    adapter = None
    if outcome.model is not None:
        report.phase(Phase.SAVING)
        report.flush()
        adapter = publish_adapter(services, services.runs.get(run.id), outcome)
        outcome.results["checkpoint_bytes"] = adapter["bytes"]
    report.say(end_line(outcome, run.method), "error" if outcome.state == RunState.FAILED else "info")
    report.stop()
    fault_point("finish.commit")
    held = services.leases.end(run.id, run.fence, outcome.state, adapter=adapter, problem=outcome.problem,
                             problem_kind=outcome.problem_kind, **outcome.results)
    fault_point("finish.committed")
    if not held and adapter:
        remove_published(services.settings.adapters_dir, adapter)
    if held and outcome.state in (RunState.FINISHED, RunState.STOPPED):
        checkpoints.keep_last(run_dir / "checkpoints", with_best=outcome.state == RunState.STOPPED)


def end_line(outcome: Outcome, method: str) -> str:
    if outcome.state == RunState.STOPPED and outcome.model is None:
        return "Stopped before the first step: there is nothing to keep."
    return {RunState.FINISHED: f"Finished. The {'model' if method == FULL else 'adapter'} is in the library.",
            RunState.STOPPED: "Stopped. What was learnt so far is in the library."}.get(outcome.state, outcome.problem)


@contextlib.contextmanager
def only_one_here(run_dir: Path):
    """Hold the run's folder: the kernel lets go of it at any death, so two trainers can never share one on a host."""
    with (run_dir / f"lock-{socket.gethostname()}").open("w") as lock:
        if not take_lock(lock, LOCK_SECONDS):
            sys.exit("Another trainer still holds this run's folder; this one ends.")
        yield
