"""What each method of the catalogue can do, tried on tiny models through the studio's own training code: train for every task, be
opened by plain PEFT and in the playground with the same answers, go on from a checkpoint, merge, stand beside another adapter,
share a batch with it, be added up with it, train with gradient checkpointing, and train on bases in 8 and 4 bits.

Bar: at least 44 of PEFT's 45 types train, are saved and are opened again; whatever one cannot do has its reason.
"""

import importlib.metadata
import json
import sys
import tempfile
import time
from pathlib import Path

from jobs.methods import METHODS
from jobs.methods.trial import FEWER_BITS, MAY, MUST, try_method
from jobs.methods.tried import TABLE
from jobs.recipe import TASKS

MOST_FAILURES = 1
COLUMNS = (*(f"task {task}" for task in TASKS), *MUST, *MAY, "gradient_checkpointing", *FEWER_BITS)


def measure(arguments: list[str]) -> dict:
    """Try all methods, or those named; what is found goes into jobs/methods/tried.json."""
    import torch

    from jobs.training.workshop import Workshop

    torch.set_num_threads(1)
    version = importlib.metadata.version("peft")
    table = json.loads(TABLE.read_text("utf-8")) if TABLE.is_file() else {}
    known = table["methods"] if table.get("peft") == version else {}
    began = time.monotonic()
    types = {method.peft_type: name for name, method in reversed(METHODS.items()) if method.peft_type}.values()  # QLoRA is LoRA's
    for name, method in METHODS.items():
        if name not in types or arguments and name not in arguments:
            continue
        with tempfile.TemporaryDirectory() as home:
            found = try_method(Workshop(Path(home)), method, say=lambda line, name=name: print(f"{name}: {line}", file=sys.stderr))
        known[name] = found
        ordered = {name: known[name] for name in METHODS if name in known}
        TABLE.write_text(json.dumps({"peft": version, "methods": ordered}, indent=1, ensure_ascii=False) + "\n", "utf-8")
    fail = [name for name, found in known.items() if any(found.get(ability, "untried") for ability in MUST)]
    return {
        "passed": len(known) == len(types) and len(fail) <= MOST_FAILURES, "peft": version, "types": len(known),
        "types_that_train_and_are_opened_again": len(known) - len(fail), "minutes": round((time.monotonic() - began) / 60, 1),
        "table": {"columns": ["method", *(column.removeprefix("task ").replace("_", " ") for column in COLUMNS)],
                  "rows": [[name, *(mark(found.get(column)) for column in COLUMNS)] for name, found in known.items()]},
        "why_not": reasons(known),
    }


def reasons(known: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """By reason and ability, the methods."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, abilities in known.items():
        for ability, why in abilities.items():
            if why:
                found.setdefault(why, {}).setdefault(ability, []).append(name)
    return {why: {ability: ", ".join(names) for ability, names in abilities.items()} for why, abilities in found.items()}


def mark(why: str | None) -> str:
    return "" if why is None else "no" if why else "yes"


def in_one_line(record: dict) -> str:
    return f"{record['types_that_train_and_are_opened_again']} of {record['types']} types train and are opened again"
