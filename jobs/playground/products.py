"""Linear layers on a CPU: the fastest way to multiply, by the size of the model and the number of rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from peft import PeftModel
from torch.nn.functional import linear
from transformers import PreTrainedModel

LARGE = 6_000_000  # multiplications, beyond which oneDNN is quicker than MKL
SMALL = 10_000_000  # weights of a model that computes faster on one core


@contextmanager
def cores_for(model: PreTrainedModel | PeftModel) -> Iterator[None]:
    """Within it, threads that start compute on one core where a small model is on a CPU.

    Its products are so short that two cores gain a tenth for five rows at best and nothing for one, and threads that wait for each
    other while a run trains on the same cores take seven times as long.
    """
    before = torch.get_num_threads()
    if next(model.parameters()).device.type == "cpu" and is_small(model):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fast_for_one_row(model: PreTrainedModel) -> None:
    """Lay a small model's weights on a CPU out by columns, as MKL reads them best for one row: in 0.6 of the time by rows."""
    for layer in _layers(model) if is_small(model) else ():
        layer.weight.data = layer.weight.data.T.contiguous().T


def fast_for_several_rows(model: PreTrainedModel) -> PreTrainedModel:
    """Have a large model's linear layers on a CPU make large products by oneDNN, which reads the weights once for all rows.

    On two cores of a Xeon (Sapphire Rapids) five rows take 1.5 times as long as one by it, and 2.3 times by torch's own (MKL). For
    a small model's short products it is quicker only with copies of the weights, laid out for it: a tenth of a token's time.
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
