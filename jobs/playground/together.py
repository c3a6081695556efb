"""The base model and LoRA adapters on it answer in one batch: the large products are made once for all rows, and each row gets
the small ones of its own adapter added."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch.nn.functional import linear
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
    alone = []
    for name, dtype in own:
        parent, _, place = name.rpartition(".")
        parent, layer = model.get_submodule(parent), model.get_submodule(name)
        plain = type(layer) is torch.nn.Linear and layer.weight.dtype == dtype and "forward" not in vars(layer)
        adding = (_AddingToPlain if plain else _Adding)(layer, [parts.get(name) for parts in rows], dtype)
        alone.append((parent, place, layer))
        parent._modules[place] = vars(parent)[place] = adding
    try:
        yield
    finally:
        for parent, place, layer in reversed(alone):
            parent._modules[place] = layer
            vars(parent).pop(place, None)


class _Adding:
    """Stands in a layer's place and adds the parts of that dtype, all rows at once; ranks are filled up with zeros to the largest.

    Not a forward of the layer's own: torch's way from a module to that of one within takes a small model longer than the products.
    """

    __slots__ = "layer", "dtype", "down", "up", "weight", "bias"

    def __init__(self, layer: torch.nn.Module, rows: list[Part | None], dtype: torch.dtype):
        self.layer, self.dtype, self.weight, self.bias = layer, dtype, layer.weight, layer.bias
        wanted = [part if part and part.down.dtype == dtype else None for part in rows]
        some = next(part for part in wanted if part)
        self.down = pad_sequence([part.down if part else some.down[:0] for part in wanted], batch_first=True).transpose(1, 2)
        self.up = pad_sequence([part.up.T * part.scaling if part else some.up.T[:0] for part in wanted], batch_first=True)

    def __call__(self, given: torch.Tensor) -> torch.Tensor:
        output = self.layer(given)
        small = torch.bmm(given if given.dtype == self.dtype else given.to(self.dtype), self.down)
        return output.baddbmm_(small, self.up) if output.dtype == self.dtype else output.add_(torch.bmm(small, self.up))

    def __getattr__(self, name: str):
        return getattr(self.layer, name)


class _AddingToPlain(_Adding):
    """Where all is of one dtype, and the layer's product is torch's own."""

    __slots__ = ()

    def __call__(self, given: torch.Tensor) -> torch.Tensor:
        return linear(given, self.weight, self.bias).baddbmm_(torch.bmm(given, self.down), self.up)


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
