"""The stacks of layers in a model: what repeats in them, and the same model with fewer layers.

A model's memory grows by the same amount with every repetition, so that two short models say what a long one needs.
"""

import copy
from dataclasses import dataclass
from math import lcm

import torch

from storage.problems import TrainingStopped

# by transformers' common names, of the first and of a second stack
DEPTHS = ("num_hidden_layers", "num_decoder_layers", "encoder_layers", "decoder_layers")


@dataclass(frozen=True)
class Repetition:
    """From the layer `first` on, a stack of `layers` layers repeats itself every `period` layers."""

    layers: int
    first: int
    period: int

    @property
    def short(self) -> tuple[int, int]:
        """Two depths, one repetition apart, from which the full one is reached in whole repetitions."""
        least = self.first + self.period + (self.layers - self.first) % self.period
        least += self.period * (-(-max(0, 2 - least) // self.period))
        return least, least + self.period

    def extended(self, low: float, high: float) -> float:
        """What a quantity is at full depth, from what it is at the two short depths."""
        return low + (high - low) * ((self.layers - self.short[0]) // self.period)


def depth_of(config) -> int:
    """How many layers a model has; raises TrainingStopped where its config does not say."""
    text = config.get_text_config()
    if not getattr(text, DEPTHS[0], None):
        raise TrainingStopped(f"What a model of the kind '{config.model_type}' takes cannot be forecast: its config.json does not "
                              f"say by {DEPTHS[0]} how many layers it has. Choose a base model of another kind.")
    return getattr(text, DEPTHS[0])


def shortened(config, layers: int):
    """The config of the same model with so many layers in each of its stacks; settings of single layers are cut to them."""
    config = copy.deepcopy(config)
    text = config.get_text_config()
    full = depth_of(config)
    for name, value in list(vars(text).items()):
        if isinstance(value, list) and len(value) == full and not name.startswith("_"):
            setattr(text, name, value[:layers])
    for name in DEPTHS:
        if getattr(text, name, None) is not None:
            setattr(text, name, layers)
    return config


def stacks_of(model: torch.nn.Module, layers: int) -> list[torch.nn.ModuleList]:
    """The lists of layers that are as long as the config says, without those within their layers."""
    found: dict[str, torch.nn.ModuleList] = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == layers and any(True for _ in module.parameters()) \
                and not name.startswith(tuple(f"{outer}." for outer in found)):
            found[name] = module
    return list(found.values())


def repetition_of(model: torch.nn.Module, config, every: int = 1) -> Repetition:
    """How the layers of a whole model, which may be on the meta device, repeat themselves; `every` so many share something."""
    layers = depth_of(config)
    kinds = getattr(config.get_text_config(), "layer_types", None)
    alike = [[] for _ in range(layers)]
    for stack in stacks_of(model, layers):
        for number, layer in enumerate(stack):
            alike[number].append(tuple((name, tuple(weight.shape)) for name, weight in layer.named_parameters()))
    signs = [(*made, kinds[number] if kinds and len(kinds) == layers else "") for number, made in enumerate(alike)]
    found = repetition(signs)
    if every == 1:
        return found
    return Repetition(layers, max(1, found.first), lcm(found.period, every))  # the first may hold what all share


def repetition(signs: list) -> Repetition:
    layers = len(signs)
    best = Repetition(layers, layers, 1)
    for period in range(1, min(layers, 12) + 1):
        first = layers - period
        while first > 0 and signs[first - 1] == signs[first - 1 + period]:
            first -= 1
        if first + period < best.first + best.period:
            best = Repetition(layers, first, period)
    return best
