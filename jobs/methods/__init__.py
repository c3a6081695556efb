"""The catalogue of methods: every type that the installed PEFT registers, with the studio's notes about it.

A new type of a newer PEFT is an entry by itself; notes about it (jobs/methods/notes) make it a better one.
"""

import difflib

from jobs.methods.base import MethodSettings, TrainingMethod
from jobs.methods.catalogue import METHODS
from storage.problems import RecipeInvalid


def find_method(name: str) -> TrainingMethod:
    """The catalogue's entry of that name; raises RecipeInvalid with the names there are."""
    if name not in METHODS:
        close = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"Did you mean '{close[0]}'?" if close else f"The methods are {', '.join(METHODS)}."
        raise RecipeInvalid([f"method is '{name}', which is not in the catalogue. {hint}"])
    return METHODS[name]


def describe(method: TrainingMethod) -> dict:
    """The entry as `methods --json` prints it."""
    from jobs.methods.tried import ABILITIES

    return {
        "name": method.name, "title": method.title, "family": method.family, "peft_type": method.peft_type,
        "summary": method.summary, "choose_when": method.choose_when, "avoid_when": method.avoid_when, "paper": method.paper,
        "learning_rate": method.learning_rate, "settings": method.settings.model_json_schema().get("properties", {}),
        "capabilities": {**{ability: method.can(ability) for ability in ABILITIES}, "tasks": list(method.tasks),
                         "quantizations": list(method.quantizations),
                         "reasons": {ability: why for ability, why in method.tried.items() if why}},
        "variants": method.special.describe_variants(),
    }


__all__ = ["METHODS", "MethodSettings", "TrainingMethod", "describe", "find_method"]
