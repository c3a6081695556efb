"""Linear layers on a CPU: the fastest way to multiply, by the size of the model and the number of rows."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from peft import PeftModel
from torch.nn.functional import linear
from transformers import PreTrainedModel

LARGE = 6_000_000  # multiplications, beyond which oneDNN is quicker than MKL
LEFT_ALONE = 60  # seconds without a second core, once others needed it
WAITED = 0.03, 0.25  # seconds and share of an answer's time; it is none where the cores are free, and half where they are not
SMALL = 10_000_000  # weights of a model that computes one row faster on one core


class Cores:
    """The cores that a small model on a CPU computes on: one for one row, two for several as long as nobody else needs them.

    For one row's short products two cores gain nothing, for five rows an eighth of the time. While a run trains on the same cores,
    threads that wait for each other take twenty times as long.
    """

    needed_by_others = -math.inf  # when that was last seen, by time.monotonic

    def __init__(self, model: PreTrainedModel | PeftModel, rows: int):
        self.small = next(model.parameters()).device.type == "cpu" and is_small(model)
        self.free = rows > 1 and time.monotonic() - Cores.needed_by_others > LEFT_ALONE
        self._seconds = self._waited = 0.0  # of the answer so far

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Within it, this thread and those that it starts compute on them."""
        before = torch.get_num_threads()
        if self.small:
            torch.set_num_threads(min(before, 2) if self.free else 1)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def begin(self) -> None:
        """A token's time begins in this thread."""
        self._clocks = time.monotonic(), time.thread_time()

    def end(self) -> float:
        """The token's seconds. Where this thread waits for much of an answer's, others need the cores, and it goes on with one."""
        seconds, worked = time.monotonic() - self._clocks[0], time.thread_time() - self._clocks[1]
        self._seconds, self._waited = self._seconds + seconds, self._waited + seconds - worked
        if self.small and self.free and self._waited > max(WAITED[0], WAITED[1] * self._seconds):
            self.free, Cores.needed_by_others = False, time.monotonic()
            torch.set_num_threads(1)
        return seconds


def fast_for_one_row(model: PreTrainedModel) -> None:
    """Lay a small model's weights on a CPU out by columns, as MKL reads them best for one row: in 0.6 of the time by rows."""
    for layer in _layers(model) if is_small(model) else ():
        layer.weight.data = layer.weight.data.T.contiguous().T


def fast_for_several_rows(model: PreTrainedModel) -> PreTrainedModel:
    """Have a large model's linear layers on a CPU make large products by oneDNN, which reads the weights once for all rows.

    On two cores of a Xeon (Sapphire Rapids) five rows take 1.5 times as long as one by it, and 2.3 times by torch's own (MKL). For
    a small model's short products it is quicker only with copies of the weights, laid out for it: by a twentieth of a token's time.
    """
    if torch.backends.mkldnn.is_available() and not is_small(model):
        for layer in _layers(model):
            layer.forward = partial(_product, layer)
    return model


def is_small(model: PreTrainedModel | PeftModel) -> bool:
    return sum(weight.numel() for weight in model.parameters()) < SMALL


def _layers(model: torch.nn.Module) -> list[torch.nn.Linear]:
    return [layer for layer in model.modules() if type(layer) is torch.nn.Linear and layer.weight.device.type == "cpu"
            and layer.weight.dtype == torch.float32]


def _product(layer: torch.nn.Linear, given: torch.Tensor) -> torch.Tensor:
    if given.numel() * layer.out_features >= LARGE:
        # not linear(given.to_mkldnn(), ...).to_dense(): handing tensors over takes longer than many a product
        return torch.ops.mkldnn._linear_pointwise(given, layer.weight, layer.bias, "none", [], "")
    return linear(given, layer.weight, layer.bias)
