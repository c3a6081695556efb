"""What a GPU does otherwise than the processor, where the fake tensors of a step say that they are.

A build of torch without CUDA cannot pretend to be on a GPU: its attention and its mixing of number formats are put in here.
"""

import contextlib
from contextlib import nullcontext
from contextvars import ContextVar

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import sdpa_backward_flop_count, sdpa_flop_count

from jobs.forecast.ledger import count
from jobs.training.attention import attending_in_fp32_where_short

_kind: ContextVar[str] = ContextVar("kind", default="cpu")
_mode: ContextVar[contextlib.AbstractContextManager] = ContextVar("mode")
functional = torch.nn.functional
# what autocast on a GPU works out in fp32 (torch's documentation of automatic mixed precision), as far as models use it
IN_FP32 = {functional.softmax, torch.softmax, torch.Tensor.softmax, functional.log_softmax, torch.log_softmax,
           torch.Tensor.log_softmax, functional.layer_norm, torch.layer_norm, functional.group_norm, functional.cross_entropy,
           functional.nll_loss, functional.mse_loss, functional.l1_loss, functional.smooth_l1_loss, torch.exp, torch.Tensor.exp,
           torch.pow, torch.Tensor.pow, torch.Tensor.__pow__, torch.rsqrt, torch.Tensor.rsqrt, torch.cumsum, torch.Tensor.cumsum,
           torch.norm, torch.Tensor.norm, functional.cosine_similarity, torch.log, torch.Tensor.log}
HALF = (torch.float16, torch.bfloat16)


def kind() -> str:
    """cpu or cuda: what the forecast is for."""
    return _kind.get()


@contextlib.contextmanager
def on(wanted: str, autocast: torch.dtype | None):
    """Work as on that kind of device, mixing number formats where `autocast` is one."""
    kind_before, mode_before = _kind.set(wanted), _mode.set(LikeGPU(autocast is not None) if wanted == "cuda" else nullcontext())
    try:
        with (_mode.get(), torch.autocast("cpu", dtype=autocast) if autocast else nullcontext(),
              attending_in_fp32_where_short() if wanted == "cpu" else nullcontext()):
            yield
    finally:
        _kind.reset(kind_before)
        _mode.reset(mode_before)


def while_recomputing() -> tuple[contextlib.AbstractContextManager, contextlib.AbstractContextManager]:
    """For torch's checkpointing: where it works out layers anew, on the way back, the mode of `on` does not hold by itself."""
    return nullcontext(), _mode.get(nullcontext())


class LikeGPU(TorchFunctionMode):
    """A GPU's attention, and what it works out in fp32 while number formats are mixed."""

    def __init__(self, mixed: bool):
        super().__init__()
        self.mixed = mixed

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is functional.scaled_dot_product_attention:
            return attention(*args, **kwargs)
        if self.mixed and function in IN_FP32:
            args = tuple(value.float() if isinstance(value, torch.Tensor) and value.dtype in HALF else value for value in args)
            kwargs = {name: value.float() if isinstance(value, torch.Tensor) and value.dtype in HALF else value
                      for name, value in kwargs.items()}
        return function(*args, **kwargs)


def attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    """torch's attention on a GPU, which never holds the scores of all pairs."""
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    if attn_mask is not None:  # one that is added, in the numbers of the rest, and wide enough for the kernel
        width = -(-attn_mask.shape[-1] // 16) * 16
        attn_mask = query.new_empty((*attn_mask.shape[:-1], width))
    return Attention.apply(query, key, value, attn_mask)


def repeated(keys, heads: int) -> tuple[int, ...]:
    """The shape of keys or values that several heads share, once for each head."""
    return keys.shape[0], heads, *keys.shape[2:]


class Attention(torch.autograd.Function):
    """What the kernels with little memory keep for the way back: their inputs, the output, and a number for each row of scores."""

    @staticmethod
    def forward(query, key, value, mask):
        batch, heads, rows, _ = query.shape
        count(sdpa_flop_count(query.shape, repeated(key, heads), repeated(value, heads)))
        return query.new_empty((batch, rows, heads, value.shape[-1])).transpose(1, 2)

    @staticmethod
    def setup_context(ctx, inputs, output):
        query, key, value, mask = inputs
        rows = query.new_empty(query.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, output, rows, *([] if mask is None else [mask]))

    @staticmethod
    def backward(ctx, gradient):
        query, key, value, *_ = ctx.saved_tensors
        heads = query.shape[1]
        count(sdpa_backward_flop_count(gradient.shape, query.shape, repeated(key, heads), repeated(value, heads)))
        summed = [part.new_empty(part.shape, dtype=torch.float32) for part in (query, key, value) if part.dtype in HALF]
        gradients = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
        del summed
        return *gradients, None
