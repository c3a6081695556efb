"""python -m bench NAME: run one measurement, print it, keep it in bench/results/NAME.json and in bench/RESULTS.md."""

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
    measurement = importlib.import_module(f"bench.{name}")
    figures = measurement.measure(sys.argv[2:])
    record = {"about": measurement.__doc__.strip(), "measured": datetime.date.today().isoformat(),
              "command": f"python -m bench {' '.join(sys.argv[1:])}", "machine": machine(), **figures}
    target = HERE / "results" / f"{name}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    write_results()
    print(json.dumps(record, indent=2))
    if hasattr(measurement, "in_one_line"):
        print(measurement.in_one_line(record))
    if not figures["passed"]:
        sys.exit("At least one bar was missed.")


def machine() -> str:
    return (f"{psutil.cpu_count()} cores ({platform.machine()}), {psutil.virtual_memory().total / 1e9:.0f} GB, "
            f"{'with a GPU' if Path('/dev/nvidiactl').exists() else 'no GPU'}, Python {platform.python_version()}")


def write_results() -> None:
    """bench/RESULTS.md: the last record of every measurement, as tables."""
    parts = ["# What is measured", "", "Made by `python -m bench NAME`; the raw figures are in `results/`.", ""]
    for path in sorted((HERE / "results").glob("*.json")):
        record = json.loads(path.read_text("utf-8"))
        table = record.pop("table", None)
        parts += [f"## {path.stem}", "", record.pop("about"), "",
                  f"Measured {record.pop('measured')} with `{record.pop('command')}` on {record.pop('machine')}; "
                  f"{'every bar was met' if record.pop('passed') else 'a bar was missed'}.", "",
                  "| figure | value |", "| --- | --- |"]
        parts += [f"| {name} | {value} |" for name, value in flat(record)] + [""]
        if table:
            rows = [table["columns"], ["---"] * len(table["columns"]), *table["rows"]]
            parts += [f"| {' | '.join(row)} |" for row in rows] + [""]
    (HERE / "RESULTS.md").write_text("\n".join(parts), "utf-8")


def flat(values: dict, prefix: str = ""):
    for name, value in values.items():
        words = f"{prefix}{name.replace('_', ' ')}"
        if isinstance(value, dict) and name != "recipe":
            yield from flat(value, f"{words}: ")
        elif value is not None:
            yield words, f"`{json.dumps(value)}`" if isinstance(value, dict | list) else value


if __name__ == "__main__":
    main()
