"""What a step holds in memory, followed storage by storage while it runs on fake tensors."""

import weakref
from collections import Counter
from contextvars import ContextVar

import torch
from torch.utils._pytree import tree_iter

from jobs.forecast.operations import operations_of

GRAIN = 512  # bytes: torch's allocator for GPUs gives out whole ones
_open: ContextVar["Ledger | None"] = ContextVar("ledger", default=None)


class Ledger:
    """Counts the bytes of every storage that an operation makes, from its birth to its end, under the label of the moment.

    It is told of every operation while it is open (jobs.forecast.pretend) and of the tensors that are there before.
    `peaks` has for each phase of the step the most that was held within it, `made_of` of what it consisted then, and `operations`
    how many floating-point ones there were.
    """

    def __init__(self, grain: int = GRAIN):
        self.grain = grain
        self.label, self.phase = "activations", "setup"
        self.held: Counter[str] = Counter()
        self.total, self.operations = 0, 0
        self.peaks: dict[str, int] = {}
        self.made_of: dict[str, Counter] = {}
        self._known: dict[int, tuple[str, int]] = {}

    def __enter__(self) -> "Ledger":
        self._before = _open.set(self)
        return self

    def __exit__(self, *error) -> None:
        _open.reset(self._before)

    def see(self, function, args: tuple, kwargs: dict, out) -> None:
        """An operation was made."""
        self.operations += operations_of(function, args, kwargs, out)
        if isinstance(out, torch.Tensor):
            self.add(out)
        elif out is not None:
            for value in tree_iter(out):
                if isinstance(value, torch.Tensor):
                    self.add(value)

    def add(self, tensor: torch.Tensor, label: str = "") -> None:
        """Count a tensor's storage, unless that has been done; with a label, count it under that one from now on."""
        if tensor.layout != torch.strided:  # its indices and values were counted when they were made
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            if label and self._known[key][0] != label:
                before, size = self._known[key]
                self.held[before] -= size
                self.held[label] += size
                self._known[key] = label, size
            return
        size = -(-storage.nbytes() // self.grain) * self.grain
        self._known[key] = label or self.label, size
        self.held[label or self.label] += size
        self.total += size
        weakref.finalize(storage, self._drop, key).atexit = False
        self._look()

    def in_phase(self, phase: str) -> None:
        """A new part of the step begins, with what is held now."""
        self.phase = phase
        self._look()

    def _look(self) -> None:
        if self.total > self.peaks.get(self.phase, -1):
            self.peaks[self.phase] = self.total
            self.made_of[self.phase] = Counter(self.held)

    def _drop(self, key: int) -> None:
        label, size = self._known.pop(key)
        self.held[label] -= size
        self.total -= size


def count(operations: int) -> None:
    """Tell the ledger that is open of operations which no operator of torch shows."""
    if ledger := _open.get():
        ledger.operations += operations


def opened() -> Ledger | None:
    """The ledger that is open, where one is."""
    return _open.get()
