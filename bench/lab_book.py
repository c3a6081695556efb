"""A lab book of 10,000 runs, on the server side: how soon the Runs page has its table, how soon a worker has its next run.

Bars: the table opens and filters within 300 ms at the 95th percentile, and a claim takes under 20 ms at the 95th percentile, with
2,000 runs waiting. The database is a real file with every state, a history, a log and 50 loss values for each run that trained.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable

from sqlalchemy import insert

from jobs.services import Services, open_services
from storage import tables
from storage.records import RunState
from storage.settings import StudioSettings
from studio.runs_page import ALL, ROWS, RunsPage
from studio.views.queue_view import Doing
from studio.views.run_rows import SORTS

RUNS = {RunState.QUEUED: 2000, RunState.RUNNING: 4, RunState.FINISHED: 5000, RunState.STOPPED: 996, RunState.CANCELLED: 1000,
        RunState.FAILED: 1000}
POINTS = 50
REPEATS = 200
OPEN, CLAIM = 0.3, 0.02  # seconds
OWNERS = ("", "ada", "grace", "edsger", "barbara")
METHODS = ("lora", "ia3", "dora", "vera", "full")
BASES = ("demo-base", "HuggingFaceTB/SmolLM2-135M", "Qwen/Qwen3-0.6B")


def measure(arguments: list[str]) -> dict:
    with tempfile.TemporaryDirectory() as home:
        services = open_services(StudioSettings.from_env({"STUDIO_HOME": home}))
        fill(services)
        opens, filters = look_at_table(services)
        claims = timed(claim_one(services, number) for number in range(REPEATS))
        submits = timed(lambda number=number: services.runs.submit(**new_run(number)) for number in range(REPEATS))
        waiting = [run.id for run in services.queue.waiting()]
        pushes = timed(press_top(services, run_id) for run_id in random.sample(waiting, 50))
        moves = timed(lambda run_id=run_id, how=how: services.queue.move(run_id, how)
                      for run_id, how in zip(random.sample(waiting, 150), ("up", "down", "top") * 50, strict=True))
        database = services.settings.home / "studio.db"
        megabytes = round(database.stat().st_size / 1e6)
    return {
        "passed": max(percentile(opens), percentile(filters)) <= OPEN and percentile(claims) < CLAIM,
        "runs": sum(RUNS.values()),
        "runs_waiting": RUNS[RunState.QUEUED],
        "database_megabytes": megabytes,
        "milliseconds_to_open": figures(opens),
        "milliseconds_to_filter_and_sort": figures(filters),
        "milliseconds_for_a_claim": figures(claims),
        "milliseconds_to_submit": figures(submits),
        "milliseconds_to_move_a_waiting_run": figures(moves),
        "milliseconds_to_move_one_on_the_page": figures(pushes),
    }


def look_at_table(services: Services) -> tuple[list[float], list[float]]:
    """Open the page, then search, filter and sort in every way it offers; the seconds of the one and of the other."""
    page = RunsPage(services)
    opens = timed([lambda: page.refreshed("", ALL, "created_at", ROWS, Doing(), "")] * 50)
    shown = page.refreshed("", ALL, "created_at", ROWS, Doing(), "")[-1]
    ways = [(words, state, sort, Doing(), shown) for words in ("", "banking", "qwen lora", "run 99", "nothing like it")
             for state in (ALL, *RunState) for sort in SORTS]
    return opens, timed(lambda way=way: page.searched(*way) for way in ways)


def claim_one(services: Services, number: int) -> Callable[[], object]:
    return lambda: services.leases.claim_next(f"cuda:{number}", "host")


def press_top(services: Services, run_id: str) -> Callable[[], object]:
    page = RunsPage(services)
    return lambda: page.asked(f"top {run_id} 1", "", ALL, "created_at", ROWS, Doing(), "")


def timed(actions: Iterable[Callable[[], object]]) -> list[float]:
    seconds = []
    for action in actions:
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return seconds


def percentile(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


def figures(seconds: list[float]) -> dict:
    return {"count": len(seconds), "median": round(1000 * statistics.median(seconds), 1),
            "95th_percentile": round(1000 * percentile(seconds), 1), "longest": round(1000 * max(seconds), 1)}


def fill(services: Services) -> None:
    """10,000 runs in one transaction, as if they had come and gone over a year."""
    random.seed(1)
    states = [state for state, count in RUNS.items() for _ in range(count)]
    random.shuffle(states)
    now = time.time()
    runs = [known_run(number, state, now - 3000 * (len(states) - number)) for number, state in enumerate(states)]
    trained = [run for run in runs if run["total_steps"]]
    with services.runs.engine.begin() as connection:
        for start in range(0, len(runs), 500):
            connection.execute(insert(tables.runs), runs[start:start + 500])
        for run in runs:
            connection.execute(insert(tables.events), history(run))
        connection.execute(insert(tables.log_lines), [
            {"run_id": run["id"], "at": run["created_at"], "level": "info", "text": f"Step {step}: eval loss 1.234"}
            for run in trained for step in range(10)])
        for run in trained:
            connection.execute(insert(tables.metrics), [
                {"run_id": run["id"], "name": "loss", "step": step, "value": 3 / (step + 1)} for step in range(POINTS)])


def new_run(number: int) -> dict:
    """What is said of a run when it is submitted."""
    method, base = METHODS[number % len(METHODS)], BASES[number % len(BASES)]
    task, name = ("text-classification", "banking intents") if number % 3 else ("text-generation", "voices")
    recipe = {"name": f"{name} {number}", "base_model": base, "task": task, "method": method, "seed": 42, "quantization": "none",
              "dataset": {"source": "0123456789abcdef", "format": "auto", "columns": {"text": "text", "label": "category"},
                          "validation": 0.1},
              "method_settings": {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"},
              "training": {"epochs": 3, "learning_rate": 2e-4, "batch_size": 16, "max_length": 512, "schedule": "cosine"}}
    return {"name": f"{name} run {number}", "task": task, "method": method, "base_model": base, "recipe": recipe,
            "base": {"path": f"/models/{base}", "name": base, "hub_id": base, "revision": "main", "sha256": "0" * 64},
            "data": {"files": ["train.csv"], "rows": 1000, "kept": 998}, "owner": random.choice(OWNERS)}


def known_run(number: int, state: RunState, created_at: float) -> dict:
    """A whole row, the same columns in every state."""
    began = state != RunState.QUEUED and not (state == RunState.CANCELLED and number % 2)
    ended = state.is_end
    done = state in (RunState.FINISHED, RunState.STOPPED)
    samples = [{"prompt": "Where is my card? " * 10, "base": "It is " * 30, "answer": "card_arrival " * 20}] * 3
    return {
        **new_run(number), "id": f"{number:012x}", "state": state, "created_at": created_at, "queue_order": float(number),
        "priority": random.choice((-1, 0, 0, 0, 1)), "held": state == RunState.QUEUED and number % 20 == 0,
        "fence": int(began), "attempts": int(began), "started_at": created_at + 60 if began else None,
        "claimed_at": created_at + 60 if began else None, "finished_at": created_at + 600 if ended else None,
        "device": f"other:{number}" if state == RunState.RUNNING else "cpu" if began else "", "host": "host" if began else "",
        "step": 500 if began else 0, "total_steps": 500 if began else 0,
        "problem": "The loss became nan at step 12." if state == RunState.FAILED else "",
        "peak_memory_bytes": random.randrange(10**9, 10**10) if done else None, "checkpoint_bytes": 10**7 if done else None,
        "train_seconds": random.uniform(10, 5000) if done else None, "eval_loss": random.uniform(0.1, 3) if done else None,
        "metrics": {"eval_loss": 1.0, "accuracy": 0.9, "macro_f1": 0.88} if done else {}, "samples": samples if done else [],
        "environment": {"device": "cpu", "python": "3.11", "libraries": {name: "1.2.3" for name in "abcdefg"}} if began else {},
    }


def history(run: dict) -> list[dict]:
    states = ["", RunState.QUEUED, *([RunState.RUNNING] if run["fence"] else []), *([run["state"]] if run["finished_at"] else [])]
    return [{"run_id": run["id"], "at": run["created_at"] + 60 * number, "from_state": before, "to_state": after,
             "fence": run["fence"], "reason": ""} for number, (before, after) in enumerate(zip(states, states[1:], strict=False))]
