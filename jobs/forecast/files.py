"""How large the file of an adapter's weights will be, to the byte."""

import json
import re
from dataclasses import dataclass, replace
from math import prod

from jobs.forecast.stacks import Repetition

NAMES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16", "int64": "I64", "int32": "I32", "uint8": "U8", "int8": "I8",
         "bool": "BOOL", "float64": "F64", "complex64": "C64", "int16": "I16"}  # as safetensors calls them
WIDTHS = {"F32": 4, "BF16": 2, "F16": 2, "I64": 8, "I32": 4, "U8": 1, "I8": 1, "BOOL": 1, "F64": 8, "C64": 8, "I16": 2}
ORDER = ("BOOL", "U8", "I8", "I16", "F16", "BF16", "I32", "F32", "C64", "F64", "I64")  # the last ones come first in a file
METADATA = {"format": "pt"}


@dataclass(frozen=True)
class Stored:
    """A tensor of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return WIDTHS[self.dtype] * prod(self.shape)


def stored_tensors(model) -> list[Stored]:
    """What PEFT writes for an adapter, or transformers for a whole model."""
    if hasattr(model, "peft_config"):
        from peft import get_peft_model_state_dict

        state = get_peft_model_state_dict(model)
    else:
        seen: set[int] = set()  # a weight in two places is written once
        state = {name: weight for name, weight in model.state_dict(keep_vars=True).items()
                 if id(weight) not in seen and not seen.add(id(weight))}
    return [Stored(name, NAMES[str(tensor.dtype).removeprefix("torch.")], tuple(tensor.shape)) for name, tensor in state.items()]


def outside(tensors: list[Stored], stacks: list[str]) -> set[str]:
    """Names of the tensors that belong to no layer of the stacks."""
    return {tensor.name for tensor in tensors if not any(f"{name}." in tensor.name for name in stacks)}


def extended(low: list[Stored], high: list[Stored], stacks: list[str], repetition: Repetition) -> list[Stored]:
    """The tensors at full depth: those of the short model, and those of each layer more."""
    numbered = re.compile("|".join(rf"(?<={re.escape(name)}\.)\d+(?=\.)" for name in stacks) or r"(?!)")
    sizes = {tensor.name: tensor.shape for tensor in high}
    depth = repetition.short[0]
    found = []
    for tensor in low:
        within = numbered.search(tensor.name)
        shape = sizes.get(tensor.name, tensor.shape)  # a learned prompt grows with the layers
        shape = tuple(round(repetition.extended(*pair)) for pair in zip(tensor.shape, shape, strict=True))
        found.append(replace(tensor, shape=shape))
        if within and int(within[0]) >= depth - repetition.period:
            for number in range(int(within[0]) + repetition.period, repetition.layers, repetition.period):
                found.append(replace(tensor, name=f"{tensor.name[:within.start()]}{number}{tensor.name[within.end():]}"))
    return found


def file_bytes(tensors: list[Stored]) -> int:
    """Of a safetensors file: 8 bytes, a header in JSON filled up to a multiple of 8, the numbers."""
    header, place = {"__metadata__": METADATA}, 0
    for tensor in sorted(tensors, key=lambda tensor: (-ORDER.index(tensor.dtype), tensor.name)):
        offsets = [place, place := place + tensor.bytes]
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": offsets}
    return 8 + -(-len(json.dumps(header, separators=(",", ":"))) // 8) * 8 + place
