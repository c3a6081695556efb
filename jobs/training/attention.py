"""Attention over short rows on a processor: torch's kernel is quicker with fp32 than with bf16 there.

On two cores of a Xeon with AMX, forth and back over 8 rows with 6 heads of 64 took 9 ms with fp32 and 17 with bf16 for 160 tokens,
11 and 13 for 192, and about as long with both from 224 on. A step of a Llama with 26 M parameters became a sixth shorter.
"""

import contextlib

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

SHORT = 192  # tokens
NAME = "sdpa"  # transformers' name for torch's attention


def short_in_fp32(module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: torch.Tensor | None,
                  **named) -> tuple[torch.Tensor, None]:
    """As sdpa_attention_forward, for (batch, heads, tokens, width)."""
    if query.dtype != torch.bfloat16 or key.shape[2] > SHORT:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **named)
    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask.float()
    with torch.autocast("cpu", enabled=False):
        output, weights = sdpa_attention_forward(module, query.float(), key.float(), value.float(), attention_mask, **named)
    return output.to(query.dtype), weights


def attend_in_fp32_where_short() -> None:
    """Have all models of this process that use torch's attention do so."""
    ALL_ATTENTION_FUNCTIONS[NAME] = short_in_fp32


@contextlib.contextmanager
def attending_in_fp32_where_short():
    """The same for a while."""
    attend_in_fp32_where_short()
    try:
        yield
    finally:
        ALL_ATTENTION_FUNCTIONS[NAME] = sdpa_attention_forward
