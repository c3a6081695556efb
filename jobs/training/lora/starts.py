"""How LoRA's variants begin, once the adapter is in the model."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import torch
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import ParamWrapper
from peft.utils.integrations import dequantize_module_weight
from safetensors import safe_open
from transformers.pytorch_utils import Conv1D

from jobs.methods.base import MethodSettings
from jobs.methods.lora_variants import VARIANTS, chosen, of_part
from jobs.models.model_files import WEIGHTS_INDEX, weight_files, weight_map_of
from jobs.training.base import computing
from jobs.training.calibration import Batch, batches, inputs_of, learned_places, spread
from jobs.training.context import TrainingContext
from jobs.training.lora.changed_base import A_OR_B, fit_to_original, remember_original, start_in
from jobs.training.lora.layers import (
    ADAPTER,
    check_rank,
    freeze_first,
    lora_layers,
    refuse_single_weights,
    samplers_of,
    weights_of,
)
from jobs.training.lora.settings import pissa_way

CONV1D_STARTS = ("olora",)
PASSES = 200  # forward passes at most until EVA's directions stay the same, and three times over all batches


def after(model, settings: MethodSettings, context: TrainingContext, rows) -> None:
    """Start as the variant does, or as the checkpoint says that it began."""
    names = chosen(settings)
    moving = next((name for name, variant in names.items() if variant.moves_base), "")
    if moving or "eva" in names:
        refuse_single_weights(model, VARIANTS[moving or "eva"].title)
    if moving and context.checkpoint:
        fit_to_original(model, start_in(context.checkpoint))
        model.take_out(moving == "lora-ga")
    elif moving:
        begin(model, moving, settings)
    elif "kasa" in names:
        remember_original(model)
    elif "eva" in names and not context.checkpoint:
        begin_with_eva(model, spread(rows, settings.calibration_rows), context)
    elif "loftq" in names and not context.checkpoint:
        begin_with_loftq(model, context)
    if "monteclora" in names:
        for sampler in samplers_of(model):  # else the first step's noise would be one from before the random numbers are set
            sampler.index = sampler.buffer_size
    if "velora" in names and context.checkpoint:
        for layer in lora_layers(model):
            layer.lora_velora_initialized[ADAPTER] = True
    if "bdlora" in names and not any(type(part).__name__ == "BlockDiagonalLinear" for part in model.modules()):
        raise ValueError("none of the adapted layers is among bdlora_rows or bdlora_columns, so there would be no blocks.")
    if of_part(settings, "step") == "lora-fa":
        freeze_first(model)


def begin(model, name: str, settings: MethodSettings) -> None:
    """Start with what is taken out of the base, by PEFT's own arithmetic, and remember it."""
    title = VARIANTS[name].title
    for path, layer in model.named_modules():
        if not isinstance(layer, LoraLayer) or ADAPTER not in layer.lora_A:
            continue
        base = layer.get_base_layer()
        if name in CONV1D_STARTS and isinstance(base, Conv1D):
            raise ValueError(f"{title} does not serve {path}, which holds its weight turned over.")
        check_rank(title, path, layer.r[ADAPTER], min(base.weight.shape))
        match name:
            case "pissa":
                layer.pissa_init(ADAPTER, pissa_way(settings))
            case "olora":
                layer.olora_init(ADAPTER)
            case "corda":
                layer.corda_init(ADAPTER, "corda")
            case "lora-ga":
                layer.lora_ga_init(ADAPTER, model.peft_config[ADAPTER].lora_ga_config)
    # a start computed in the base's number format is trained in the adapter's
    model.base_model._cast_adapter_dtype(adapter_name=ADAPTER, autocast_adapter_dtype=True)
    config = model.peft_config[ADAPTER]
    config.corda_config = config.lora_ga_config = None  # what is saved is plain LoRA
    fit_to_original(model, {key: value.clone() for key, value in weights_of(model).items() if A_OR_B.search(key)})


def begin_with_eva(model, rows: list[dict], context: TrainingContext) -> None:
    """EVA's directions, from batches with enough tokens to tell so many apart; ranks go where they explain most."""
    from peft import initialize_lora_eva_weights

    config = model.peft_config[ADAPTER]
    wanted = max(round(layer.r[ADAPTER] * config.eva_config.rho) for layer in lora_layers(model))
    for path, layer in model.named_modules():
        if isinstance(layer, LoraLayer) and 2 * wanted > layer.in_features:
            raise ValueError(f"EVA looks for {wanted} directions among twice as many, and {path} has {layer.in_features} inputs. "
                             "Lower r or eva_rho.")
    looked_at = list(batches_of_tokens(rows, 2 * wanted, config.eva_config.use_label_mask, context))
    if not looked_at:
        raise ValueError(f"EVA needs {2 * wanted} tokens at a time to tell {wanted} directions apart, and all rows looked at have "
                         "fewer. Raise calibration_rows, or lower r or eva_rho.")
    most, passes = max(PASSES, 3 * len(looked_at)), itertools.count(1)

    def forward(model, batch) -> None:
        if next(passes) > most:
            raise ValueError(f"EVA's directions have not settled after {most} batches. Lower eva_tau, r or eva_rho.")
        with computing(context):
            model(**inputs_of(batch))

    initialize_lora_eva_weights(
        model, looked_at, forward_fn=forward, prepare_model_inputs_fn=lambda batch, config: batch["places"],
        prepare_layer_inputs_fn=tokens_at, show_progress_bar=False)
    model.base_model._cast_adapter_dtype(adapter_name=ADAPTER, autocast_adapter_dtype=True)
    config = model.peft_config[ADAPTER]
    config.init_lora_weights, config.eva_config = True, None  # ranks and weights say all; it opens as plain LoRA


def batches_of_tokens(rows: list[dict], tokens: int, learned_only: bool, context: TrainingContext) -> Iterator[Batch]:
    """Batches in which at least so many tokens count, each with its `places`, where they are."""
    size, found = context.recipe.training.batch_size, []
    while not found:
        for batch in batches(rows, size, context):
            places = learned_places(batch) if learned_only else learned_places(inputs_of(batch))
            if int(places.sum()) >= tokens:
                found.append({**inputs_of(batch), "places": places})
        if size >= len(rows):
            break
        size *= 2
    return iter(found)


def tokens_at(layer_input, places: torch.Tensor, name: str) -> torch.Tensor:
    """The inputs of a layer at those tokens; all of them where it does not see tokens."""
    inputs = layer_input[0] if isinstance(layer_input, (tuple, list)) else layer_input
    return inputs[places] if inputs.shape[:2] == places.shape else inputs.reshape(-1, inputs.shape[-1])


def begin_with_loftq(model, context: TrainingContext) -> None:
    """Start with what quantization has lost, as far as the rank goes.

    PEFT's replace_lora_weights_loftq does the same on a GPU only, for 4 bits only, and as if alpha / rank were 1.
    """
    files = BaseFiles(context.base_path, model.get_base_model().base_model_prefix)
    for path, layer in model.named_modules():
        if not isinstance(layer, LoraLayer) or isinstance(layer, ParamWrapper) or \
                type(layer.get_base_layer().weight).__name__ not in ("Params4bit", "Int8Params"):
            continue
        held = dequantize_module_weight(layer.get_base_layer()).detach().float()
        lost = files.weight(path.removeprefix("base_model.model.")).to(held.device).float() - held
        left, sizes, right = torch.linalg.svd(lost, full_matrices=False)
        rank, scale = layer.r[ADAPTER], layer.scaling[ADAPTER]
        root = (sizes[:rank] / scale).sqrt()
        with torch.no_grad():
            layer.lora_A[ADAPTER].weight.copy_(root[:, None] * right[:rank])
            layer.lora_B[ADAPTER].weight.copy_(left[:, :rank] * root)


class BaseFiles:
    """A base model's weights on the disk, one at a time."""

    def __init__(self, folder: Path, prefix: str):
        self.folder, self.prefix = folder, f"{prefix}."
        first, *more = weight_files(folder)
        if more or (folder / WEIGHTS_INDEX).is_file() and first != "model.safetensors":
            self.files = weight_map_of(folder / WEIGHTS_INDEX)
        else:
            with safe_open(folder / first, "pt") as file:
                self.files = dict.fromkeys(file.keys(), first)

    def weight(self, layer: str) -> torch.Tensor:
        """Of a layer by its name in the model, which may have the family's name before it where the files have not, or not."""
        name = f"{layer}.weight"
        found = next((other for other in (name, name.removeprefix(self.prefix), self.prefix + name) if other in self.files), None)
        if found is None:
            raise ValueError(f"the base model's files have no weight '{name}', which LoftQ compares with what the few bits hold.")
        with safe_open(self.folder / self.files[found], "pt") as file:
            return file.get_tensor(found)
