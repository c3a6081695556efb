"""The forecast of a recipe, from top to bottom: what its training will hold, by one step on fake tensors."""

import copy
import dataclasses
import warnings
from pathlib import Path

import torch
from transformers import AutoConfig, PretrainedConfig

from jobs.devices import DeviceFacts
from jobs.forecast import terms
from jobs.forecast.adapter import AUTO, by_number, config_for, context_of, model_of
from jobs.forecast.learnt import corrected
from jobs.forecast.losses import Batch, loss_of
from jobs.forecast.optimizers import States
from jobs.forecast.result import Forecast, Known
from jobs.forecast.step import ADAPTER, BASE, EVALUATION, Way
from jobs.forecast.suggest import suggestions
from jobs.forecast.trace import Traced, trace
from jobs.memory import EVALUATION_ROWS, SNAPSHOT_LIMIT
from jobs.methods import find_method
from jobs.methods.full import FULL
from jobs.models.inspect import width_of
from jobs.precision import numbers_of
from jobs.preparing.widths import padded, step_of
from jobs.recipe import Recipe
from jobs.training_problems import PREFERENCES

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
CPU = DeviceFacts("cpu", bf16=True)
GRAINS = {"cuda": 512, "cpu": 64}  # bytes: what torch's allocators give out


def forecast(recipe: Recipe, base: Path | PretrainedConfig, device: DeviceFacts = CPU, known: Known = Known()) -> Forecast:
    """What a recipe takes on a device, whose memory may be 0 for unknown. `base` is a folder, of which the config.json is enough,
    or a config.

    Raises TrainingStopped where the method does not go with the base model.
    """
    recipe = find_method(recipe.method).complete(recipe)
    config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False) if isinstance(base, Path) else base
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the run itself says what there is to say
        traced = trace_recipe(recipe, config, base if isinstance(base, Path) else None, device, known)
    second = second_copy(recipe, traced, device)
    learns = BASE if recipe.method == FULL else ADAPTER
    parts = terms.with_overhead({**traced.parts, learns: traced.parts.get(learns, 0) + second}, device.kind)
    evaluating = traced.peaks.get(EVALUATION, 0) + second
    peak = sum(parts.values())
    beside = terms.beside(device.kind)
    return Forecast(
        device=device.kind, peak_memory_bytes=peak, parts=parts, when=traced.phase, trainable_parameters=traced.trainable,
        total_parameters=traced.total, checkpoint_bytes=traced.checkpoint_bytes, disk_bytes=disk(recipe, traced),
        evaluation_bytes=evaluating + parts[terms.OVERHEAD] if EVALUATION in traced.peaks else 0, beside_bytes=beside,
        device_memory_bytes=device.memory_bytes, fits=peak + beside <= device.memory_bytes if device.memory_bytes else None,
        step_operations=float(traced.operations), step_tokens=recipe.training.batch_size * length_of(recipe, known))


def second_copy(recipe: Recipe, traced: Traced, device: DeviceFacts) -> int:
    """Bytes of the last good state, which the trainer holds beside what learns, unless that is too large."""
    held = numbers_of(recipe, device).base_precision if recipe.method == FULL else "fp32"
    size = traced.trainable * DTYPES[held].itemsize
    return size if size <= SNAPSHOT_LIMIT else 0


def forecast_with_suggestions(recipe: Recipe, base: Path | PretrainedConfig, device: DeviceFacts = CPU, known: Known = Known(),
                              correction: float = 1.0) -> Forecast:
    """The same, by what the device's own runs have taught, with the nearest changes that make it fit where it does not."""
    def ask(changed: Recipe) -> Forecast:
        return corrected(forecast(changed, copy.deepcopy(base), device, known), correction)

    now = ask(recipe)
    return now if now.fits is not False else dataclasses.replace(now, suggestions=suggestions(recipe, now, ask))


def trace_recipe(recipe: Recipe, config, folder: Path | None, device: DeviceFacts, known: Known) -> Traced:
    numbers = numbers_of(recipe, device, width_of(config.to_dict()))
    config = config_for(recipe, config, known)
    context = context_of(recipe, known, folder)
    dtype = DTYPES[numbers.base_precision]
    length = length_of(recipe, known)
    if recipe.task == "text-generation" and known.format not in PREFERENCES:
        length = padded(length, step_of(device.kind, numbers.precision), recipe.training.max_length)
    batch = Batch(recipe.training.batch_size, length)
    autocast = DTYPES[numbers.precision] if numbers.precision != "fp32" else None
    way = Way(loss=with_penalty(recipe, loss_of(recipe, known.format, batch)),
              states=States(recipe.training.optimizer, device.kind), device=device.kind,
              accumulation=recipe.training.accumulation, autocast=autocast, grain=GRAINS[device.kind],
              evaluate=evaluation(recipe, known, batch))
    return trace(config, AUTO[recipe.task], lambda short: model_of(recipe, short, dtype, context), way, by_number(recipe),
                 every=recipe.method_settings.get("stride_A") or 1)


def with_penalty(recipe: Recipe, loss):
    """The loss with what the method adds to it while training."""
    method = find_method(recipe.method)
    settings = method.read_settings(recipe.method_settings)

    def added(model):
        penalty = method.special.penalty(model, settings)
        return loss(model) if penalty is None else loss(model) + penalty

    return added


def evaluation(recipe: Recipe, known: Known, batch: Batch):
    """The loss over a batch of an evaluation, where there is one."""
    if not known.evaluates or recipe.dataset.validation == "none":
        return None
    return loss_of(recipe, known.format, dataclasses.replace(batch, rows=max(batch.rows, EVALUATION_ROWS)))


def length_of(recipe: Recipe, known: Known) -> int:
    """Tokens of the longest row."""
    most = recipe.training.max_length
    return most if recipe.training.packing or not known.longest_row else min(most, known.longest_row)


def disk(recipe: Recipe, traced: Traced) -> int:
    """Checkpoints with the optimizer's states, the adapter or model in the library, and its zip."""
    state = traced.parts.get("optimizer states", 0)
    kept = recipe.training.keep_checkpoints + (1 if recipe.training.keep_best else 0)
    return kept * (traced.checkpoint_bytes + state) + 2 * traced.checkpoint_bytes
