"""What an adapter changes: token by token in a text, and layer by layer in the model."""

import copy
import re

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from torch import nn
from transformers.pytorch_utils import Conv1D

from jobs.playground.generation import answer_as, render
from jobs.playground.limits import template_time
from jobs.playground.models import Answerer
from jobs.playground.request import ChangesRequest

TOP = 5  # alternatives for each token
LAYER = re.compile(r"\.(\d+)\.(.+)$")  # the first number in a module's name is its layer
WEIGHTS, OUTPUTS = "weights", "outputs"


@torch.inference_mode()
def tokens_changed(base: Answerer, adapter: Answerer, request: ChangesRequest) -> list[dict]:
    """For each token of the text: how likely the base model and the adapter hold it, and what they would sooner have said.

    `text` (the pieces together give the whole), `id`, `answer` (whether it reaches into the text, or comes before it), `base` and
    `adapter` (natural logarithms of the probability), `change` (adapter minus base), `top_base` and `top_adapter` (lists of `text`
    and `logprob`).
    Nothing comes before the first token, so its figures are None. Raises PromptTooLong or PromptUnusable.
    """
    tokenizer = adapter.tokenizer
    prompt, answer = _texts(tokenizer, request)
    encoded = tokenizer(prompt + answer, add_special_tokens=request.messages == [], return_tensors="pt",
                        return_token_type_ids=False, return_offsets_mapping=True)
    ends = encoded.pop("offset_mapping")[0, :, 1].tolist()
    ids = encoded["input_ids"][0].tolist()
    shares = {name: _log_shares(answerer, encoded, request.settings.task) for name, answerer in
              (("base", base), ("adapter", adapter))}
    tops = {name: rows.topk(TOP, dim=-1) for name, rows in shares.items()}
    told = []
    for number, (token, piece) in enumerate(zip(ids, pieces(tokenizer, ids), strict=True)):
        told.append({"text": piece, "id": token, "answer": ends[number] > len(prompt), "base": None, "adapter": None,
                     "change": None, "top_base": [], "top_adapter": []})
        if number:
            for name, rows in shares.items():
                values, found = (part[number - 1].tolist() for part in tops[name])
                told[-1] |= {name: float(rows[number - 1, token]), f"top_{name}": [
                    {"text": tokenizer.decode([other]), "logprob": value} for value, other in zip(values, found, strict=True)]}
            told[-1]["change"] = told[-1]["adapter"] - told[-1]["base"]
    return told


def _texts(tokenizer, request: ChangesRequest) -> tuple[str, str]:
    """What was asked, as the model read it, and the answer."""
    if not request.messages:
        return request.prompt, request.text
    with template_time():
        return render(tokenizer, [message.model_dump() for message in request.messages]), request.text


def _log_shares(answerer: Answerer, encoded, task: int) -> torch.Tensor:
    """tokens × vocabulary: the logarithms of what the model expects after each token."""
    answer_as(answerer, task)
    inputs = answerer.fit(encoded)
    logits = answerer.model(**inputs, use_cache=False).logits[0]
    return torch.log_softmax(logits[-inputs["input_ids"].shape[1]:].float(), dim=-1)  # learned vectors come before the text


def pieces(tokenizer, ids: list[int]) -> list[str]:
    """The text of each token; of a character made of several, the last one has it. Together they are the whole text."""
    found, start, read = [], 0, 0
    for number in range(1, len(ids) + 1):
        before, now = tokenizer.decode(ids[start:read]), tokenizer.decode(ids[start:number])
        if len(now) > len(before) and (not now.endswith("\ufffd") or number == len(ids)):
            found.append(now[len(before):])
            start, read = read, number
        else:
            found.append("")
    return found


# ---- where in the model


class NotInWeights(Exception):
    """The method does not change the weights in a way that can be computed."""


@torch.inference_mode()
def change_map(base: Answerer, adapter: Answerer, probe: str) -> dict:
    """`by` and `cells`: for each module the relative size of its change.

    By weights it is ‖W' − W‖ / ‖W‖, with W' as merging the adapter would make it. Methods that cannot be merged are measured by
    outputs: ‖y' − y‖ / ‖y‖ on a probe text, with what the layers before have changed. A cell has `layer` (None outside the
    layers), `module` and `change`.
    """
    try:
        by, found = WEIGHTS, _weights_changed(base.model, adapter.model)
    except NotInWeights:
        by, found = OUTPUTS, _outputs_changed(base, adapter, probe)
    return {"by": by, "cells": [_cell(name, change) for name, change in found.items()]}


def _cell(name: str, change: float) -> dict:
    place = LAYER.search(name)
    return {"layer": int(place[1]) if place else None, "module": place[2] if place else name, "change": change}


def _weights_changed(base: nn.Module, model: nn.Module) -> dict[str, float]:
    if not isinstance(model, PeftModel):  # a whole model
        others = dict(model.named_modules())
        return {name: _relative(others[name].weight, module.weight) for name, module in base.named_modules()
                if isinstance(module, (nn.Linear, Conv1D, nn.Embedding)) and others[name].weight.shape == module.weight.shape}
    found = {}
    for name, layer in model.get_base_model().named_modules():
        if isinstance(layer, ModulesToSaveWrapper):
            found[name] = _relative(layer.modules_to_save[model.active_adapter].weight, layer.original_module.weight)
        elif isinstance(layer, BaseTunerLayer) and not any(name.startswith(f"{outer}.") for outer in found):
            found[name] = _relative(_merged_weight(layer, model.active_adapter), layer.get_base_layer().weight)
    if not found:
        raise NotInWeights
    return found


def _merged_weight(layer: BaseTunerLayer, adapter: str) -> torch.Tensor:
    """As the layer's weight would be with the adapter in it; the layer stays as it is, since others share that weight."""
    weight = getattr(layer.get_base_layer(), "weight", None)
    if weight is None or not weight.is_floating_point():  # packed in few bits
        raise NotInWeights
    alone = copy.deepcopy(layer)
    try:
        alone.merge(adapter_names=[adapter])
    except (AttributeError, NotImplementedError, TypeError, ValueError, RuntimeError) as error:  # PEFT has no way to do it
        raise NotInWeights from error
    return alone.get_base_layer().weight


def _relative(new: torch.Tensor, old: torch.Tensor) -> float:
    if new.shape != old.shape:
        raise NotInWeights
    return float((new.float() - old.float()).norm() / old.float().norm().clamp_min(1e-12))


def _outputs_changed(base: Answerer, adapter: Answerer, probe: str) -> dict[str, float]:
    encoded = adapter.fit(adapter.tokenizer(probe, return_tensors="pt", return_token_type_ids=False))
    names = [name for name, module in base.model.named_modules() if isinstance(module, (nn.Linear, Conv1D))]
    tree = adapter.model.get_base_model() if isinstance(adapter.model, PeftModel) else adapter.model
    before, after = (_outputs(model, answerer.model, names, encoded) for model, answerer in
                     ((base.model, base), (tree, adapter)))
    return {name: _relative(after[name], before[name]) for name in names if name in before and name in after}


def _outputs(tree: nn.Module, asked: nn.Module, names: list[str], encoded: dict) -> dict[str, torch.Tensor]:
    """What the modules of those names give for the text, of learned vectors before it nothing."""
    length, seen, modules = encoded["input_ids"].shape[1], {}, dict(tree.named_modules())

    def keep(name: str):
        def hook(module, inputs, output):
            seen[name] = output[:, -length:].float()
        return hook

    hooks = [modules[name].register_forward_hook(keep(name)) for name in names if name in modules]
    try:
        asked(**encoded, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return seen
