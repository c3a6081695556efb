"""How many floating-point operations a step takes: those of its products of matrices, its attention and its convolutions."""

from math import prod

import torch
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

aten = torch.ops.aten


def attention_back(gradient, query, key, value, *others, **options) -> int:
    return sdpa_backward_flop_count(gradient.shape, query.shape, key.shape, value.shape)


def grouped(rows, matrices, *others, out_val, **options) -> int:
    """Of experts' matrices, each with its own rows: every row meets one of them."""
    return 2 * prod(out_val.shape) * rows.shape[-1]


# by torch's operators; torch itself has no number for these
COUNTED = dict(flop_registry) | {
    aten._scaled_dot_product_flash_attention_for_cpu:
        lambda query, key, value, *others, **options: sdpa_flop_count(query.shape, key.shape, value.shape),
    aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_back,
    aten._grouped_mm: grouped, aten.addmm_: flop_registry[aten.addmm], aten.baddbmm_: flop_registry[aten.baddbmm],
}
BY_NAME = {
    "bitsandbytes::int8_mixed_scaled_mm": lambda numbers, in_8, weights, *others, **options: 2 * in_8.numel() * len(weights),
    "bitsandbytes::gemm_4bit": lambda rows, packed, shape, *others, **options: 2 * rows.numel() * shape[0],
}


def operations_of(function, args: tuple, kwargs: dict, out) -> int:
    """Of one call of an operator of torch."""
    known = COUNTED.get(function.overloadpacket) or BY_NAME.get(function.name())
    return 0 if known is None else known(*args, **kwargs, out_val=out)
