"""Loading a base model, in the precision and the bits that the recipe asks for."""

import warnings

import torch
from transformers import AutoTokenizer, BitsAndBytesConfig, PreTrainedModel
from transformers.utils import logging

from jobs.training.context import TrainingContext

# for a base model that brings no chat template: each turn under its role, an answer ends with the end-of-text token
PLAIN_CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] | trim }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}")

warnings.filterwarnings("ignore", message="MatMul8bitLt: inputs will be cast")  # once for every layer and step

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def load_tokenizer(context: TrainingContext):
    """The base model's tokenizer, with a padding token, and a plain chat template where it has none."""
    tokenizer = AutoTokenizer.from_pretrained(context.base_path, local_files_only=True, trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def load_base_model(context: TrainingContext, auto_class, **options) -> PreTrainedModel | tuple[PreTrainedModel, dict]:
    """Weights from safetensors only, never code from the folder. With output_loading_info, transformers' report comes along."""
    logging.disable_progress_bar()
    on_gpu = context.device.startswith("cuda")
    # on a CPU autocast wants fp32 weights; on a GPU the frozen base is held in the training precision
    dtype = DTYPES[context.precision] if on_gpu else torch.float32
    loaded = auto_class.from_pretrained(
        context.base_path, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=dtype,
        quantization_config=quantization_config(context.recipe.quantization, dtype),
        device_map={"": context.device} if on_gpu or context.recipe.quantization != "none" else None, **options)
    (loaded[0] if isinstance(loaded, tuple) else loaded).config.use_cache = False
    return loaded


def quantization_config(quantization: str, dtype: torch.dtype) -> BitsAndBytesConfig | None:
    """bitsandbytes' settings for int8, nf4 or fp4 (4 bits with double quantisation, arXiv 2305.14314); None for none."""
    if quantization == "none":
        return None
    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=quantization, bnb_4bit_use_double_quant=True,
                              bnb_4bit_compute_dtype=dtype)
