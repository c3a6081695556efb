"""Adapter Studio and its peers at the same work, alternating in one go: LoRA (rank 8, every linear layer) on a Llama of random
weights with about 30 million parameters (fp32), on 400 rows of gsm8k (50 steps of 8 rows), with the loss on the answers only.

Peers: `trainer` is transformers.Trainer with PEFT, `sft` TRL's SFTTrainer, `llama-factory` LLaMA-Factory 0.9.5, each at its own
defaults; `by-hand` is the quickest of what a user of the first two could choose (rows grouped by length, bf16, no gradient
checkpointing), found by a probe of half the rows. The studio runs at its defaults through `python app.py train`.

Tokens are real ones, padding not counted, over the seconds from the training's begin to its end. Ratios are of neighbours in one
round, and their medians are told. Seconds to the first step begin at the start of the process, or of the command; for the studio,
whose worker has been up for a little while, where the run is accepted. Memory is the largest resident set of the
process that trains. The studio's trainer runs at a lower priority than the peers: the machine must have nothing else to do. The
evaluation loss is that of the saved adapters on 64 test rows, measured for all by one script.

Bars: the studio's tokens per second are at least 3.0 times LLaMA-Factory's, 2.5 times the plain trainer's and 1.3 times the best
by hand; its peak memory is at most 0.9 of the lowest peer's; its evaluation loss is within 2 % of every peer's; its first step is
done in at most a fifth of LLaMA-Factory's time.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROUNDS, ROWS = 5, 400
STUDIO, FACTORY, BY_HAND = "studio", "llama-factory", "by-hand"
TOOLS = {STUDIO: ["studio"], "trainer": ["trainer"], "sft": ["sft"], BY_HAND: [], FACTORY: ["llama_factory"]}
BY_HAND_FLAGS = {"trainer": ("--group", "--bf16"), "sft --no-checkpointing": ("--group", "--no-bf16")}
FASTER = {FACTORY: 3.0, "trainer": 2.5, BY_HAND: 1.3}  # times as many tokens per second, at least
MOST_MEMORY, MOST_LOSS_APART, MOST_FIRST_STEP = 0.9, 0.02, 0.2
TOLD = ("train_seconds", "seconds_to_first_step", "peak_memory_bytes", "real_tokens")


def measure(arguments: list[str]) -> dict:
    """All rounds. `--rows 16 --rounds 1` tries whether everything runs; `--by-hand "trainer --group"` leaves the probe out."""
    parser = argparse.ArgumentParser(prog="python -m bench against")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--by-hand", default="", help="the script and its flags, instead of a probe")
    parser.add_argument("--tools", default=",".join(TOOLS), help=f"some of {', '.join(TOOLS)}; the studio is one of them")
    options = parser.parse_args(arguments)
    tools = {name: TOOLS[name] for name in options.tools.split(",")}
    if FACTORY in tools:
        run_script("llama_factory", "--make")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        model = run_script("work", folder / "work", options.rows)
        probed = {}
        if BY_HAND in tools:
            tools[BY_HAND] = options.by_hand.split()
            if not options.by_hand:
                run_script("work", folder / "half", options.rows // 2)
                probed = probe(folder)
                tools[BY_HAND] = max(probed, key=probed.get).split()
        rounds = [one_round(number, tools, folder) for number in range(options.rounds)]
    base_loss = rounds[0].pop("base")
    for record in rounds:
        record.pop("base", None)
    check_tokens(rounds, model["rows"])
    figures = judge(rounds, "eval_loss")
    return {**figures, "model": model, "rounds": options.rounds, "by_hand": " ".join(tools.get(BY_HAND, [])),
            "probe_tokens_per_second": probed, "eval_loss_base_model": round(base_loss, 4), **told(rounds)}


def probe(folder: Path) -> dict[str, float]:
    """Tokens per second of all that a user could choose by hand, on half of the rows."""
    found = {}
    for command, flags in BY_HAND_FLAGS.items():
        for chosen in itertools.chain.from_iterable(itertools.combinations(flags, count) for count in range(len(flags) + 1)):
            name = " ".join([command, *chosen])
            found[name] = round(speed(train(name.split(), folder / "half", folder / "probe" / name.replace(" ", ""))), 1)
            print(f"probe: {name}: {found[name]} tokens per second", file=sys.stderr)
    return found


def one_round(number: int, tools: dict[str, list[str]], folder: Path) -> dict[str, dict]:
    """Every tool once, in the other order every second time; then their adapters are measured."""
    record = {}
    for name in reversed(tools) if number % 2 else tools:
        record[name] = train(tools[name], folder / "work", folder / f"round-{number}" / name)
        print(f"round {number + 1}: {name}: {json.dumps(record[name])}", file=sys.stderr)
    measured = run_script("evaluate", folder / "work", *(figures["adapter_dir"] for figures in record.values()))
    for figures, loss in zip(record.values(), measured["adapters"], strict=True):
        figures["eval_loss"] = loss
    return {**record, "base": measured["base"]}


def train(command: list[str], folder: Path, out: Path) -> dict:
    out.mkdir(parents=True)
    script, *flags = command
    return {**run_script(script, folder, out, *flags), "load_at_the_end": os.getloadavg()[0]}


def run_script(script: str, *arguments) -> dict:
    """The line of JSON that one of bench/peers prints last; what it says on the way is shown where it fails."""
    done = subprocess.run([sys.executable, "-m", f"bench.peers.{script}", *map(str, arguments)], capture_output=True, text=True,
                          cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    if done.returncode:
        sys.exit(f"bench.peers.{script} {' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


# ---- figures


def speed(figures: dict) -> float:
    return figures["real_tokens"] / figures["train_seconds"]


def check_tokens(rounds: list[dict[str, dict]], rows: int) -> None:
    """All must have trained on the same tokens, give or take the end token of each row."""
    counts = {(name, figures["real_tokens"]) for record in rounds for name, figures in record.items()}
    if max(count for _, count in counts) - min(count for _, count in counts) > rows:
        sys.exit(f"The tools did not train on the same tokens: {sorted(counts)}.")


def judge(rounds: list[dict[str, dict]], loss: str) -> dict:
    """The ratios, each the studio's figure by a peer's, and the bars that were missed, in words."""
    peers = [name for name in rounds[0] if name != STUDIO]
    faster = {name: median(speed(record[STUDIO]) / speed(record[name]) for record in rounds) for name in peers}
    memory = median(record[STUDIO]["peak_memory_bytes"] / min(record[name]["peak_memory_bytes"] for name in peers)
                    for record in rounds)
    losses = {name: median(record[STUDIO][loss] / record[name][loss] for record in rounds) for name in peers}
    first_step = {name: median(record[STUDIO]["seconds_to_first_step"] / record[name]["seconds_to_first_step"]
                               for record in rounds) for name in peers}
    behind = [f"tokens per second: {faster[name]:.2f} times {name}'s, and at least {bar:g} are wanted"
              for name, bar in FASTER.items() if name in faster and faster[name] < bar]
    if memory > MOST_MEMORY:
        behind.append(f"peak memory: {memory:.2f} of the lowest peer's, and at most {MOST_MEMORY:g} is wanted")
    behind += [f"evaluation loss: {abs(ratio - 1):.1%} {'above' if ratio > 1 else 'below'} {name}'s, and at most "
               f"{MOST_LOSS_APART:.0%} is wanted" for name, ratio in losses.items() if abs(ratio - 1) > MOST_LOSS_APART]
    if first_step.get(FACTORY, 0) > MOST_FIRST_STEP:
        behind.append(f"first step: {first_step[FACTORY]:.2f} of {FACTORY}'s time, and at most {MOST_FIRST_STEP:g} is wanted")
    behind += [f"{name} was left out" for name in TOOLS if name not in rounds[0]]
    return {"passed": not behind, "behind": behind or "nothing", "tokens_per_second_over": rounded(faster),
            "peak_memory_over_the_lowest": round(memory, 3), "eval_loss_over": rounded(losses, 4),
            "first_step_over": rounded(first_step)}


def told(rounds: list[dict[str, dict]]) -> dict:
    """Medians as a table, and the raw values of every round."""
    raw, rows = {}, []
    for name, first in rounds[0].items():
        runs = [record[name] for record in rounds]
        values = {"tokens_per_second": [speed(run) for run in runs], "eval_loss": [run["eval_loss"] for run in runs],
                  **{key: [run[key] for run in runs] for key in TOLD if key in first},
                  "load_at_the_end": [run["load_at_the_end"] for run in runs]}
        raw[name] = {key: [round(value, 4 if key == "eval_loss" else 1) for value in every] for key, every in values.items()}
        raw[name]["versions"] = first["versions"]
        middle = {key: statistics.median(every) for key, every in values.items()}
        rows.append([name, f"{middle['tokens_per_second']:,.0f}", f"{middle['train_seconds']:.1f}",
                     f"{middle['seconds_to_first_step']:.1f}", f"{middle['peak_memory_bytes'] / 1e9:.2f}",
                     f"{middle['eval_loss']:.4f}", f"{first['real_tokens']:,}"])
    columns = ["tool (medians)", "tokens/s", "training, s", "first step, s", "peak memory, GB", "eval loss", "tokens"]
    return {"raw": raw, "table": {"columns": columns, "rows": rows}}


def in_one_line(record: dict) -> str:
    times = ", ".join(f"{ratio}x {name}" for name, ratio in record["tokens_per_second_over"].items())
    return f"Tokens per second: {times}. Behind: {record['behind'] if record['passed'] else '; '.join(record['behind'])}."


def median(values) -> float:
    return statistics.median(values)


def rounded(values: dict[str, float], places: int = 2) -> dict[str, float]:
    return {name: round(value, places) for name, value in values.items()}
