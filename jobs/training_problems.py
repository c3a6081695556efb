"""Training settings that do not go together, or not with the task, the data and the method; said before a run is accepted."""

from jobs.methods.base import TrainingMethod
from jobs.methods.full import FULL
from jobs.models.inspect import BaseModelFacts
from jobs.precision import precision_problems
from jobs.recipe import Recipe

PREFERENCES = ("preference", "binary-preference")
BYTES_OF_A_WEIGHT = 4  # as full fine-tuning saves it


def training_problems(recipe: Recipe, method: TrainingMethod, format: str) -> list[str]:
    """`format` as in jobs.recipe.DataFormat; auto where the data could not be read."""
    return [*precision_problems(recipe), *_smoothing(recipe, method, format), *_noise(recipe, format)]


def _smoothing(recipe: Recipe, method: TrainingMethod, format: str) -> list[str]:
    share = recipe.training.label_smoothing
    if not share:
        return []
    if recipe.task == "sentence-similarity" or format in (*PREFERENCES, "regression"):
        why = f"{recipe.task} with data in the format {format} has no labels to smooth"
    elif method.is_prompt and recipe.task != "token-classification":
        why = f"the trainer cannot smooth the labels of {method.title}, whose learned vectors stand before the row"
    else:
        return []
    return [f"training.label_smoothing is {share:g}, and {why}. Set it to 0."]


def _noise(recipe: Recipe, format: str) -> list[str]:
    alpha = recipe.training.neftune_noise_alpha
    if not alpha or format not in PREFERENCES:
        return []
    return [f"training.neftune_noise_alpha is {alpha:g}, and learning from preferences compares with a reference that would get "
            "other noise. Set it to 0."]


def disk_needed(recipe: Recipe, facts: BaseModelFacts) -> int:
    """Bytes that must be free: as many as the base model has, or a whole model for each checkpoint, the library and the zip."""
    if recipe.method == FULL:
        return BYTES_OF_A_WEIGHT * facts.parameters * (recipe.training.keep_checkpoints + 2)
    return facts.bytes_on_disk
