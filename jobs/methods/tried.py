"""What each method can do, found by trying it on tiny models (python -m bench methods), for the version of PEFT that was tried."""

import importlib.metadata
import json
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("tried.json")
# beside "task …" for each task; an entry of the table maps each to the reason why not, empty where it can
ABILITIES = ("merge", "several_at_once", "mixed_batches", "weighted_combination", "int8", "nf4", "fp4", "gradient_checkpointing")


@cache
def _table() -> dict:
    table = json.loads(TABLE.read_text("utf-8")) if TABLE.is_file() else {}
    return table.get("methods", {}) if table.get("peft") == importlib.metadata.version("peft") else {}


def tried(method: str) -> dict[str, str]:
    """Ability to the reason why not; empty for a method, or a version of PEFT, that nobody has tried."""
    return _table().get(method, {})
