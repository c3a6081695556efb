"""Seconds of training until banking77 is answered right in 90 of 100 test rows: MiniLM with LoRA (rank 16), the studio against
transformers.Trainer with PEFT at the same settings, alternating in one go.

Both take batches of 32, rows of at most 64 tokens, a learning rate of 2e-3, and train head and pooler whole. The test rows are
measured every 100 steps, which is left out of the time, and the first measurement that reaches 0.90 ends a training. The peer pads
to the longest row of each batch, as is the default; the studio runs at its defaults through `python app.py train`.

Bar: the studio takes at most 60 % of the peer's time, the median of the rounds.
"""

import argparse
import csv
import json
import statistics
import sys
import tempfile
from pathlib import Path

from bench.against import run_script
from bench.peers import work
from bench.peers.classes import read

ROUNDS, EVERY, ACCURACY = 3, 100, 0.90
MOST_TIME = 0.6


def measure(arguments: list[str]) -> dict:
    """All rounds. `--rows 320 --test-rows 100 --every 5 --accuracy 0.02 --rounds 1` tries whether everything runs."""
    parser = argparse.ArgumentParser(prog="python -m bench to_accuracy")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--rows", type=int, default=None, help="of the training data, of every kind; all where not said")
    parser.add_argument("--test-rows", type=int, default=None)
    parser.add_argument("--every", type=int, default=EVERY, help="steps between evaluations")
    parser.add_argument("--accuracy", type=float, default=ACCURACY)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, most in (("train.csv", options.rows), ("test.csv", options.test_rows)):
            take(work.DATA / "banking77" / name, folder / name, most)
        rounds = [one_round(number, folder, options) for number in range(options.rounds)]
    raw = {tool: [record[tool] for record in rounds] for tool in ("studio", "trainer")}
    figures = {tool: {"seconds": [run["seconds"] for run in runs], "step": [run["step"] for run in runs],
                      "accuracies": [run["accuracies"] for run in runs], "versions": runs[0]["versions"]}
               for tool, runs in raw.items()}
    unreached = [tool for tool, runs in raw.items() if any(run["seconds"] is None for run in runs)]
    if unreached:
        return {"passed": False, "behind": [f"{tool} did not reach {options.accuracy:g} in every round" for tool in unreached],
                "rounds": options.rounds, **figures}
    share = statistics.median(record["studio"]["seconds"] / record["trainer"]["seconds"] for record in rounds)
    missed = [f"time to {options.accuracy:g}: {share:.2f} of the plain trainer's, and at most {MOST_TIME:g} is wanted"]
    return {"passed": share <= MOST_TIME, "behind": missed if share > MOST_TIME else "nothing", "rounds": options.rounds,
            "time_over_trainer": round(share, 3),
            "median_seconds": {tool: round(statistics.median(run["seconds"] for run in runs), 1) for tool, runs in raw.items()},
            **figures}


def take(source: Path, target: Path, most: int | None) -> None:
    """Every so manieth row, so that all kinds are there: the rows are sorted by kind."""
    rows = read(source)
    with target.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows[::len(rows) // most] if most else rows)


def one_round(number: int, folder: Path, options: argparse.Namespace) -> dict[str, dict]:
    """Both once, in the other order every second time."""
    out, asked, record = folder / f"round-{number}", (options.every, options.accuracy), {}
    out.mkdir()
    for tool in ("trainer", "studio") if number % 2 else ("studio", "trainer"):
        record[tool] = run_script("studio_classes", folder, out, *asked) if tool == "studio" else \
            run_script("classes", folder, *asked)
        print(f"round {number + 1}: {tool}: {json.dumps(record[tool])}", file=sys.stderr)
    return record


def in_one_line(record: dict) -> str:
    return f"Time to the accuracy: {record.get('time_over_trainer', 'not reached')} of the plain trainer's."
