"""A base model that LoRA's variants change, and adapters that fit it as it was.

Some variants take a part out of the base weights and start with it (PiSSA, OLoRA, CorDA, LoRA-GA). Their adapter alone fits only
the changed base. So what is saved is the difference to where it began: two adapters side by side, of twice the rank, that fit the
base model as it was, in PEFT and everywhere else. A training that goes on reads from the checkpoint where it began, and takes the
same part out again; no start is ever computed a second time.
"""

import contextlib
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file

from jobs.methods.special.base import trained_state
from jobs.training.lora.layers import ADAPTER, CONFIG, WEIGHTS, lora_layers

A_OR_B = re.compile(r"\.lora_[AB]\.weight$")
PAIR = re.compile(r"\.lora_(?:embedding_)?([AB])(?:\.weight)?$")  # of an embedding, too


class ChangedBase:
    """Before a PEFT model's class: with the adapter off, the base model answers as it was before the variant changed it.

    What is measured as "the base model alone", and what DPO and KTO compare with, depends on it.
    """

    taken_out: list[tuple[torch.nn.Module, torch.Tensor, torch.Tensor]]  # a layer, and what its weight lacks: up @ down

    @contextlib.contextmanager
    def disable_adapter(self) -> Iterator[None]:
        was_off = self._adapters_disabled
        with contextlib.ExitStack() as stack:
            stack.enter_context(super().disable_adapter())
            if not was_off:
                for layer, down, up in self.taken_out:
                    stack.callback(layer.register_forward_hook(functools.partial(_with_taken_out, down, up)).remove)
            yield


def _with_taken_out(down: torch.Tensor, up: torch.Tensor, layer, inputs, output: torch.Tensor) -> torch.Tensor:
    part = torch.nn.functional.linear(torch.nn.functional.linear(inputs[0].to(down.dtype), down), up)
    return output + part.to(output.dtype)


class FittingAdapter(ChangedBase):
    """Saves the difference between an adapter and where it began, which fits the base model as it was."""

    start: dict[str, torch.Tensor]  # both matrices of each layer as they began, by the names that they are saved under

    def save_pretrained(self, save_directory, **options) -> None:
        super().save_pretrained(save_directory, **options)
        widen(Path(save_directory), self.start)

    def take_out(self, in_full: bool) -> None:
        """Change the base of a fresh model as it was changed when the training began, to the last bit.

        `in_full`: scale the product and not the second matrix, as PEFT does for LoRA-GA.
        """
        for layer, first, second in start_of_layers(self, self.start):
            base, scale = layer.get_base_layer(), layer.scaling[ADAPTER]
            first, second = first.to(base.weight.device), second.to(base.weight.device)
            part = scale * (second @ first) if in_full else scale * second @ first
            turned = part.T if layer.fan_in_fan_out else part
            base.weight.data = (base.weight.data.float() - turned).to(base.weight.dtype)


def fit_to_original(model, start: dict[str, torch.Tensor]) -> None:
    """Make a model, whose adapter began as `start` with that much less in the base, save what fits the base as it was."""
    model.__class__ = type(type(model).__name__, (FittingAdapter, type(model)), {})
    model.start = start
    model.taken_out = []
    for layer, first, second in start_of_layers(model, start):
        device = layer.get_base_layer().weight.device
        model.taken_out.append((layer.get_base_layer(), first.to(device), layer.scaling[ADAPTER] * second.to(device)))


def start_of_layers(model, start: dict[str, torch.Tensor]) -> Iterator[tuple[LoraLayer, torch.Tensor, torch.Tensor]]:
    for name, first in start.items():
        if name.endswith(".lora_A.weight"):
            path = name.removesuffix(".lora_A.weight")
            yield model.get_submodule(path), first, start[f"{path}.lora_B.weight"]


def remember_original(model) -> None:
    """KaSA throws directions away that the base had: keep them for when the base model alone is asked."""
    weights = model.get_base_model().__dict__.pop("weights_before")
    taken_out = []
    for layer in lora_layers(model):
        base = layer.get_base_layer()
        lost = (weights[base].float() - base.weight.data.float())
        left, sizes, right = torch.svd_lowrank(lost, q=layer.r[ADAPTER], niter=2)
        taken_out.append((base, right.T.contiguous(), left * sizes))
    model.__class__ = type(type(model).__name__, (ChangedBase, type(model)), {})
    model.taken_out = taken_out


def widen(folder: Path, start: dict[str, torch.Tensor]) -> None:
    """Turn a saved adapter into its difference to `start`: [A, A0] and [B, -B0], of twice the rank, with the same scale.

    Embeddings began as plain LoRA, so nothing stands beside theirs. What MonteCLoRA knows of its noise is of no use any more.
    """
    weights = {name: value for name, value in load_file(folder / WEIGHTS).items() if ".lora_monteclora_sampler." not in name}
    for name, value in weights.items():
        if not (found := PAIR.search(name)):
            continue
        first = found[1] == "A"
        began = start[name].to(value.dtype) if name in start else torch.zeros_like(value)
        weights[name] = torch.cat([value, began if first else -began], dim=0 if first else 1).contiguous()
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    path = folder / CONFIG
    config = json.loads(path.read_text("utf-8"))
    times = 2 ** 0.5 if config["use_rslora"] else 2  # the scale is alpha / √rank there, and alpha / rank else
    config |= {"r": 2 * config["r"], "lora_alpha": times * config["lora_alpha"], "init_lora_weights": True,
               "monteclora_config": None,
               "rank_pattern": {name: 2 * rank for name, rank in (config["rank_pattern"] or {}).items()},
               "alpha_pattern": {name: times * alpha for name, alpha in (config["alpha_pattern"] or {}).items()}}
    path.write_text(json.dumps(config, indent=2, sort_keys=True), "utf-8")


def start_in(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Where the training of a checkpoint began, which its widened adapter holds in its second half."""
    start = {}
    for name, value in load_file(checkpoint / WEIGHTS).items():
        if name.endswith(".lora_A.weight"):
            start[name] = value[len(value) // 2:].contiguous()
        elif name.endswith(".lora_B.weight"):
            start[name] = -value[:, value.shape[1] // 2:].contiguous()
    return start


def own_state(model) -> dict[str, torch.Tensor] | None:
    """What is trained, where the saved adapter is more than that."""
    return trained_state(model) if isinstance(model, FittingAdapter) else None
