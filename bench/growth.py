"""Real tokens per second of the studio as the work grows, one thing at a time: LoRA on the Llama of `python -m bench against`,
on gsm8k, at the studio's defaults, through a worker.

The middle is batches of 8, rows of at most 512 tokens, rank 8, 400 rows. From there the length of the rows (each as long as the
limit), the rows of a batch, the rank, the rows of the data and the runs that wait in the queue (held) are changed. Every run makes
so many steps that it trains on about the same number of tokens. `preparing` is the seconds from claim to the first step.

No bar; docs/how-it-works.md says where a curve bends, and why.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from bench.against import run_script
from bench.peers import work
from bench.peers.studio import TEMPLATE, a_worker, settings_of
from jobs.recipe import Recipe
from jobs.services import Services, open_services
from jobs.submit import submit
from jobs.turn import Turn
from storage.records import Request

TOKENS = 40_000  # of a run, roughly
MEAN = 170       # tokens of a row of gsm8k, roughly
JOINED = 8       # rows in one, where all are to be as long as the limit
VALUES = {"length": [160, 256, 512, 1024], "batch": [1, 2, 4, 8, 16, 32], "rank": [2, 8, 32, 128], "rows": [100, 1000, 7000],
          "queued": [0, 100, 1000]}


def measure(arguments: list[str]) -> dict:
    """All, or some: `--of length,batch --tokens 4000` tries whether it runs."""
    parser = argparse.ArgumentParser(prog="python -m bench growth")
    parser.add_argument("--of", default=",".join(VALUES), help=f"some of {', '.join(VALUES)}")
    parser.add_argument("--tokens", type=int, default=TOKENS)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        run_script("work", folder / "plain", max(VALUES["rows"]))
        run_script("work", folder / "long", 400, json.dumps({"shape": work.SHAPE, "joined": JOINED}))
        services = open_services(settings_of(folder))
        with a_worker(folder):
            found = {name: {value: one(services, folder, {name: value}, options.tokens) for value in VALUES[name]}
                     for name in options.of.split(",")}
    columns = ["what", "value", "tokens/s", "seconds a step", "peak memory, GB", "preparing, s"]
    rows = [[name, str(value), f"{told['tokens_per_second']:,.0f}", f"{told['step_seconds']:.2f}",
             f"{told['peak_memory_bytes'] / 1e9:.2f}", f"{told['preparing']:.1f}"]
            for name, values in found.items() for value, told in values.items()]
    return {"passed": True, "tokens_of_a_run": options.tokens, "found": found, "table": {"columns": columns, "rows": rows}}


def one(services: Services, folder: Path, changed: dict[str, int], tokens: int) -> dict:
    length, batch = changed.get("length", 512), changed.get("batch", 8)
    of_rows = folder / ("long" if "length" in changed else "plain")
    rows = folder / f"rows-{changed.get('rows', 400)}.jsonl"
    if not rows.exists():
        lines = (folder / "plain" / "train.jsonl").read_text("utf-8").splitlines(keepends=True)
        rows.write_text("".join(lines[:changed.get("rows", 400)]), "utf-8")
    steps = max(3, tokens // (batch * (length if "length" in changed else MEAN)))
    recipe = {
        "name": "growth", "base_model": str(of_rows / "base"), "task": "text-generation", "chat_template": TEMPLATE,
        "dataset": {"source": str(of_rows / "train.jsonl" if "length" in changed else rows), "validation": 0},
        "method": "lora", "method_settings": {"r": changed.get("rank", 8), "lora_alpha": 16, "target_modules": "all-linear"},
        "training": {"max_steps": steps, "learning_rate": work.RATE, "batch_size": batch, "max_length": length, "warmup": 0}}
    recipe = Recipe.model_validate(recipe)
    waiting = [submit(services, recipe, turn=Turn(hold=True)) for _ in range(changed.get("queued", 0))]
    run = submit(services, recipe)
    while not services.runs.get(run.id).state.is_end:
        time.sleep(0.5)
    for other in waiting:
        services.queue.ask(other.id, Request.CANCEL)
    run = services.runs.get(run.id)
    if not run.train_seconds:
        sys.exit(f"A run of {changed} ended without figures: {run.problem}")
    told = {"tokens_per_second": run.tokens_per_second, "step_seconds": run.train_seconds / run.step,
            "peak_memory_bytes": run.peak_memory_bytes, "preparing": run.seconds_to_first_step}
    print(f"{changed}: {json.dumps(told)}", file=sys.stderr)
    return told
