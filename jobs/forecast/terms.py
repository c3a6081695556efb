"""What a step on fake tensors does not show, fitted to measurements: terms.json has the numbers, and how they came about."""

import json
from functools import cache
from pathlib import Path

from jobs.forecast.result import PARTS

OVERHEAD = PARTS[-1]


@cache
def terms() -> dict:
    return json.loads((Path(__file__).parent / "terms.json").read_text("utf-8"))


def with_overhead(parts: dict[str, int], device: str) -> dict[str, int]:
    """The parts of a peak with the device's own: what its allocator loses, and what its libraries take."""
    known = terms()[device]
    own = round(known["share"] * sum(parts.values())) + known["fixed_bytes"] + before(device)
    return {part: own if part == OVERHEAD else parts.get(part, 0) for part in PARTS}


def beside(device: str) -> int:
    """Bytes of the device that no run counts, such as the driver's own, and that must be there."""
    return terms()[device]["beside_bytes"]


def before(device: str) -> int:
    """Bytes of a forecast that a trainer holds before it has loaded anything, as far as its device counts them."""
    return terms()[device].get("process_bytes", 0)
