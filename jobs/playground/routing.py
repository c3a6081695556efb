"""What Arrow picked: how much of each adapter went into the tokens of a text."""

import torch
from peft.tuners.lora.arrow import ArrowLoraLinearLayer
from torch import nn


class Routing:
    """Counts along with an Arrow model: the mean weight of each adapter, over all tokens that it reads and all layers."""

    def __init__(self, model: nn.Module):
        for module in model.modules():
            if isinstance(module, ArrowLoraLinearLayer):
                module.register_forward_hook(self._count)
        self.clear()

    def clear(self) -> None:
        """Count from now on."""
        self._sums: torch.Tensor | float = 0.0

    def shares(self) -> list[float]:
        """One for each adapter, together 1; empty where nothing was read."""
        return (self._sums / self._sums.sum()).tolist() if isinstance(self._sums, torch.Tensor) else []

    def _count(self, layer: ArrowLoraLinearLayer, inputs: tuple, output: torch.Tensor) -> None:
        """The weights that the layer has just used, computed as it computes them (Ostapenko et al. 2024)."""
        near = (inputs[0].to(layer.prototypes.dtype).flatten(0, -2) @ layer.prototypes.T).abs()
        best, places = near.topk(layer.top_k, dim=1)
        used = torch.zeros_like(near).scatter_(1, places, torch.softmax(best / layer.temperature, dim=1))
        self._sums = self._sums + used.sum(dim=0).double()
