"""Which number format a run computes in and holds its weights in, by what the device can do; in words for the page too."""

import contextlib
from dataclasses import dataclass

from jobs.devices import DeviceFacts
from jobs.machine import facts_of
from jobs.methods.full import FULL
from jobs.models.inspect import width_of
from jobs.models.model_files import read_config
from jobs.recipe import Recipe
from jobs.services import Services
from storage.problems import StudioError

HALF = ("bf16", "fp16")
WIDE = 384  # numbers for a token between layers, from which on a processor is taken to be quicker with bf16 until it was measured


@dataclass(frozen=True)
class Numbers:
    """`precision` is computed in, the base model's weights are held in `base_precision`; `why` follows the precision's name."""

    precision: str
    base_precision: str
    why: str

    def sentence(self) -> str:
        held = "" if self.base_precision == self.precision else f" The base model's weights are held in {self.base_precision}."
        return f"Precision {self.precision}: {self.why}.{held}"


def precision_choice(wanted: str, facts: DeviceFacts, width: int = 0) -> tuple[str, str]:
    """What to compute in, and why. What the device cannot do gives way to what it can.

    `width` is the base model's hidden size, 0 where it is not known. From which width on a processor is quicker with bf16 is
    measured once (jobs.training.number_formats): at 384 an EPYC with AVX512-BF16 took 0.53 times as long as with fp32. Steps of
    whole trainings on a Xeon with AMX took 0.7 times as long at 384, and 1.06 times at 256.
    """
    if facts.kind == "cpu":
        if wanted == "fp16":
            return "fp32", "fp16 was chosen, and it needs a GPU"
        if wanted == "bf16":
            return "bf16", "as chosen" if facts.bf16 is not False else "as chosen; this CPU only imitates it, which is slow"
        if wanted == "auto" and facts.bf16 and is_wide(width, facts):
            return "bf16", "this CPU has instructions for it, and the base model is wide enough to be faster with them"
        return "fp32", "as chosen" if wanted == "fp32" else "exact, and a CPU is seldom faster with less"
    if wanted == "bf16" and facts.bf16 is False:
        return "fp16", "bf16 was chosen, and this GPU has none"
    if wanted != "auto":
        return wanted, "as chosen"
    if facts.bf16 is None:
        return "bf16", "if the GPU has it, else fp16"
    return ("bf16", "this GPU has it") if facts.bf16 else ("fp16", "this GPU has no bf16")


def is_wide(width: int, facts: DeviceFacts) -> bool:
    """Whether a base model of that width trains quicker in bf16 on a processor that has it."""
    return facts.bf16_from != 0 and width >= (facts.bf16_from or WIDE)


def numbers_of(recipe: Recipe, facts: DeviceFacts, width: int = 0) -> Numbers:
    """The number formats of a run on a device; `width` is the base model's hidden size, where it is known."""
    training = recipe.training
    wanted = training.base_precision if training.precision == "auto" and training.base_precision in HALF else training.precision
    if facts.kind == "cpu" and recipe.quantization != "none":
        width = 0  # bitsandbytes computes in what the weights are held in
    precision, why = precision_choice(wanted, facts, width)
    return Numbers(precision, _held(recipe, precision, facts), why)


def as_begun(numbers: Numbers, environment: dict, device_name: str, facts: DeviceFacts) -> Numbers:
    """The formats of a run's earlier attempts, where it goes on with the same device: other sums would end otherwise.

    `environment` is what the run keeps of its earlier attempts, empty before the first and without `base_precision` where an older
    studio wrote it. What a processor of as many cores has no instructions for is not gone on with.
    """
    if environment.get("device_name") != device_name or "base_precision" not in environment:
        return numbers
    if environment["precision"] == "bf16" and facts.bf16 is False:
        return numbers
    return Numbers(environment["precision"], environment["base_precision"], environment["precision_why"])


def _held(recipe: Recipe, precision: str, facts: DeviceFacts) -> str:
    wanted, whole = recipe.training.base_precision, recipe.method == FULL
    if whole and precision == "fp16":
        return "fp32"  # gradients of fp16 weights cannot be scaled, and vanish
    if wanted == "auto" or recipe.quantization != "none":
        by_itself = facts.kind == "cuda" or wanted == recipe.training.precision == "auto"
        return precision if by_itself and not whole else "fp32"
    return "fp32" if wanted == "fp32" else precision


def precision_problems(recipe: Recipe) -> list[str]:
    """What does not go together, before any device is known."""
    wanted, held = recipe.training.precision, recipe.training.base_precision
    if held == "auto":
        return []
    if recipe.quantization != "none":
        return [f"training.base_precision is {held}, and the base model is held in {recipe.quantization}. Leave it at auto."]
    if held == "fp16" and recipe.method == FULL:
        return ["training.base_precision is fp16, and weights in fp16 cannot be trained. Choose bf16, or leave it at auto."]
    if held in HALF and wanted not in ("auto", held):
        return [f"training.base_precision is {held}, and training.precision is {wanted}. Weights in {held} are computed with in "
                f"{held}: set training.precision to {held} or auto."]
    return []


def precision_words(services: Services, recipe: Recipe, device: str = "") -> str:
    """What the run will compute in and why, a sentence for each kind of device that it may get."""
    width = 0
    with contextlib.suppress(StudioError):  # what is wrong with it is said where it is chosen
        width = width_of(read_config(services.shelf.resolve(recipe.base_model).path))
    return " ".join(dict.fromkeys(numbers_of(recipe, facts, width).sentence() for facts in facts_of(services, device)))
