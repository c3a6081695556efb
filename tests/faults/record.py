"""What the fault tests found, for `make faults`: each adds its figures, and bench/faults.py sums them up."""

import json
import os


def record(name: str, **figures) -> None:
    """Add one line of figures to the file that STUDIO_FAULTS_RECORD names; without it, nothing is kept."""
    path = os.environ.get("STUDIO_FAULTS_RECORD")
    if path:
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps({"test": name, **figures}) + "\n")


def full() -> bool:
    """Whether the tests run as often as they do in `make faults`; `make test` does each only a few times."""
    return os.environ.get("STUDIO_FAULTS_FULL") == "1"
