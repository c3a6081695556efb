"""The catalogue of methods. A new method is one module here and one name in this list."""

import difflib

from jobs.methods import ia3, lora, prompt_tuning, qlora
from jobs.methods.base import MethodSettings, TrainingMethod
from storage.problems import RecipeInvalid

METHODS: dict[str, TrainingMethod] = {
    method.name: method for method in (lora.METHOD, qlora.METHOD, ia3.METHOD, prompt_tuning.METHOD)}


def find_method(name: str) -> TrainingMethod:
    """The catalogue's entry of that name; raises RecipeInvalid with the names there are."""
    if name not in METHODS:
        close = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"Did you mean '{close[0]}'?" if close else f"The methods are {', '.join(METHODS)}."
        raise RecipeInvalid([f"method is '{name}', which is not in the catalogue. {hint}"])
    return METHODS[name]


def describe(method: TrainingMethod) -> dict:
    """The entry as `methods --json` prints it."""
    return {
        "name": method.name, "title": method.title, "family": method.family, "peft_type": method.peft_type,
        "summary": method.summary, "choose_when": method.choose_when, "learning_rate": method.learning_rate,
        "settings": method.settings.model_json_schema().get("properties", {}),
        "capabilities": {**method.capabilities, "tasks": list(method.tasks), "quantizations": list(method.quantizations)},
    }


__all__ = ["METHODS", "MethodSettings", "TrainingMethod", "describe", "find_method"]
