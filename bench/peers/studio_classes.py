"""Text classification with Adapter Studio, stopped at the first evaluation that reaches an accuracy.

`python -m bench.peers.studio_classes WORK OUT EVERY ACCURACY`: the recipe is that of bench.peers.classes. The run is asked to stop
as a person would, which it does some steps later; its seconds are shared out over its steps.
"""

import json
import sys
import time
from pathlib import Path

from bench.peers import classes, studio, work
from jobs.services import Services, open_services
from storage.records import Request

POLL_SECONDS = 0.2


def main(folder: Path, out: Path, every: int, wanted: float) -> dict:
    """As bench.peers.classes.main."""
    recipe = {
        "name": "to-accuracy", "base_model": str(classes.base_model()), "task": "text-classification",
        "dataset": {"source": str(folder / "train.csv"), "validation": str(folder / "test.csv")},
        "method": "lora", "method_settings": {"r": classes.RANK, "lora_alpha": classes.ALPHA},
        "training": {"epochs": classes.EPOCHS, "learning_rate": classes.RATE, "batch_size": classes.BATCH,
                     "max_length": classes.MAX_LENGTH, "warmup": classes.WARMUP, "eval_steps": every, "keep_best": False},
        "seed": classes.SEED}
    services = open_services(studio.settings_of(out))
    process, asked = studio.start(recipe, out), False
    while process.poll() is None and not asked:
        time.sleep(POLL_SECONDS)
        for run in services.runs.search():
            if any(accuracy >= wanted for _, accuracy in accuracies(services, run.id)):
                services.queue.ask(run.id, Request.STOP)
                asked = True
    summary = studio.end(process)
    run = services.runs.get(summary["run_id"])
    per_step = summary["train_seconds"] / run.step
    measured = [[step, round(accuracy, 4), round(step * per_step, 2)] for step, accuracy in accuracies(services, run.id)]
    seconds = next((seconds for _, accuracy, seconds in measured if accuracy >= wanted), None)
    return {"seconds": seconds, "step": run.step, "accuracies": measured,
            "versions": work.versions("torch", "transformers", "peft")}


def accuracies(services: Services, run_id: str) -> list[tuple[int, float]]:
    """Step and test accuracy of every evaluation so far, but for the one before the training."""
    return [(point.step, point.value) for point in services.runs.metrics(run_id, ["accuracy"]) if point.step]


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))))
