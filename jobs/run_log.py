"""A run's log from outside its trainer: a line in the record, and the same in the file that people download."""

import time

from jobs.services import Services


def tell(services: Services, run_id: str, text: str, level: str = "info") -> None:
    """Add a line to both. A file that takes no more (a full disk) does not keep the line from the record."""
    services.runs.log(run_id, text, level)
    path = services.settings.runs_dir / run_id / "log.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as log:
            log.write(f"[{level}] {text}\n")
    except OSError as problem:
        services.runs.log(run_id, f"The log file takes no more lines: {problem.strerror}.", "warning")


def header(attempt: int, place: str, fence: int) -> str:
    """The line that begins each attempt in the file."""
    return f"==== Attempt {attempt} on {place}, {time.strftime('%Y-%m-%d %H:%M:%S %z')}, fence {fence} ===="
