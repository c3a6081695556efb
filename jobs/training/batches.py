"""Rows of tokens become tensors."""

from collections.abc import Sequence

import torch

IGNORED = -100  # a label that the loss leaves out


def padded(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    """Rows of one width, filled up on the right."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def texts(rows: Sequence[Sequence[int]], padding: int) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask` of some texts."""
    return {"input_ids": padded(rows, padding), "attention_mask": padded([[1] * len(row) for row in rows], 0)}
