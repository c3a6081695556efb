"""How wide the batches of a text model are. Without torch, so that a forecast can ask."""

STEP = 16  # tokens


def step_of(device: str, precision: str) -> int:
    """Of what number of tokens the width of a batch is a multiple.

    A processor with instructions for bf16 has its products prepared for each new shape (by oneDNN): with few widths the shapes are
    soon all known. 400 rows of gsm8k in batches of 8 have 16 widths instead of 45, with 5 % more padding.
    """
    return STEP if device == "cpu" and precision == "bf16" else 1


def padded(longest: int, step: int, most: int) -> int:
    """The width of a batch whose longest row has so many tokens; rows are cut at `most`."""
    return max(longest, min(most, -(-longest // step) * step))
