"""Packing: several short examples in one row of tokens, without one seeing another.

The examples of a row begin again at position 0, and the model gets no attention mask: from the positions transformers builds one in
which each example sees itself only (masking_utils.find_packed_sequence_indices), for every family whose masks it makes. Whether a
base model really keeps them apart is tried on it before it is trained.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import torch
from datasets import Dataset

from jobs.preparing.problems import PackingRefused

ROWS_AT_ONCE = 256
TRIED_TOKENS = (5, 9, 6)  # of the examples that a model is tried with
EXACT, ROUGH = 1e-4, 2e-2  # of the largest logit: what rounding may do in 32 bits, and where there are fewer
SCHEMA = pa.schema([("input_ids", pa.list_(pa.int32())), ("trained", pa.list_(pa.int32())), ("parts", pa.list_(pa.int32())),
                    ("length", pa.int32())])


def plan(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Which examples go into which row: the longest first, each into the first row with room for it. Always the same.

    `lengths` are at most `room` tokens; the numbers in a row are in their order.
    """
    order = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    most = 1  # a power of two of rows; a tree over them knows the largest room below each of its nodes
    while most < max(1, len(lengths)):
        most *= 2
    free = [room] * (2 * most)
    rows: list[list[int]] = []
    for number in order:
        length, node = lengths[number], 1
        while node < most:
            node *= 2
            if free[node] < length:
                node += 1
        if node - most == len(rows):
            rows.append([])
        rows[node - most].append(number)
        free[node] -= length
        while node > 1:
            node //= 2
            free[node] = max(free[2 * node], free[2 * node + 1])
    return [sorted(row) for row in rows]


def pack(examples: Dataset, room: int, target: Path) -> list[int]:
    """Write packed rows: `input_ids`, `trained` as in the examples, `parts` (the length of each), `length`. Returns the lengths."""
    lengths = column(examples, "length")
    rows = plan(lengths, room)
    with pa.ipc.new_stream(str(target), SCHEMA) as writer:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            packed = [_joined(examples[row]) for row in rows[start:start + ROWS_AT_ONCE]]
            writer.write_batch(pa.RecordBatch.from_pylist(packed, SCHEMA))
    return [sum(lengths[number] for number in row) for row in rows]


def column(rows: Dataset, name: str) -> list:
    """A column of numbers as a plain list, in one reading."""
    return rows.data.column(name).to_pylist()


def _joined(examples: dict[str, list]) -> dict[str, list]:
    ids: list[int] = []
    trained: list[int] = []
    for example_ids, ranges in zip(examples["input_ids"], examples["trained"], strict=True):
        trained += [place + len(ids) for place in ranges]
        ids += example_ids
    return {"input_ids": ids, "trained": trained, "parts": [len(part) for part in examples["input_ids"]], "length": len(ids)}


def positions(parts: Sequence[int], width: int) -> list[int]:
    """The position of each token of a packed row; what fills it up to `width` stands at 0, each for itself."""
    found = [position for length in parts for position in range(length)]
    return found + [0] * (width - len(found))


def real_tokens(batch: dict[str, torch.Tensor]) -> int:
    """How many tokens of a batch are no padding."""
    if "attention_mask" in batch:
        return int(batch["attention_mask"].sum())
    if "position_ids" in batch:  # packed: each example, of two tokens or more, has one token at position 1
        return int((batch["position_ids"] > 0).sum() + (batch["position_ids"] == 1).sum())
    return batch["input_ids"].numel()


@torch.inference_mode()
def check_apart(model, vocabulary: int, int8: bool = False) -> None:
    """Raise PackingRefused where examples in one row of this model see each other, or stand at other positions than alone.

    `int8`: its weights are held so, and then other tokens of the row change how a number is rounded.
    """
    was_training = model.training
    model.eval()
    try:
        numbers = torch.Generator().manual_seed(0)
        one, two, three = (torch.randint(vocabulary, (length,), generator=numbers) for length in TRIED_TOKENS)
        other = (one + 1) % vocabulary
        packed = _logits(model, torch.cat([one, two, three]), TRIED_TOKENS)[TRIED_TOKENS[0]:]
        beside_other = _logits(model, torch.cat([other, two, three]), TRIED_TOKENS)[TRIED_TOKENS[0]:]
        alone = torch.cat([_logits(model, part, (len(part),)) for part in (two, three)])
        seen, moved = _difference(packed, beside_other), _difference(packed, alone)
    finally:
        model.train(was_training)
    if seen > (ROUGH if int8 else EXACT) or moved > (EXACT if packed.dtype == torch.float32 and not int8 else ROUGH):
        raise PackingRefused("Packing does not go with this base model: an example changes what the model makes of another one in "
                             f"its row (by {max(seen, moved):.1e} of its outputs). Switch training.packing off.")


def _logits(model, ids: torch.Tensor, parts: Sequence[int]) -> torch.Tensor:
    place = torch.tensor([positions(parts, len(ids))], device=model.device)
    return model(input_ids=ids[None].to(model.device), position_ids=place, use_cache=False).logits[0]


def _difference(some: torch.Tensor, others: torch.Tensor) -> float:
    return float((some - others).abs().max() / some.abs().max().clamp(min=1e-6))

