"""Several LoRA adapters of one base model as one, heard at once or kept; and an adapter put into the base model's weights."""

import copy
import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from peft import PeftModel
from safetensors import SafetensorError

from jobs.methods import METHODS
from jobs.playground.adapter_config import adapter_type
from jobs.playground.models import Answerer, LoadedBase
from jobs.playground.problems import BlendRefused, DeviceFull, MergeRefused
from jobs.playground.request import Blend
from jobs.units import size
from jobs.whole_models import is_whole_model
from storage.problems import DiskFull

ONE_RANK = ("linear", "ties", "dare_linear", "dare_ties", "magnitude_prune")  # which add matrices number by number
WHOLE = "default"


def blended(loaded: LoadedBase, blend: Blend) -> PeftModel:
    """The blend on the base model's shared weights; raises BlendRefused, AdapterBroken or AdapterMisfit."""
    parts = [loaded.answerer(part.adapter_folder) for part in blend.parts]  # it checks that each is whole and fits
    _check(loaded, blend, parts)
    configs = [part.model.active_peft_config for part in parts]
    tree = copy.deepcopy(loaded.model, dict(loaded.shared))
    names = [f"part {number}" for number in range(len(parts))]
    model = PeftModel.from_pretrained(tree, blend.parts[0].adapter_folder, adapter_name=names[0], config=copy.deepcopy(configs[0]))
    for name, part, config in zip(names[1:], blend.parts[1:], configs[1:], strict=True):
        model.load_adapter(str(part.adapter_folder), name, peft_config=copy.deepcopy(config))
    # the new adapter takes this config, and its matrices have the scaling in them already
    model.peft_config[names[0]].use_rslora = False
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(blend.seed)
        model.add_weighted_adapter(
            names, [part.weight for part in blend.parts], WHOLE, combination_type=blend.combination,
            density=blend.density if blend.combination not in ("cat", "svd", "linear") else None,
            majority_sign_method=blend.majority, svd_full_matrices=False)
    model.set_adapter(WHOLE, inference_mode=True)
    for name in names:
        model.delete_adapter(name)
    for weight in model.parameters():
        if id(weight) not in loaded.shared:  # svd leaves matrices that lie otherwise in memory than once they are kept
            weight.data = weight.data.contiguous()
    return model.eval()


def _check(loaded: LoadedBase, blend: Blend, parts: list[Answerer]) -> None:
    ranks, kinds = {}, set()
    for part, answerer in zip(blend.parts, parts, strict=True):
        if not isinstance(answerer.model, PeftModel) or adapter_type(answerer.model.active_peft_config) != "LORA":
            kind = adapter_type(answerer.model.active_peft_config) if isinstance(answerer.model, PeftModel) else "a whole model"
            raise BlendRefused(f"'{part.adapter_folder}' is {kind}, and only LoRA adapters can be added up. Take it away")
        if loaded.one_by_one:
            raise BlendRefused("The base model is held in 8 bits. Load it whole")
        if answerer.parts is None:
            raise BlendRefused(f"'{part.adapter_folder}' changes more than a LoRA's two matrices (DoRA, biases, embeddings or a "
                               "head), and that cannot be added up. Take it away")
        config = answerer.model.active_peft_config
        ranks[str(part.adapter_folder)] = {len(matrices.down) for matrices in answerer.parts.values()}
        kinds.add(isinstance(config.target_modules, str))
    if len({str(part.adapter_folder) for part in blend.parts}) < len(blend.parts):
        raise BlendRefused("An adapter is there twice. Give it one weight")
    if len(kinds) > 1:
        raise BlendRefused("Some of these adapters name their layers by a pattern and others by a list, and PEFT adds up only what "
                           "names them alike. Take those of one sort")
    if blend.combination in ONE_RANK and len({rank for found in ranks.values() for rank in found}) > 1:
        told = ", ".join(f"{' and '.join(map(str, sorted(found)))} ('{folder}')" for folder, found in ranks.items())
        raise BlendRefused(f"'{blend.combination}' adds adapters of one rank, and these have {told}. Choose cat or svd")


def save_blend(loaded: LoadedBase, blend: Blend, target: Path) -> Path:
    """Keep a blend as a PEFT folder, which plain PEFT opens; the target appears whole or not at all."""
    answerer = loaded.blend(blend)

    def write(folder: Path) -> None:
        answerer.model.save_pretrained(folder, selected_adapters=[WHOLE])
        answerer.tokenizer.save_pretrained(folder)

    return _written(target, write)


def merge_into_base(loaded: LoadedBase, folder: Path | None, blend: Blend | None, target: Path) -> Path:
    """Keep the base model with an adapter or a blend in its weights, as a whole model in the base's number format.

    Takes the base's memory once more. Raises MergeRefused, BlendRefused, DeviceFull or DiskFull.
    """
    if loaded.choice.quantization != "none" or loaded.facts.quantization:
        raise MergeRefused("The base model is held in few bits, where merging would round the adapter away. Load it whole")
    if folder and is_whole_model(folder):
        raise MergeRefused(f"'{folder}' is a whole model already")
    answerer = loaded.blend(blend) if blend else loaded.answerer(folder)
    kind = adapter_type(answerer.model.active_peft_config)
    if why := next((method.reason("merge") for method in METHODS.values() if method.peft_type == kind), ""):
        raise MergeRefused(f"{kind} cannot be merged. {why.rstrip('.')}")
    if loaded.device.type == "cpu" and (free := psutil.virtual_memory().available) < loaded.bytes:
        raise MergeRefused(f"it takes the base model's {size(loaded.bytes)} of memory once more, and {size(free)} are free. Close "
                           "other programs, or wait until a training has ended")
    alone = copy.deepcopy(answerer.model)  # its weights become the new model's, and the base's stay as they are
    try:
        merged = alone.merge_and_unload(safe_merge=True)
    except torch.OutOfMemoryError as error:
        raise DeviceFull(str(loaded.device)) from error
    except (AttributeError, NotImplementedError, ValueError) as error:
        raise MergeRefused(f"PEFT cannot merge this adapter ({str(error).splitlines()[0].rstrip('.')})") from error
    _check_same(merged, answerer)

    def write(folder: Path) -> None:
        merged.config.use_cache = True
        # as large as the base model, whose numbers a device may have loaded as larger ones
        merged.to(getattr(torch, loaded.facts.dtype))
        for weight in merged.parameters():
            weight.data = weight.data.contiguous()  # in memory a small model's lie by columns
        merged.save_pretrained(folder)
        answerer.tokenizer.save_pretrained(folder)

    return _written(target, write)


@torch.inference_mode()
def _check_same(merged: torch.nn.Module, answerer: Answerer) -> None:
    """Raise MergeRefused where the merged model would not say what the adapter says."""
    tokens = torch.arange(1, 9, device=answerer.device)[None]
    asked = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    said, wanted = (model(**asked)[0].float() for model in (merged, answerer.model))
    if not torch.allclose(said, wanted, rtol=0.1, atol=0.1 * float(wanted.std())):
        raise MergeRefused("merged, it answers otherwise than beside the base model, as where an adapter on the output layer meets "
                           "a model that shares this layer's weights with its input")


def _written(target: Path, write: Callable[[Path], None]) -> Path:
    """Have a folder written that appears whole or not at all; raises BlendRefused or DiskFull."""
    if target.exists():
        raise BlendRefused(f"'{target}' exists already. Choose another folder")
    beside = target.with_name(f"{target.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        write(beside)
        beside.rename(target)
    except (OSError, SafetensorError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error):
            raise DiskFull(f"The disk of {target.parent} became full while the weights were written. Free some space and try again."
                           ) from error
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return target
