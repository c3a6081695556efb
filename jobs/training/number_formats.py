"""How wide a base model has to be to train quicker in bf16 than in fp32 on this processor. `python -m jobs.training.number_formats`
measures it once for an environment and a processor, and keeps it for jobs.devices.

A step forth and back through two layers of a Llama, with LoRA and with what the studio adds on a processor, in both formats in
turns: the products alone would gain from bf16 sooner than a training does, which has much else to do for each token. Narrower
models than the first are always computed in fp32, which is exact: they are quick enough.
"""

import json
import os
import statistics
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaModel

from jobs.devices import cpu_facts, keep_narrowest
from jobs.training.attention import attending_in_fp32_where_short
from jobs.training.lora.products import merge_products

WIDTHS = (384, 512, 768)
ROWS, TOKENS, ROUNDS = 8, 128, 5
NICENESS = 10
GAIN = 0.9  # of the time in fp32: what is gained has to be more than chance
FORMATS = (torch.float32, torch.bfloat16)


def shares() -> dict[int, float]:
    """For each width, the time of a step in bf16 as a share of that in fp32: the median of neighbouring steps."""
    with attending_in_fp32_where_short():
        return {width: share(width) for width in WIDTHS}


def share(width: int) -> float:
    wide, narrow = (layers(width, dtype) for dtype in FORMATS)
    seconds(wide, torch.float32), seconds(narrow, torch.bfloat16)  # the first step has its products prepared
    return statistics.median(seconds(narrow, torch.bfloat16) / seconds(wide, torch.float32) for _ in range(ROUNDS))


def layers(width: int, dtype: torch.dtype) -> torch.nn.Module:
    """The adapter's weights are in fp32, the others in `dtype`."""
    torch.manual_seed(0)
    model = LlamaModel(LlamaConfig(
        vocab_size=64, hidden_size=width, intermediate_size=width * 8 // 3, num_hidden_layers=2, num_attention_heads=width // 64,
        num_key_value_heads=width // 64, use_cache=False)).to(dtype)
    model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear"), autocast_adapter_dtype=True)
    merge_products(model)
    return model


def seconds(model: torch.nn.Module, dtype: torch.dtype) -> float:
    """Of one step forth and back."""
    ids = torch.zeros(ROWS, TOKENS, dtype=torch.long)
    began = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    hidden.float().sum().backward()
    return time.perf_counter() - began


def narrowest(found: dict[int, float]) -> int:
    """The width from which on all that were tried gain; 0 where the widest does not."""
    gaining = 0
    for width in sorted(found, reverse=True):
        if found[width] > GAIN:
            break
        gaining = width
    return gaining


if __name__ == "__main__":
    os.nice(NICENESS)
    if cpu_facts().bf16:
        measured = shares()
        keep_narrowest(narrowest(measured))
        print(json.dumps(measured))
