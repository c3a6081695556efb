"""Adapter Studio and its peers on a GPU, alternating in one go: LoRA (rank 8, every linear layer), plain and on a base in nf4, on
random weights of the shapes of Llama-3.2-1B and 3B, with rows of 2,048 tokens of gsm8k and the loss on the answers only.

The peers are those of `python -m bench against` at their own defaults, in bf16, and Unsloth. Memory is the most that the card's
driver has given away meanwhile, for all by the same measure. `share` is what the training does, by the studio's count of the
operations for a token, of what the card does in products of large matrices in bf16. The evaluation loss is that of the saved
adapters in fp32 on the unquantized base model, by one script.

`--rehearse` runs all of it on a processor, with one small shape and short rows, without Unsloth, which needs a GPU: it shows that
the measurement works, and its figures say nothing.

Bar: nobody is faster, and nobody takes less memory. There is none for a rehearsal.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from bench.against import STUDIO, check_tokens, run_script, speed, train
from bench.peers.work import SHAPE, Work

LLAMA = {"vocab_size": 128_256, "num_key_value_heads": 8, "tie_word_embeddings": True, "max_position_embeddings": 131_072}
SHAPES = {
    "1B": LLAMA | {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32},
    "3B": LLAMA | {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24},
}
SMALL = SHAPE | {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
                 "num_key_value_heads": 2, "max_position_embeddings": 2048}
TOOLS = {STUDIO: "studio", "trainer": "trainer", "sft": "sft", "llama-factory": "llama_factory", "unsloth": "unsloth"}
WITH_ENVIRONMENT = ("llama-factory", "unsloth")
JOINED = 16   # of gsm8k's rows, which are 2,048 tokens and more
ROUNDS, ROWS, BATCH = 3, 80, 4
POLL_SECONDS = 0.2


def measure(arguments: list[str]) -> dict:
    """All cases, or those named: `--cases 1B-lora --tools studio,unsloth --rounds 1` takes less time."""
    parser = argparse.ArgumentParser(prog="python -m bench on_gpu")
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--cases", default="", help="some of 1B-lora, 1B-nf4, 3B-lora, 3B-nf4")
    parser.add_argument("--tools", default="", help=f"some of {', '.join(TOOLS)}; the studio is one of them")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--rows", type=int, default=0)
    options = parser.parse_args(arguments)
    cases = rehearsed() if options.rehearse else on_card()
    cases = {name: case for name, case in cases.items() if not options.cases or name in options.cases.split(",")}
    tools = options.tools.split(",") if options.tools else [tool for tool in TOOLS if tool != "unsloth" or not options.rehearse]
    for tool in tools:
        if tool in WITH_ENVIRONMENT:
            run_script(TOOLS[tool], "--make")
    rounds, rows = options.rounds or (1 if options.rehearse else ROUNDS), options.rows or (8 if options.rehearse else ROWS)
    found = {name: one_case(case, tools, rounds, rows) for name, case in cases.items()}
    behind = [] if options.rehearse else [line for name, case in found.items() for line in behind_in(name, case["medians"])]
    return {"passed": not behind, "behind": behind or "nothing", "rehearsal": options.rehearse, "rounds": rounds, "rows": rows,
            "device": next(iter(found.values()))["device"], "cases": found, "table": table(found)}


def on_card() -> dict[str, Work]:
    plain = {size: Work(shape, BATCH, 2048, JOINED, on_gpu=True) for size, shape in SHAPES.items()}
    return {f"{size}-{kind}": replace(work, nf4=kind == "nf4") for size, work in plain.items() for kind in ("lora", "nf4")}


def rehearsed() -> dict[str, Work]:
    small = Work(SMALL, 2, 256, 2)
    return {"small-lora": small, "small-nf4": replace(small, nf4=True)}


def one_case(case: Work, tools: list[str], rounds: int, rows: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        model = run_script("work", folder / "work", rows, json.dumps(asdict(case)))
        most = run_script("rate", folder / "work")
        records = [one_round(number, case, tools, folder) for number in range(rounds)]
    check_tokens(records, model["rows"])
    raw = {tool: [{**record[tool], "tokens_per_second": speed(record[tool]),
                   "share": speed(record[tool]) * most["operations"] / most["matrix_rate"]} for record in records]
           for tool in tools}
    medians = {tool: {name: statistics.median(run[name] for run in runs) for name in (
        "tokens_per_second", "peak_memory_bytes", "share", "eval_loss", "seconds_to_first_step")} for tool, runs in raw.items()}
    return {"device": most["device"], "matrix_rate": most["matrix_rate"], "parameters": model["parameters"], "medians": medians,
            "raw": {tool: [{name: value for name, value in run.items() if name != "adapter_dir"} for run in runs]
                    for tool, runs in raw.items()}}


def one_round(number: int, case: Work, tools: list[str], folder: Path) -> dict[str, dict]:
    """Every tool once, in the other order every second time; then their adapters are measured."""
    record = {}
    for tool in reversed(tools) if number % 2 else tools:
        with memory_of_card() if case.on_gpu else contextlib.nullcontext([]) as seen:
            record[tool] = train([TOOLS[tool]], folder / "work", folder / f"round-{number}" / tool)
        if seen:
            record[tool]["peak_memory_bytes"] = max(seen) - seen[0]
        print(f"round {number + 1}: {tool}: {json.dumps(record[tool])}", file=sys.stderr)
    measured = run_script("evaluate", folder / "work", *(figures["adapter_dir"] for figures in record.values()))
    for figures, loss in zip(record.values(), measured["adapters"], strict=True):
        figures["eval_loss"] = loss
    return record


@contextlib.contextmanager
def memory_of_card() -> Iterator[list[int]]:
    """Bytes of the card that are given away, from before to after, at every look."""
    seen, over = [used_bytes()], threading.Event()

    def look() -> None:
        while not over.wait(POLL_SECONDS):
            seen.append(used_bytes())

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


def used_bytes() -> int:
    done = subprocess.run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"],
                          capture_output=True, text=True, check=True)
    return int(done.stdout) << 20


def behind_in(name: str, medians: dict[str, dict]) -> list[str]:
    ours, lines = medians[STUDIO], []
    for tool, theirs in medians.items():
        if theirs["tokens_per_second"] > ours["tokens_per_second"]:
            lines.append(f"{name}: {tool} is {theirs['tokens_per_second'] / ours['tokens_per_second']:.2f} times as fast")
        if theirs["peak_memory_bytes"] < ours["peak_memory_bytes"]:
            lines.append(f"{name}: {tool} takes {theirs['peak_memory_bytes'] / ours['peak_memory_bytes']:.2f} of the memory")
    return lines


def table(found: dict[str, dict]) -> dict:
    rows = [[name, tool, f"{figures['tokens_per_second']:,.0f}", f"{figures['peak_memory_bytes'] / 1e9:.2f}",
             f"{figures['share']:.1%}", f"{figures['eval_loss']:.4f}", f"{figures['seconds_to_first_step']:.1f}"]
            for name, case in found.items() for tool, figures in case["medians"].items()]
    return {"columns": ["case", "tool (medians)", "tokens/s", "peak memory, GB", "share", "eval loss", "first step, s"],
            "rows": rows}
