"""The fault tests of tests/faults in full: processes killed at random and at every step of their work, lost rings, locked and
damaged files, networks that drop.

Bar: every test passes; no accepted run is lost, none is finished twice, and every resumed run ends bit for bit as one that was
never interrupted.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from storage.settings import REPOSITORY

TESTS = REPOSITORY / "tests" / "faults"
LONG = ("test_worker_kills", "test_state_machine", "test_resume", "test_cancel", "test_network")
IN_TWO = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
SUMS = ("kills", "runs", "lost", "finished_twice", "bit_equal")


def measure(arguments: list[str]) -> dict:
    """Run the tests, `arguments` being pytest's own, such as -k worker; what they recorded, and the sums."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        records = Path(folder) / "records.jsonl"
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", *IN_TWO, *files(), *arguments], cwd=REPOSITORY,
            env={**os.environ, "STUDIO_FAULTS_FULL": "1", "STUDIO_FAULTS_RECORD": str(records)})
        found = [json.loads(line) for line in records.read_text("utf-8").splitlines()] if records.exists() else []
    sums = {name: sum(figures.get(name, 0) for figures in found) for name in SUMS}
    return {"passed": ended.returncode == 0 and sums["lost"] == sums["finished_twice"] == 0, **sums,
            "minutes": round((time.monotonic() - began) / 60, 1), "tests": {figures.pop("test"): figures for figures in found}}


def files() -> list[str]:
    """The test files, those that take long first, so that two processes end at about the same time."""
    return sorted((str(path) for path in TESTS.glob("test_*.py")), key=lambda name: Path(name).stem not in LONG)


def in_one_line(record: dict) -> str:
    """What `make faults` ends with."""
    return (f"kills {record['kills']}, runs {record['runs']}, lost {record['lost']}, finished twice {record['finished_twice']}, "
            f"resumed bit-equal {record['bit_equal']}")
