"""Layers that bitsandbytes holds in 4 or 8 bits, with the shapes of its packed weights and their scales, and no values."""

import types

import torch

from jobs.forecast import place

BLOCK, NESTED_BLOCK, LEVELS = 64, 256, 256  # weights with a scale of their own, scales with one, values of a byte
WORDS = {"int8": "is_loaded_in_8bit", "nf4": "is_loaded_in_4bit", "fp4": "is_loaded_in_4bit"}  # where PEFT looks


def exchange_layers(model, quantization: str, dtype: torch.dtype, whole: list[str] | None) -> None:
    """Exchange a model's linear layers as transformers does when it loads one so."""
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear
    from transformers.quantizers.base import HfQuantizer

    from jobs.training.base import keep_layout, quantization_config

    config = quantization_config(quantization, dtype, "")
    left = HfQuantizer.get_modules_to_not_convert(model, whole, model._keep_in_fp32_modules)
    replace_with_bnb_linear(model, left, config)
    keep_layout(model)  # as a training does
    setattr(model, WORDS[quantization], True)
    model.is_quantized, model.quantization_method = True, "bitsandbytes"


def pack_layers(model, quantization: str, dtype: torch.dtype) -> None:
    """Give the exchanged layers the weights that they have once the numbers were packed."""
    for layer in model.modules():
        if type(layer).__module__.startswith("bitsandbytes"):
            pack_8(layer) if quantization == "int8" else pack_4(layer, quantization, dtype)


def bytes_made(*shape: int, dtype: torch.dtype = torch.uint8) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="cpu")


def pack_4(layer, kind: str, dtype: torch.dtype) -> None:
    """4 bits for a weight, a byte for the scale of 64, and 4 bytes for that of 256 such scales (arXiv 2305.14314)."""
    from bitsandbytes.functional import QuantState

    size = layer.weight.numel()
    blocks = -(-size // BLOCK)
    nested = QuantState(absmax=bytes_made(-(-blocks // NESTED_BLOCK), dtype=torch.float32), blocksize=NESTED_BLOCK,
                        code=bytes_made(LEVELS, dtype=torch.float32), dtype=torch.float32)
    state = QuantState(absmax=bytes_made(blocks), shape=layer.weight.shape, code=bytes_made(16, dtype=torch.float32),
                       blocksize=BLOCK, quant_type=kind, dtype=dtype, offset=bytes_made(dtype=torch.float32), state2=nested)
    weight = torch.nn.Parameter(bytes_made(-(-size // 2), 1), requires_grad=False)
    weight.quant_state, weight.quant_type, weight.compress_statistics = state, kind, True
    weight.stands_for = size
    layer.weight, layer.quant_state = weight, state
    layer.beside = [state.absmax, state.code, state.offset, nested.absmax, nested.code]


def pack_8(layer) -> None:
    """A byte for a weight, and 4 for the scale of each row."""
    rows, columns = layer.weight.shape
    weight = torch.nn.Parameter(bytes_made(rows, columns, dtype=torch.int8), requires_grad=False)
    weight.CB, weight.SCB, weight.stands_for = None, None, rows * columns
    layer.weight = weight
    layer.state.CB, layer.state.SCB = weight.data, bytes_made(rows, dtype=torch.float32)
    layer.beside = [layer.state.CB, layer.state.SCB]
    layer.forward = types.MethodType(eight_bit_forward, layer)


def eight_bit_forward(layer, x: torch.Tensor) -> torch.Tensor:
    """As bitsandbytes does on the device that is forecast."""
    from bitsandbytes.autograd._functions import MatMul8bitFp, MatMul8bitLt

    bias = None if layer.bias is None else layer.bias.to(x.dtype)
    layer.state.is_training = layer.training
    function = MatMul8bitLt if place.kind() == "cuda" else MatMul8bitFp
    return function.apply(x, layer.weight, None, bias, layer.state)
