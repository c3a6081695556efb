"""What can be tuned on a device: well-known models against methods, the largest batch and the longest length that fit.

The forecasts behind it are in capacity.json, as `python -m jobs.forecast.capacity_table` has made them. Nothing here imports torch.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jobs.forecast import terms
from jobs.forecast.result import FITS, PARTS, ROOM, TIGHT, TOO_LARGE, UNKNOWN
from jobs.memory import EVALUATION_ROWS

TABLE = Path(__file__).parent / "capacity.json"
LENGTHS = (512, 2048)           # tokens, of which the largest batch is told
SHORT = 256                     # tokens: no shorter rows are asked about
TILE = 4096                     # tokens whose logits a trainer works out at a time: up to there a token takes more
MOST_ROWS = 512
ACTIVATIONS = PARTS[4]


@dataclass(frozen=True)
class Model:
    """A well-known base model, by its published dimensions."""

    name: str
    task: str
    parameters: int
    context: int  # tokens that it can read


@dataclass(frozen=True)
class Variant:
    """A method with the settings that matter for memory; all others stay as the studio begins."""

    name: str
    method: str
    gradient_checkpointing: bool = False


VARIANTS = (Variant("full", "full"), Variant("lora", "lora"), Variant("lora_checkpointing", "lora", True),
            Variant("qlora", "qlora"), Variant("qlora_checkpointing", "qlora", True), Variant("ia3", "ia3"),
            Variant("prompt-tuning", "prompt-tuning"))


@dataclass(frozen=True)
class Phase:
    """A part of a step, and the most bytes that it holds: of a batch, of each token, of the first tokens, of each pair of a row."""

    fixed: dict[str, int]  # by part, what does not depend on the batch
    base: float
    token: float
    first: float
    pair: float
    evaluates: bool = False

    def bytes_at(self, rows: int, length: int) -> float:
        rows = max(rows, EVALUATION_ROWS) if self.evaluates else rows
        tokens = rows * length
        return self.base + self.token * tokens + self.first * min(tokens, TILE) + self.pair * tokens * length

    def parts_at(self, rows: int, length: int) -> dict[str, int]:
        return {**self.fixed, ACTIVATIONS: max(0, round(self.bytes_at(rows, length)) - sum(self.fixed.values()))}


@dataclass(frozen=True)
class Room:
    """What fits of a model with a method: rows at a time by length, and how long one row may be."""

    model: Model
    variant: Variant
    verdict: str              # as of jobs.forecast.result
    least_bytes: int          # that one row of SHORT tokens takes
    batches: dict[int, int]   # by length; 0: not one row
    longest: int              # of one row at a time; 0: none


def table() -> dict:
    return _read(TABLE, TABLE.stat().st_mtime_ns)


@cache
def _read(path: Path, changed: int) -> dict:
    return json.loads(path.read_text("utf-8"))


def models(kind: str) -> list[Model]:
    """Those of which the table has forecasts for a kind of device, the smallest first."""
    found = [Model(name, **facts) for name, facts in table()["models"].items() if name in table()["cells"].get(kind, {})]
    return sorted(found, key=lambda model: model.parameters)


def phases(kind: str, model: str, variant: str) -> list[Phase]:
    return [Phase(**phase) for phase in table()["cells"][kind][model].get(variant, ())]


def taken(phases: list[Phase], kind: str, rows: int, length: int, correction: float = 1.0) -> int:
    """Bytes that a run takes of its device, with the device's own and what its earlier runs have taught."""
    highest = max(phases, key=lambda phase: phase.bytes_at(rows, length))
    peak = sum(terms.with_overhead(highest.parts_at(rows, length), kind).values())
    return round(peak * correction) + terms.beside(kind)


def rooms(kind: str, memory_bytes: int, correction: float = 1.0) -> list[Room]:
    """For each model and method of the table, in their order."""
    return [room(kind, memory_bytes, model, variant, found, correction) for model in models(kind) for variant in VARIANTS
            if (found := phases(kind, model.name, variant.name))]


def room(kind: str, memory_bytes: int, model: Model, variant: Variant, phases: list[Phase], correction: float = 1.0) -> Room:
    """What fits with some memory left over, where that is possible; else what fits at all."""
    def takes(rows: int, length: int) -> int:
        return taken(phases, kind, rows, length, correction)

    least = takes(1, min(SHORT, model.context))
    if not memory_bytes:
        return Room(model, variant, UNKNOWN, least, {}, 0)
    verdict = TOO_LARGE if least > memory_bytes else TIGHT if least > ROOM * memory_bytes else FITS
    limit = memory_bytes if verdict == TIGHT else ROOM * memory_bytes
    lengths = sorted({min(length, model.context) for length in LENGTHS})
    batches = {length: most(even_rows(), lambda rows, length=length: takes(rows, length) <= limit) for length in lengths}
    longest = most(even_lengths(model.context), lambda length: takes(1, length) <= limit)
    return Room(model, variant, verdict, least, batches, longest)


def most(choices: list[int], fits: Callable[[int], bool]) -> int:
    """The largest that fits, of choices in rising order; 0 for none."""
    return max((choice for choice in choices if fits(choice)), default=0)


def even_rows() -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16, …: a figure for every row would say more than a forecast knows."""
    doubled = [2**power for power in range(MOST_ROWS.bit_length())]
    return sorted({*doubled, *(rows * 3 // 2 for rows in doubled if 1 < rows < MOST_ROWS)})


def even_lengths(context: int) -> list[int]:
    """From SHORT on in steps that grow with the length, up to what the model can read."""
    found = [SHORT * number for number in range(1, 9)]
    while found[-1] < context:
        found += [found[-1] + found[-1] // 8 * step for step in (2, 4, 8)]
    return sorted({length for length in found if length < context} | {context})
