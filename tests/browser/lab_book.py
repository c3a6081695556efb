"""A lab book with a run in every state, written through the real repositories."""

import hashlib
import math
import time
import zipfile
from dataclasses import dataclass

from jobs.certificate.judge import Answered, Figure, judge
from jobs.certificate.wanted import Limits, Wanted
from jobs.forecast.result import PARTS, Forecast, Seconds
from jobs.recipe_reader import read_recipe_file
from jobs.services import Services
from jobs.uploads import keep_files
from storage.records import MetricPoint, Run, RunState
from storage.settings import REPOSITORY

STEPS = 180
NASTY = "<img src=x onerror=alert(1)> ${name} {{x}}"


@dataclass
class LabBook:
    """The ids of the runs, by what they are."""

    finished: str
    nasty: str
    stopped: str
    cancelled: str
    failed: str
    running: str
    queued: str


def fill_lab_book(services: Services) -> LabBook:
    return LabBook(
        finished=certify(services, finish(services, start(services, forecast(services, add_run(services, "poet"),
                                                                             655_000_000)))).id,
        nasty=finish(services, start(services, forecast(services, add_run(services, NASTY, "ia3"), 371_000_000)), eval_loss=0.91,
                     peak=400_000_000).id,
        stopped=finish(services, start(services, add_run(services, "stopped early"), share=0.4), RunState.STOPPED).id,
        cancelled=finish(services, start(services, add_run(services, "thrown away"), share=0.2), RunState.CANCELLED).id,
        failed=finish(
            services,
            start(services, add_run(services, "too fast"), share=0.1),
            RunState.FAILED,
            problem="The loss became infinite at step 18. Lower the learning rate, for example to 0.0002.",
        ).id,
        running=start(services, add_run(services, "still learning", "prompt-tuning"), share=0.5).id,
        queued=add_run(services, "waiting its turn").id,
    )


def add_run(services: Services, name: str, method: str = "lora") -> Run:
    """A waiting run of the example's recipe."""
    recipe = read_recipe_file(REPOSITORY / "assets" / "recipes" / "poet.yaml")
    dataset = keep_files(services, [REPOSITORY / recipe.dataset.source])
    values = recipe.model_dump(mode="json")
    values |= {"name": name, "method": method, "method_settings": values["method_settings"] if method == "lora" else {}}
    values["dataset"]["source"] = dataset.id
    return services.runs.submit(
        name=name,
        task="text-generation",
        method=method,
        base_model="demo-base",
        recipe=values,
        base={"name": "demo-base", "path": str(services.settings.demo_base)},
        data={"dataset_id": dataset.id, "name": dataset.name, "rows": 372, "train_rows": 335, "validation_rows": 37},
    )


def forecast(services: Services, run: Run, peak: int) -> Run:
    """Say before that a run will take so much."""
    parts = dict.fromkeys(PARTS, 0) | {"base weights": peak // 2, "activations": peak - peak // 2}
    said = Forecast(device="cpu", device_name="Test processor", peak_memory_bytes=peak, parts=parts, when="forward, the layers",
                    trainable_parameters=303_104, total_parameters=3_800_000, checkpoint_bytes=1_212_000, disk_bytes=9_000_000,
                    run_seconds=Seconds(60.0, 41.0, 95.0))
    assert services.runs.keep_forecast(run.id, said.record())
    return services.runs.get(run.id)


def start(services: Services, run: Run, share: float = 1.0) -> Run:
    """Take that waiting run and bring it to a share of its steps."""
    waiting = services.leases.claim_next(f"device-of-{run.id}", "here")
    assert waiting.id == run.id, "runs are taken in the order in which they wait"
    services.runs.log(run.id, "Loaded the base model")
    return go_on(services, waiting, int(STEPS * share))


def go_on(services: Services, run: Run, step: int) -> Run:
    """Write everything that a trainer writes until that step."""
    points = [MetricPoint(number, "loss", 0.3 + 2.5 * math.exp(-number / 40)) for number in range(1, step + 1)]
    points += [MetricPoint(number, "eval_loss", 0.5 + 2.2 * math.exp(-number / 45)) for number in range(18, step + 1, 18)]
    services.runs.add_metrics(run.id, run.fence, points)
    services.leases.beat(
        run.id,
        run.fence,
        phase="training",
        step=step,
        total_steps=STEPS,
        memory_bytes=612_000_000,
        peak_memory_bytes=640_000_000,
        peak_memory_of="process",
        training_since=time.time() - 40,
        training_since_step=0,
        trainable_parameters=303_104,
        total_parameters=3_800_000,
    )
    services.runs.log(run.id, f"Step {step}")
    return services.runs.get(run.id)


def finish(
    services: Services,
    run: Run,
    state: RunState = RunState.FINISHED,
    *,
    problem: str = "",
    eval_loss: float = 0.54,
    peak: int = 640_000_000,
) -> Run:
    """End a run, with an adapter where its state leaves one."""
    results = {}
    if state in (RunState.FINISHED, RunState.STOPPED):
        results = {
            "adapter": _adapter(services, run),
            "peak_memory_bytes": peak,
            "checkpoint_bytes": 1_212_000,
            "seconds_to_first_step": 1.4,
            "train_seconds": 52.3,
            "tokens_per_second": 8421.0,
            "eval_loss": eval_loss,
            "eval_loss_before": 3.1,
            "metrics": {"eval_loss": eval_loss, "eval_loss_before": 3.1},
            "samples": [
                {
                    "prompt": f"Question {number}?",
                    "expected": "Wanted.",
                    "before": "Plain.",
                    "after": "In verse,\nin rhyme.",
                }
                for number in (1, 2, 3)
            ],
            "environment": {"torch": "2.13.0", "peft": "0.21.2"},
        }
    assert services.leases.end(run.id, run.fence, state, problem=problem, **results)
    return services.runs.get(run.id)


def certify(services: Services, run: Run) -> Run:
    """Give a finished run a certificate that it has not passed."""
    checks, passed = judge([
        Figure(name="score", score="eval_loss", measured=0.54, base=3.1, rows=37, of="validation rows"),
        Figure(name="expected", measured=0.5, base=0.0, rows=2, of="listed prompts"),
        Figure(name="consistency", why="No question was listed in different words.")], Limits())
    answers = [Answered(prompt=NASTY, expected=["yes"], answer=NASTY, base_answer="", found=number == 1, base_found=False)
               for number in range(2)]
    asked = services.certificates.ask(run.id, Wanted().model_dump(mode="json"), here=True)
    assert services.certificates.progress(asked, state="finished", passed=passed, report={
        "passed": passed, "checks": [check.model_dump(mode="json") for check in checks],
        "figures": [{"name": "score", "score": "eval_loss"}],
        "answers": [answer.model_dump(mode="json") for answer in answers], "device": "cpu", "seconds": 8.2, "made_at": time.time()})
    return run


def _adapter(services: Services, run: Run) -> dict:
    folder = services.settings.adapters_dir / run.id
    folder.mkdir(parents=True)
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(b"weights" * 1000)
    with zipfile.ZipFile(services.settings.adapters_dir / f"{run.id}.zip", "w") as archive:
        archive.write(weights, weights.name)
    return {
        "name": run.name,
        "folder": run.id,
        "zip_name": f"{run.id}.zip",
        "bytes": 1_212_000,
        "zip_bytes": (services.settings.adapters_dir / f"{run.id}.zip").stat().st_size,
        "task": run.task,
        "method": run.method,
        "base_model": run.base_model,
        "base_path": run.base["path"],
        "base_hash": "0" * 64,
        "files": [
            {
                "name": weights.name,
                "bytes": weights.stat().st_size,
                "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
            }
        ],
    }
