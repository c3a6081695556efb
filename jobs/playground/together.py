"""The base model and LoRA adapters on it answer in one batch: the large products are made once for all rows, and each row gets
the small ones of its own adapter added."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch.nn.utils.rnn import pad_sequence
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel

PREFIX = "base_model.model."  # of a layer's name in a PEFT model
LAYERS = ("Linear", "Linear4bit", "Linear8bitLt")  # PEFT's LoRA layers that add B(A(x)) to what the base's layer gives
CHOOSING = ("temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff", "renormalize_logits")


@dataclass(frozen=True)
class Part:
    """What a LoRA adapter adds to one layer: up(down(x)) * scaling. The tensors are the adapter's own."""

    down: torch.Tensor
    up: torch.Tensor
    scaling: float


Parts = dict[str, Part]  # by the layer's name in the base model; the base model itself has none


def parts_of(model: PreTrainedModel | PeftModel, own: Sequence[torch.Tensor]) -> Parts | None:
    """The parts of a LoRA adapter; None where it changes more than that: another method, DoRA, biases, embeddings, a head, …

    `own` are all tensors of the model that are not the base's.
    """
    if not isinstance(model, PeftModel) or getattr(model.peft_type, "value", model.peft_type) != "LORA":
        return None
    parts: Parts = {}
    for name, layer in model.named_modules():
        if not isinstance(layer, LoraLayer):
            continue
        if list(layer.lora_A) != [model.active_adapter] or layer.lora_variant or type(layer).__name__ not in LAYERS:
            return None
        down, up = layer.lora_A[model.active_adapter], layer.lora_B[model.active_adapter]
        if type(down) is not torch.nn.Linear or type(up) is not torch.nn.Linear:
            return None
        parts[name.removeprefix(PREFIX)] = Part(down.weight, up.weight, layer.scaling[model.active_adapter])
    known = {id(tensor) for part in parts.values() for tensor in (part.down, part.up)}
    return parts if known == {id(tensor) for tensor in own} else None


@contextmanager
def each_row_its_own(model: PreTrainedModel, rows: Sequence[Parts]) -> Iterator[None]:
    """Within it, every row of a batch gets its adapter's parts added."""
    own = {(name, part.down.dtype) for parts in rows for name, part in parts.items()}
    layers = [(model.get_submodule(name), [parts.get(name) for parts in rows], dtype) for name, dtype in own]
    alone = [(layer, layer.forward) for layer, _, _ in layers]
    for layer, parts, dtype in layers:
        layer.forward = _adding(layer.forward, parts, dtype)  # with a hook, every call would go the long way through torch
    try:
        yield
    finally:
        for layer, forward in alone:
            layer.forward = forward


def _adding(forward, rows: list[Part | None], dtype: torch.dtype):
    """A forward that adds the parts of that dtype, all rows at once; ranks are filled up with zeros to the largest."""
    wanted = [part if part and part.down.dtype == dtype else None for part in rows]
    some = next(part for part in wanted if part)
    down = pad_sequence([part.down if part else some.down[:0] for part in wanted], batch_first=True).transpose(1, 2)
    up = pad_sequence([part.up.T * part.scaling if part else some.up.T[:0] for part in wanted], batch_first=True)

    def with_parts(given):
        output = forward(given)
        small = torch.bmm(given if given.dtype == dtype else given.to(dtype), down)
        return output.baddbmm_(small, up) if output.dtype == dtype else output.add_(torch.bmm(small, up))
    return with_parts


class EachRowDraws(LogitsProcessor):
    """Draws the next token of every row with random numbers of its own, as generate would draw it for the row alone."""

    def __init__(self, model: PreTrainedModel, arguments: dict, seed: int, rows: int, device: torch.device):
        self.narrow = choosing_processors(model, arguments)
        self.numbers = [torch.Generator(device).manual_seed(seed) for _ in range(rows)]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores that leave nothing but the drawn token, for a generate that takes the best one."""
        shares = torch.softmax(self.narrow(input_ids, scores), dim=-1)
        drawn = torch.cat([torch.multinomial(shares[row:row + 1], 1, generator=numbers)
                           for row, numbers in enumerate(self.numbers)])
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0)


def choosing_processors(model: PreTrainedModel, arguments: dict) -> LogitsProcessorList:
    """What narrows the choice before a draw (temperature, top k, top p, …), as generate makes it of its arguments."""
    whole, _ = model._prepare_generation_config(None, **arguments)
    return model._get_logits_processor(GenerationConfig(
        do_sample=True, num_beams=1, **{name: getattr(whole, name) for name in CHOOSING if hasattr(whole, name)}), 1)


def reads_the_padding(model: PreTrainedModel) -> bool:
    """Whether the padding before a shorter prompt would change its answer, so that only prompts of one length share a batch."""
    config, _ = model._prepare_generation_config(None, do_sample=False)
    # those that look at the tokens so far, such as a penalty for repetition
    return bool(model._get_logits_processor(config, 1)) or getattr(model, "_is_stateful", False)
