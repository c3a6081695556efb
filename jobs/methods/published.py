"""What PEFT published: its own comparison of methods, on one model, one task, one GPU (assets/make_published.py wrote the file)."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("published.json")


@dataclass(frozen=True)
class PublishedRow:
    """One configuration of the comparison. Sizes in bytes."""

    configuration: str  # as PEFT calls it
    method: str         # its name in the catalogue
    settings: dict[str, Any]
    optimizer: str
    learning_rate: float
    accuracy: float
    memory_bytes: int   # the most that was reserved on the GPU
    seconds: float
    checkpoint_bytes: int
    trainable_parameters: int
    forgetting: float   # by how much the loss on texts of Wikipedia grew


@cache
def _read() -> dict:
    return json.loads(FILE.read_text("utf-8"))


def source() -> dict[str, Any]:
    """Where the figures come from, their licence, and what all rows have in common."""
    return _read()["source"]


@cache
def published_rows() -> tuple[PublishedRow, ...]:
    return tuple(PublishedRow(**row) for row in _read()["rows"])


def published(method: str) -> list[PublishedRow]:
    """The rows of a method, the most accurate first; none for one that was not compared."""
    return sorted((row for row in published_rows() if row.method == method), key=lambda row: -row.accuracy)


def configuration(name: str) -> PublishedRow:
    """The row of that name; KeyError where there is none."""
    return {row.configuration: row for row in published_rows()}[name]
