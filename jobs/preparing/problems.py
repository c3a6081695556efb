"""What can be wrong between the examples and the model."""

from jobs.methods.base import TrainingMethod
from storage.problems import BaseModelRefused, DataInvalid, TrainingStopped

# methods whose learnt vectors stand before a row, so that of several examples in it only the first one has them
BEFORE_THE_ROW = ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "MULTITASK_PROMPT_TUNING", "CPT", "CARTRIDGE")


class NoOffsets(BaseModelRefused):
    """A tokenizer that does not say which characters a token stands for."""

    kind = "user_config"

    def __init__(self, name: str):
        super().__init__(f"The tokenizer of this base model ({name}) does not tell where its tokens stand in a text, so answers "
                         "cannot be told from the rest. Choose a base model with a tokenizer.json.")


class TemplateInvalid(DataInvalid):
    """A chat template that cannot be used, and the line that is wrong, where that is known."""

    def __init__(self, problem: str, line: int | None = None):
        self.line = line
        where = f", line {line}" if line else ""
        super().__init__(f"The chat template{where}: {problem}")


class NothingToTrain(TrainingStopped):
    """Too many rows would train on nothing."""

    kind = "data_invalid"


class BatchInvalid(TrainingStopped):
    """The first batch is not what the base model takes."""

    kind = "data_invalid"


class PackingRefused(TrainingStopped):
    """Examples that could not be kept apart in one row."""


def packing_problem(method: TrainingMethod, format: str) -> str:
    """Why rows of a data format cannot be packed for a method without an example seeing another, or ""."""
    if format in ("preference", "binary-preference"):
        return "training.packing is on, and answers that are compared with each other cannot be packed. Switch it off."
    if method.peft_type not in BEFORE_THE_ROW:
        return ""
    return (f"training.packing is on, and {method.title} learns what stands before a row: of several examples in one row only the "
            "first would have it. Switch it off, or choose another method.")
