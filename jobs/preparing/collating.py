"""Rows of tokens become a batch, with labels for what is trained only; and whether a batch is what the base model takes."""

from collections.abc import Sequence

import torch
from transformers import AutoConfig

from jobs.preparing.packing import positions
from jobs.preparing.problems import BatchInvalid
from jobs.preparing.widths import padded

IGNORED = -100  # a label that the loss leaves out


class TextCollator:
    """A batch of `input_ids` and `labels`, padded on the right, with an `attention_mask`, or `position_ids` for packed rows.

    It is as wide as its longest row, or the next multiple of `step` that is not above `most`.
    """

    def __init__(self, padding: int, step: int = 1, most: int = 0):
        self.padding, self.step, self.most = padding, step, most

    def __call__(self, rows: Sequence[dict]) -> dict[str, torch.Tensor]:
        width = padded(max(len(row["input_ids"]) for row in rows), self.step, self.most)
        batch = {"input_ids": torch.tensor([row["input_ids"] + [self.padding] * (width - len(row["input_ids"])) for row in rows]),
                 "labels": torch.tensor([labels_of(row, width) for row in rows])}
        if "parts" in rows[0]:
            batch["position_ids"] = torch.tensor([positions(row["parts"], width) for row in rows])
        else:
            batch["attention_mask"] = torch.tensor(
                [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows])
        return batch


def labels_of(row: dict, width: int) -> list[int]:
    """The ids of a row where it is trained, IGNORED elsewhere; an example's first token is not foretold by the one before it."""
    ids, labels = row["input_ids"], [IGNORED] * width
    for first, end in zip(row["trained"][::2], row["trained"][1::2], strict=True):
        labels[first:end] = ids[first:end]
    place = 0
    for length in row.get("parts", ()):
        labels[place] = IGNORED
        place += length
    return labels


def check_batch(batch: dict[str, torch.Tensor], context_length: int | None) -> None:
    """Raise BatchInvalid where a batch's shapes do not fit, it has no token to train on, or a row is too long for the model."""
    for name, ids in batch.items():
        if not name.endswith("input_ids"):
            continue
        if ids.ndim != 2 or not ids.numel():
            raise BatchInvalid(f"The first batch has {name} of the shape {tuple(ids.shape)}, not rows of tokens. {REPORT_IT}")
        mask = batch.get(name.replace("input_ids", "attention_mask"))
        if mask is not None and mask.shape != ids.shape:
            raise BatchInvalid(f"The first batch has {name} of the shape {tuple(ids.shape)} and a mask of the shape "
                               f"{tuple(mask.shape)}. {REPORT_IT}")
        if mask is not None and not mask.any(dim=1).all():
            raise BatchInvalid("The first batch has a row without a token. Take empty rows out of the data.")
        if context_length and ids.shape[1] > context_length:
            raise BatchInvalid(f"A row of the first batch has {ids.shape[1]:,} tokens, and the base model takes "
                               f"{context_length:,}. Lower training.max_length to {context_length:,}.")
    labels = batch.get("labels")
    if labels is not None and labels.ndim == 2 and not (labels[:, 1:] != IGNORED).any():
        raise BatchInvalid("The first batch has no token to train on. Raise training.max_length, or look at the rendered rows.")


def check_ids(largest: int, base_path) -> None:
    """Raise BatchInvalid where a tokenizer makes ids that the base model has no embedding for."""
    config = AutoConfig.from_pretrained(base_path, local_files_only=True, trust_remote_code=False).get_text_config()
    vocabulary = getattr(config, "vocab_size", None)
    if vocabulary and largest >= vocabulary:
        raise BatchInvalid(f"The tokenizer makes the token {largest:,} of this data, and the base model knows {vocabulary:,} "
                           f"tokens (0 to {vocabulary - 1:,}): they do not belong together. Use the model's own tokenizer.")


REPORT_IT = "That is a mistake of the studio; please report it with this sentence."
