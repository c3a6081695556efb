"""The notes about every PEFT type that the studio knows more of than PEFT itself says."""

from jobs.methods.notes import low_rank, prompts, scaling, shared, weights
from jobs.methods.notes.base import FAMILIES, Notes

NOTES: dict[str, Notes] = {**low_rank.NOTES, **scaling.NOTES, **shared.NOTES, **weights.NOTES, **prompts.NOTES}

__all__ = ["FAMILIES", "NOTES", "Notes"]
