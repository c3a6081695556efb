"""What the optimizers of the recipe keep for every weight, and what they need for a moment to take a step."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

GRAIN = 512
FEW = 4096    # weights with fewer numbers are kept in 32 bits by bitsandbytes' optimizers in 8
BLOCK = 256   # numbers with one scale, in 8 bits
STATES = {"adamw": 2, "lion": 1, "ademamix": 3, "adafactor": 0, "muon": 1, "sgd": 0, "adagrad": 1, "rmsprop": 1}


@dataclass(frozen=True)
class States:
    """An optimizer of the recipe by its name, on a kind of device."""

    name: str
    device: str = "cpu"

    @property
    def family(self) -> str:
        return next(family for family in STATES if family in self.name)

    @property
    def in_bits(self) -> int:
        return 8 if "8bit" in self.name else 32

    @property
    def elsewhere(self) -> bool:
        """Paged states lie in the computer's memory while a GPU has not enough of its own, and torch does not count them."""
        return "paged" in self.name and self.device == "cuda"

    @property
    def all_at_once(self) -> bool:
        """torch's optimizers on a GPU step all weights together, with their intermediate results side by side."""
        return self.device == "cuda" and self.name in ("adamw_torch", "muon", "adagrad", "rmsprop", "sgd")

    def kept(self, weights: Sequence) -> int:
        """Bytes of the states of these weights."""
        return 0 if self.elsewhere else sum(self._of(weight) for weight in weights)

    def _of(self, weight) -> int:
        size, width = weight.numel(), weight.element_size()
        bitsandbytes = "bit" in self.name and "torch" not in self.name
        if self.family == "adafactor":
            shape = weight.shape
            rows = [shape[:-1], (*shape[:-2], shape[-1])] if len(shape) > 1 else [shape]  # of a matrix only the sums are kept
            return sum(rounded(4 * prod(part)) for part in rows)
        if self.family == "muon" and weight.dim() != 2:
            return 2 * rounded(width * size)
        if not bitsandbytes:
            return STATES[self.family] * rounded(width * size)
        if self.in_bits == 32 or size < FEW:
            return STATES[self.family] * rounded(4 * size)
        return STATES[self.family] * (rounded(size) + rounded(4 * -(-size // BLOCK)))

    def while_stepping(self, weights: Sequence) -> int:
        """Bytes beside the states, at most, during a step."""
        sizes = [weight.numel() * weight.element_size() for weight in weights]
        if not sizes or self.family == "sgd" or "fused" in self.name or "bit" in self.name:
            return 0
        if self.family == "adafactor":
            return 2 * max(weight.numel() for weight in weights) * 4
        return sum(map(rounded, sizes)) if self.all_at_once else 2 * max(sizes)


def rounded(size: int) -> int:
    return -(-size // GRAIN) * GRAIN
