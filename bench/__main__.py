"""python -m bench NAME: run one measurement, print it, and keep it in bench/results/NAME.json."""

import datetime
import importlib
import json
import platform
import sys
from pathlib import Path

import psutil

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        sys.exit(f"python -m bench NAME, where NAME is one of {', '.join(NAMES)}.")
    name = sys.argv[1]
    figures = importlib.import_module(f"bench.{name}").measure(sys.argv[2:])
    record = {"measured": datetime.date.today().isoformat(), "command": f"python -m bench {' '.join(sys.argv[1:])}",
              "machine": f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.0f} GB, {platform.machine()}, no GPU"
              if not Path("/dev/nvidia0").exists() else platform.machine(),
              "python": platform.python_version(), **figures}
    target = HERE / "results" / f"{name}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    print(json.dumps(record, indent=2))
    if not figures["passed"]:
        sys.exit("At least one bar was missed.")


if __name__ == "__main__":
    main()
