"""What a person should know about a method, beside what PEFT itself says: one `Notes` for each PEFT type."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Family = Literal["low-rank", "shared", "product", "orthogonal", "spectral", "scaling", "selective", "prompt", "mixture", "side",
                 "other"]
FAMILIES: tuple[str, ...] = get_args(Family)


@dataclass(frozen=True)
class Notes:
    """Words and sensible defaults for one type. Settings go by the names of the fields of its PEFT config.

    `defaults` replaces PEFT's own defaults where they do not serve most people. `limits` has pydantic's ge, gt, le, lt or
    `choices` for a setting. `settings` gives a title and a help sentence; one without takes those that many methods share
    (jobs/methods/common.py), or PEFT's own. `only_with` says with which values of another setting a setting does anything; the form
    hides it with any other. `left_out` are settings that a form cannot give or the studio fills in itself.
    """

    title: str
    family: Family
    summary: str
    choose_when: str
    avoid_when: str
    paper: str = ""
    learning_rate: float = 1e-3
    shown: tuple[str, ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, dict[str, Any]] = field(default_factory=dict)
    settings: dict[str, tuple[str, str]] = field(default_factory=dict)
    only_with: dict[str, tuple[str, tuple]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
