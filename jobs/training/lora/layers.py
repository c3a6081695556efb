"""Layers with a LoRA on them, and what all variants ask of them."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from peft import get_peft_model_state_dict
from peft.tuners.lora import LoraLayer, LoraModel
from peft.tuners.lora.layer import ParamWrapper
from peft.tuners.tuners_utils import _maybe_include_all_linear_layers

from jobs.training.context import TrainingContext

ADAPTER, CONFIG, WEIGHTS = "default", "adapter_config.json", "adapter_model.safetensors"


def resolve_layers(base, config, context: TrainingContext) -> None:
    """Name the layers that `all-linear`, or PEFT's own choice for the family, means.

    PEFT does so later, and with the weights of experts, which these variants do not serve.
    """
    if config.target_modules is None:
        config.target_modules = set(LoraModel.target_module_mapping[base.config.model_type])
        return
    _maybe_include_all_linear_layers(config, base)
    if context.recipe.task == "sentence-similarity" and isinstance(config.target_modules, set):
        # the mean over tokens is what is used there, so nothing can be learned about a pooler
        config.target_modules = {name for name in config.target_modules if "pooler" not in name.split(".")} or config.target_modules


def check_ranks(layers: Iterable[tuple[str, torch.nn.Module]], config, title: str, times: int = 1) -> None:
    """Raise ValueError for a layer that is too small for its rank."""
    from peft.utils.other import get_pattern_key

    for name, module in layers:
        rank = config.rank_pattern.get(get_pattern_key(config.rank_pattern.keys(), name), config.r)
        check_rank(title, name, rank, min(module.weight.shape) // times)


def check_rank(title: str, layer: str, rank: int, most: int) -> None:
    if rank > most:
        raise ValueError(f"{title} takes a rank of at most {most} for the layer {layer}, and r is {rank}.")


def refuse_single_weights(model, title: str) -> None:
    """Raise ValueError where weights outside of linear layers are adapted, as PEFT does with experts."""
    for path, layer in model.named_modules():
        if isinstance(layer, ParamWrapper):
            raise ValueError(f"{title} serves linear layers, and {path} holds the weights of several experts. Name the layers to "
                             "adapt in target_modules, such as q_proj and v_proj.")


def lora_layers(model) -> list[LoraLayer]:
    return [layer for layer in model.modules() if isinstance(layer, LoraLayer)]


def samplers_of(model) -> Iterator[Any]:
    for layer in lora_layers(model):
        for sampler in getattr(layer, "lora_monteclora_sampler", {}).values():
            yield sampler.sampler


def freeze_first(model) -> None:
    for name, weight in model.named_parameters():
        if "lora_A" in name:
            weight.requires_grad_(False)


def weights_of(model) -> dict[str, torch.Tensor]:
    """The adapter's tensors by the names that they are saved under."""
    return get_peft_model_state_dict(model, save_embedding_layers=False)
