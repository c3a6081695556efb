"""Trainers without a worker, to be killed at any moment; each tells its steps as it takes them."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from jobs import checkpoints, trainers
from jobs.recipe_reader import read_recipe
from jobs.services import Services
from jobs.submit import submit
from storage.records import Run
from storage.settings import StudioSettings

NOT_THE_SAME_TWICE = ("training_seconds", "seconds_to_first_step", "run")  # in a checkpoint's notes


@dataclass
class Attempt:
    """A trainer at work. Its tale is a file with the number of every step that it took."""

    services: Services
    run: Run
    process: object
    tale: Path

    def steps(self) -> list[int]:
        return [int(line) for line in self.tale.read_text().split()] if self.tale.exists() else []

    def wait_for(self, condition: Callable[[], bool], seconds: float = 300) -> bool:
        """Whether something happened while the trainer was alive."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return True
            if not self.process.is_alive():
                return False
            time.sleep(0.001)
        pytest.fail(f"Nothing happened within {seconds} s. {log_of(self.services, self.run)}")

    def kill(self) -> None:
        """SIGKILL to the trainer's whole group, and the run goes back to the queue, as a worker does it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()
        self.take_back()

    def take_back(self) -> None:
        self.services.leases.crashed(self.run.id, self.run.fence, "It was killed.")

    def end(self, seconds: float = 300) -> Run:
        self.process.join(seconds)
        if self.process.exitcode != 0:
            pytest.fail(f"The trainer ended with {self.process.exitcode}. {log_of(self.services, self.run)}")
        return self.services.runs.get(self.run.id)


@dataclass
class Story:
    """What happened to a run that was killed again and again."""

    run: Run
    kills: int = 0
    repeated: list[int] = field(default_factory=list)  # steps that were taken again after each kill
    partial: int = 0  # kills that left a checkpoint half written


def submit_run(services: Services, base: Path, source: Path, **changes) -> Run:
    return submit(services, read_recipe({"name": "try", "base_model": str(base), "dataset": {"source": str(source)}, **changes}))


def start(services: Services, run: Run, **arguments) -> Attempt:
    """Claim a run and fork a trainer for it, as a worker does; `arguments` change some of its TrainingArguments."""
    claimed = services.leases.claim(run.id, "here")
    assert claimed, f"The run is {services.runs.get(run.id).state}. {log_of(services, run)}"
    tale = services.settings.runs_dir / run.id / f"steps-{claimed.fence}.txt"
    tale.parent.mkdir(parents=True, exist_ok=True)
    process = trainers._context.Process(
        target=_train_and_tell, args=(run.id, claimed.fence, services.settings, time.monotonic(), str(tale), arguments))
    process.start()
    return Attempt(services, claimed, process, tale)


def train_to_the_end(services: Services, run: Run, **arguments) -> Run:
    return start(services, run, **arguments).end()


def train_with_kills(services: Services, run: Run, moments: list[Callable[[Attempt], bool]], **arguments) -> Story:
    """Train a run to its end, with an attempt killed at each of the moments: each waits, and says whether it came in time."""
    story, reached = Story(run), 0
    for moment in moments:
        attempt = start(services, run, **arguments)
        if not moment(attempt):
            break
        attempt.kill()
        story.kills += 1
        story.repeated += repeated(reached, attempt)
        reached = max(attempt.steps(), default=reached)
        story.partial += bool(partial_folders(services, run))
    else:
        attempt = start(services, run, **arguments)
    story.run = attempt.end()
    story.repeated += repeated(reached, attempt)
    return story


def repeated(reached: int, attempt: Attempt) -> list[int]:
    """How many steps an attempt took again, of those that an earlier one had taken."""
    steps = attempt.steps()
    return [reached - steps[0] + 1] if steps and reached else []


def partial_folders(services: Services, run: Run) -> list[Path]:
    folders = checkpoints_dir(services, run).glob("attempt-*/checkpoint-*")
    return [folder for folder in folders if not (folder / checkpoints.MANIFEST).exists()]


def checkpoints_dir(services: Services, run: Run) -> Path:
    return services.settings.runs_dir / run.id / "checkpoints"


def what_it_learnt(services: Services, run: Run) -> dict:
    """All of a finished run that must be the same each time: weights, figures of every step, scores, answers, what it counted."""
    run = services.runs.get(run.id)
    assert services.adapters.find(run.id), f"The run is {run.state}: {run.problem} {log_of(services, run)}"
    weights = [file["sha256"] for file in services.adapters.get(run.id).files if file["name"].endswith(".safetensors")]
    notes = checkpoints.notes_of(checkpoints.newest(checkpoints_dir(services, run)))
    return {"state": run.state, "weights": weights, "steps": run.step, "best_step": run.best_step, "metrics": run.metrics,
            "samples": run.samples,
            "figures": sorted((point.step, point.name, point.value) for point in services.runs.metrics(run.id)),
            "notes": {name: value for name, value in notes.items() if name not in NOT_THE_SAME_TWICE}}


def log_of(services: Services, run: Run) -> str:
    log = services.settings.runs_dir / run.id / "log.txt"
    lines = [line.text for line in services.runs.log_lines(run.id)]
    return f"{lines} {log.read_text()[-3000:] if log.exists() else ''}"


def _train_and_tell(run_id: str, fence: int, settings: StudioSettings, claimed_at: float, tale: str, arguments: dict) -> None:
    from jobs.training import train, watch

    written = os.open(tale, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    on_step_end, trainer_arguments = watch.Watcher.on_step_end, train.trainer_arguments

    def tell_and_go_on(self, args, state, control, **kwargs):
        os.write(written, b"%d\n" % state.global_step)
        return on_step_end(self, args, state, control, **kwargs)

    watch.Watcher.on_step_end = tell_and_go_on
    train.trainer_arguments = lambda *given: {**trainer_arguments(*given), **arguments}
    trainers._run_trainer(run_id, fence, settings, claimed_at)
