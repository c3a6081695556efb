"""Loading a base model, in the precision and the bits that the recipe asks for."""

import contextlib
from logging import ERROR, getLogger

import torch
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.utils import logging

from jobs.recipe import LABELLED
from jobs.training.context import TrainingContext
from storage.faults import fault_point

getLogger("bitsandbytes.autograd._functions").setLevel(ERROR)  # it warns for every layer and step that inputs are cast

# a classifier's own layers are trained whole, which a layer held in few bits cannot be
TRAINED_WHOLE = [r"(.*\.)?(classifier|score|pooler|pre_classifier)"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def load_base_model(context: TrainingContext, auto_class, **options) -> PreTrainedModel | tuple[PreTrainedModel, dict]:
    """Weights from safetensors only, never code from the folder. With output_loading_info, transformers' report comes along."""
    logging.disable_progress_bar()
    fault_point("training.loading")
    on_gpu, dtype = context.device.startswith("cuda"), DTYPES[context.base_precision]
    loaded = auto_class.from_pretrained(
        context.base_path, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=dtype,
        quantization_config=quantization_config(context.recipe.quantization, dtype, context.recipe.task),
        device_map={"": context.device} if on_gpu or context.recipe.quantization != "none" else None, **options)
    model = loaded[0] if isinstance(loaded, tuple) else loaded
    model.config.use_cache = False
    keep_layout(model)
    return loaded


def keep_layout(model: torch.nn.Module) -> None:
    """Have layers in 4 bits stay as they were loaded.

    On processors that compute in bf16, bitsandbytes lays their weights out anew at the first evaluation, and no gradient passes
    through them any more.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def computing(context: TrainingContext):
    """Outside the trainer: mixes number formats as its steps do, where the base model's weights are held in fewer bits."""
    if context.base_precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(torch.device(context.device).type, dtype=DTYPES[context.precision])


def quantization_config(quantization: str, dtype: torch.dtype, task: str) -> BitsAndBytesConfig | None:
    """bitsandbytes' settings for int8, nf4 or fp4 (4 bits with double quantisation, arXiv 2305.14314); None for none."""
    if quantization == "none":
        return None
    whole = TRAINED_WHOLE if task in LABELLED else None
    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=whole)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=quantization, bnb_4bit_use_double_quant=True,
                              bnb_4bit_compute_dtype=dtype, llm_int8_skip_modules=whole)
