"""Adapter Studio through `python app.py train`, at its defaults, on a home of its own.

A worker has been up for a little while, as on a studio that is in use. Seconds to the first step are counted from the moment that
the run was accepted, as with a click on Start.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from bench.peers import work
from jobs.services import open_services
from storage.settings import StudioSettings

ROOT = Path(__file__).resolve().parents[2]
WARM_AFTER = 20  # seconds
# the data as it is: the base model has no chat template, and the studio's plain one would add words that the peers do not train on
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{{ '\n' if message['role'] == 'user' else eos_token }}{% endfor %}"


def main(folder: Path, out: Path) -> dict:
    """Train on the work in `folder`; the home is in `out`."""
    given = work.read(folder)
    recipe = {
        "name": "against", "base_model": str(folder / "base"), "task": "text-generation", "chat_template": TEMPLATE,
        "dataset": {"source": str(folder / "train.jsonl"), "validation": 0},
        "method": "lora", "method_settings": {"r": work.RANK, "lora_alpha": work.ALPHA, "target_modules": "all-linear"},
        "training": {"epochs": work.EPOCHS, "learning_rate": work.RATE, "batch_size": given.batch, "max_length": given.max_length,
                     "warmup": 0},
        "quantization": "nf4" if given.nf4 else "none",
        "seed": work.SEED}
    with a_worker(out):
        summary = end(start(recipe, out))
    run = open_services(settings_of(out)).runs.get(summary["run_id"])
    return {
        "real_tokens": round(summary["tokens_per_second"] * summary["train_seconds"]), "train_seconds": summary["train_seconds"],
        "steps": run.step, "seconds_to_first_step": run.claimed_at + summary["seconds_to_first_step"] - run.created_at,
        "peak_memory_bytes": summary["peak_memory_bytes"],
        "adapter_dir": summary["adapter_dir"],
        "environment": {name: run.environment.get(name) for name in ("precision", "threads")},
        "versions": work.versions("torch", "transformers", "peft", "trl")}


def settings_of(out: Path) -> StudioSettings:
    return StudioSettings.from_env({"STUDIO_HOME": str(out / "home")})


@contextlib.contextmanager
def a_worker(out: Path) -> Iterator[None]:
    """A worker whose trainer server has imported its libraries."""
    settings = settings_of(out)
    settings.make_folders()
    with (settings.logs_dir / "worker.log").open("w") as log:
        worker = subprocess.Popen([sys.executable, "app.py", "worker"], cwd=ROOT, stdout=log, stderr=log,
                                  env={**os.environ, "STUDIO_HOME": str(settings.home)})
    time.sleep(WARM_AFTER)
    try:
        yield
    finally:
        worker.send_signal(signal.SIGINT)
        worker.wait()


def start(recipe: dict, out: Path) -> subprocess.Popen:
    path = out / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), "utf-8")
    return subprocess.Popen([sys.executable, "app.py", "train", str(path), "--json"], stdout=subprocess.PIPE, text=True, cwd=ROOT,
                            env={**os.environ, "STUDIO_HOME": str(out / "home")})


def end(process: subprocess.Popen) -> dict:
    """The summary that the command prints last."""
    output = process.communicate()[0]
    if process.returncode:
        sys.exit(f"The studio's training ended with {process.returncode}:\n{output}")
    return json.loads(output.splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))
