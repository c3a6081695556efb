"""Linear layers on a CPU: the fastest way to multiply, by the size of the model and the number of rows."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from peft import PeftModel
from torch.nn.functional import linear
from transformers import PreTrainedModel

LARGE = 6_000_000  # multiplications, beyond which oneDNN is quicker than MKL
SMALL = 10_000_000  # weights of a model that computes faster on one core
JOINED = [("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj")]  # layers that a module gives the same tensor


@contextmanager
def cores_for(model: PreTrainedModel | PeftModel) -> Iterator[None]:
    """Within it, threads that start compute on one core where a small model is on a CPU.

    Its products are so short that two cores gain a tenth for five rows and nothing for one, and threads that wait for each other
    while a run trains on the same cores take seven times as long.
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
    for layer in _layers(model).values() if is_small(model) else ():
        layer.weight.data = layer.weight.data.T.contiguous().T


@torch.no_grad()
def fast_for_several_rows(model: PreTrainedModel) -> PreTrainedModel:
    """Have the linear layers of a tree on a CPU multiply by oneDNN.

    Of a large model the large products, with the weights as they are, which are read once for all rows: on two cores of a Xeon
    (Sapphire Rapids) five rows take 1.5 times as long as one, by torch's own (MKL) 2.3 times. Of a small model all, with copies of
    the weights as oneDNN reads them best (14 MB for the demo model), several layers in one product: on an EPYC (Zen 4) five rows
    times 2048 x 256 weights take 80 us so and 225 with MKL, and a token of five rows 0.9 of the time.
    """
    if not torch.backends.mkldnn.is_available():
        return model
    if not is_small(model):
        for layer in _layers(model).values():
            layer.forward = partial(_product, layer)
        return model
    alone = _layers(model)
    for parent, _ in model.named_modules():
        for names in [[f"{parent}.{name}" for name in names] for names in JOINED]:
            if alone.keys() >= set(names):
                Joint({name: alone.pop(name) for name in names})
    for layer in alone.values():
        layer.forward = partial(_by_onednn, weight=_laid_out(layer.weight), bias=layer.bias)
    return model


class Joint:
    """Linear layers that are given the same tensor and share one product; each knows it as its `joint`."""

    def __init__(self, layers: dict[str, torch.nn.Linear]):
        self.names = list(layers)
        weight, bias = torch.cat([layer.weight for layer in layers.values()]), _joined_bias(layers.values())
        # all layers' outputs side by side, [..., all their features]
        self.forward = partial(_by_onednn, weight=_laid_out(weight), bias=bias)
        self._sizes = [layer.out_features for layer in layers.values()]
        self._given: torch.Tensor | None = None
        self._outputs: tuple[torch.Tensor, ...] = ()
        for number, layer in enumerate(layers.values()):
            layer.joint, layer.forward = self, partial(self._output, number)

    def _output(self, number: int, given: torch.Tensor) -> torch.Tensor:
        if given is not self._given:
            self._given, self._outputs = given, self.forward(given).split(self._sizes, -1)
        output = self._outputs[number]
        if number == len(self._sizes) - 1:  # they need not be held until the next token
            self._given, self._outputs = None, ()
        return output


def is_small(model: PreTrainedModel | PeftModel) -> bool:
    return sum(weight.numel() for weight in model.parameters()) < SMALL


def _layers(model: torch.nn.Module) -> dict[str, torch.nn.Linear]:
    return {name: layer for name, layer in model.named_modules() if type(layer) is torch.nn.Linear
            and layer.weight.device.type == "cpu" and layer.weight.dtype == torch.float32}


def _product(layer: torch.nn.Linear, given: torch.Tensor) -> torch.Tensor:
    if given.numel() * layer.out_features >= LARGE:
        return _by_onednn(given, layer.weight, layer.bias)
    return linear(given, layer.weight, layer.bias)


def _joined_bias(layers: Collection[torch.nn.Linear]) -> torch.Tensor | None:
    if all(layer.bias is None for layer in layers):
        return None
    return torch.cat([layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias for layer in layers])


def _laid_out(weight: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.contiguous())


def _by_onednn(given: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    # not linear(given.to_mkldnn(), ...).to_dense(): handing tensors over takes longer than many a product
    return torch.ops.mkldnn._linear_pointwise(given, weight, bias, "none", [], "")
