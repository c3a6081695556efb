"""Which rows are kept back to measure with."""

import random
from collections import defaultdict
from collections.abc import Sequence

from jobs.data.problems import ValidationInvalid


def split(
    examples: Sequence, validation: float | int | str | None, seed: int, labels: Sequence | None = None
) -> tuple[list, list]:
    """Split into training and validation examples, both in their first order; the same seed gives the same split.

    `validation` is a share (0 < float < 1), a count (int), or "none", None or 0. With `labels` (one for each example),
    every label keeps its share in both parts, and at least one row to train on. Raises ValidationInvalid.
    """
    wanted = validation_count(len(examples), validation)
    if wanted == 0:
        return list(examples), []
    groups = defaultdict(list)
    for index in range(len(examples)):
        groups[labels[index] if labels is not None else None].append(index)
    chance = random.Random(seed)
    held_out = set()
    for indexes, count in zip(
        groups.values(), _shares(wanted, validation, [len(group) for group in groups.values()]), strict=True
    ):
        held_out.update(chance.sample(indexes, count))
    train = [example for index, example in enumerate(examples) if index not in held_out]
    return train, [examples[index] for index in sorted(held_out)]


def validation_count(rows: int, validation: float | int | str | None) -> int:
    """How many of the rows a validation setting asks for. Raises ValidationInvalid."""
    if validation in (None, "none", 0) and not isinstance(validation, bool):
        return 0
    if isinstance(validation, bool) or not isinstance(validation, (int, float)):
        raise ValidationInvalid(f"Validation is '{validation}'. Give a share such as 0.1, a count of rows, or none.")
    if validation < 0 or (isinstance(validation, float) and not 0 < validation < 1):
        raise ValidationInvalid(
            f"Validation is {validation}. A share lies between 0 and 1; a count of rows is a whole number."
        )
    if rows < 2:
        raise ValidationInvalid(
            "The dataset has one row only, so none can be kept for validation. Add rows, or choose none."
        )
    if isinstance(validation, float):
        return min(max(1, round(rows * validation)), rows - 1)
    if validation >= rows:
        raise ValidationInvalid(
            f"Validation asks for {validation:,} rows, but the dataset has {rows:,}. "
            f"Choose at most {rows - 1:,}, or a share such as 0.1."
        )
    return validation


def _shares(wanted: int, validation: float | int, sizes: list[int]) -> list[int]:
    """How many to take from each group: in proportion, by largest remainder, and never a group's last row."""
    most = sum(size - 1 for size in sizes)
    if most == 0:
        raise ValidationInvalid(
            "Every label has one row only, so none can be kept for validation. Add rows, or choose none."
        )
    if wanted > most:
        if isinstance(validation, int):
            raise ValidationInvalid(
                f"Validation asks for {wanted:,} rows, but then some labels would have no row left to train on. "
                f"Choose at most {most:,}, or a share such as 0.1."
            )
        wanted = most
    exact = [wanted * size / sum(sizes) for size in sizes]
    counts = [min(int(share), size - 1) for share, size in zip(exact, sizes, strict=True)]
    while (missing := wanted - sum(counts)) > 0:
        open_groups = [index for index, size in enumerate(sizes) if counts[index] < size - 1]
        open_groups.sort(key=lambda index: counts[index] - exact[index])
        for index in open_groups[:missing]:
            counts[index] += 1
    return counts
