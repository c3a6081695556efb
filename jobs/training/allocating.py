"""Freed memory is given back: the C library keeps the gaps that tensors leave, and much of what comes next lies beside them.

What is given back has to be asked for again, page by page. Large tensors are so anyway, and lie in no gaps. For the smaller ones,
doing so behind each layer doubled the time of a step on two cores: it is only done where the process takes more than it ever had
to, which is what it took right after it gave back. With 1 MB in the place of 2, a step of a Llama with 26 M parameters took 1.1
times as long in batches of 8 x 160 tokens, and 1.4 times in those of 16 x 96; with 3 MB, the process could take a fifth more.
"""

import contextlib
import ctypes
import os
from collections.abc import Callable

import torch

from jobs.forecast.stacks import depth_of, stacks_of

ROOM = 1.05  # times as much as it ever had to take beside the model
WHOLE = 2 << 20  # bytes: larger tensors are asked for anew and given back at once, smaller ones lie in the heap
WHOLE_IN_CHURN = 1 << 20  # the same where gaps would grow too large between two looks
KEPT = 1 << 30   # bytes at the heap's end, which the C library would give back by itself
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # in glibc's malloc.h


def _found() -> tuple[Callable[[int], int], Callable[[int, int], int]] | None:
    try:
        library = ctypes.CDLL(None)
        return library.malloc_trim, library.mallopt
    except (AttributeError, OSError, TypeError):
        return None  # not glibc: macOS and others have no such functions


_functions = _found()


def keep_heap(whole: int = WHOLE) -> None:
    """Have the C library keep what tensors of less than `whole` bytes free until it is told to give it back."""
    if _functions:
        _functions[1](MMAP_THRESHOLD, whole)
        _functions[1](TRIM_THRESHOLD, KEPT)


def give_back() -> None:
    """Give what the C library holds and nobody uses back to the system."""
    if _functions:
        _functions[0](0)


class Resident:
    """The memory of this process, kept close to what it has to take. Made once the model is loaded."""

    def __init__(self):
        self.page, self.file = os.sysconf("SC_PAGESIZE"), os.open("/proc/self/statm", os.O_RDONLY)
        self.model = self.most = self.bytes()

    def bytes(self) -> int:
        return int(os.pread(self.file, 80, 0).split()[1]) * self.page

    def look(self) -> None:
        if self.bytes() > self.model + ROOM * (self.most - self.model):
            give_back()
            self.most = max(self.most, self.bytes())


def give_back_behind_layers(model, churn: bool) -> None:
    """Look at the memory at each step of a model, once a layer is through, and once its gradient has come back.

    `churn` says that layers make much that they do not keep: with gradient checkpointing, or with weights in few bits.
    """
    if not _functions:
        return
    keep_heap(WHOLE_IN_CHURN if churn else WHOLE)
    resident = Resident()

    def leave(layer, inputs, output):
        resident.look()
        hidden = output[0] if isinstance(output, tuple) else output
        if isinstance(hidden, torch.Tensor) and hidden.requires_grad:
            hidden.register_hook(lambda gradient: resident.look())

    with contextlib.suppress(AttributeError):  # a config that does not tell how many layers there are
        for stack in stacks_of(model, depth_of(model.config)):
            for layer in stack:
                layer.register_forward_hook(leave)
