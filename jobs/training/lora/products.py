"""LoRA's layers on a processor: what PEFT works out for one, in as few steps over memory as it takes.

PEFT casts a layer's input to the adapter's fp32 and back, and makes, scales and adds the adapter's part as tensors of their own,
most of which wait for the way back. Here the adapter's second product is added within the large one.
"""

import types

import torch
from peft.tuners.lora.layer import Linear
from torch.nn.functional import linear


class LoraProduct(torch.autograd.Function):
    """x @ weight.T + bias + scaling * (x @ down.T) @ up.T, for x (tokens, in), down (rank, in) and up (out, rank).

    All are of the number format that is computed in. The way back needs x, x @ down.T and the weights, and the frozen weight has no
    gradient.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, down, up, scaling: float) -> torch.Tensor:
        small = x @ down.T
        ctx.save_for_backward(x, weight, down, up, small)
        ctx.scaling = scaling
        return linear(x, weight, bias).addmm_(small, up.T, alpha=scaling)

    @staticmethod
    def backward(ctx, back):
        x, weight, down, up, small = ctx.saved_tensors
        to_small = (back @ up).mul_(ctx.scaling)
        to_x = (back @ weight).addmm_(to_small, down) if ctx.needs_input_grad[0] else None
        return to_x, None, None, to_small.T @ x, (back.T @ small).mul_(ctx.scaling), None


def merge_products(model: torch.nn.Module) -> None:
    """Have every plain LoRA layer over a frozen linear layer multiply so; all others stay as they are."""
    for layer in model.modules():
        if type(layer) is Linear and is_plain(layer):
            layer.forward = types.MethodType(forward, layer)


def is_plain(layer: Linear) -> bool:
    """Whether a layer is one adapter of two matrices over frozen weights, without dropout."""
    base, names = layer.get_base_layer(), list(layer.lora_A)
    return (type(base) is torch.nn.Linear and names == list(layer.active_adapters) and len(names) == 1 and not layer.lora_variant
            and type(layer.lora_dropout[names[0]]) is torch.nn.Identity and layer.lora_B[names[0]].bias is None
            and not any(weight.requires_grad for weight in base.parameters()))


def forward(layer: Linear, x: torch.Tensor, *arguments, **named) -> torch.Tensor:
    if layer.disable_adapters or layer.merged or arguments or named or not torch.is_grad_enabled():
        return Linear.forward(layer, x, *arguments, **named)
    name, base = layer.active_adapters[0], layer.get_base_layer()
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else base.weight.dtype
    down, up = layer.lora_A[name].weight, layer.lora_B[name].weight
    bias = None if base.bias is None else base.bias.to(dtype)
    with torch.autocast("cpu", enabled=False):
        product = LoraProduct.apply(x.to(dtype).flatten(0, -2), base.weight.to(dtype), bias, down.to(dtype), up.to(dtype),
                                    layer.scaling[name])
    return product.view(*x.shape[:-1], -1)
