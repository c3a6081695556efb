"""A recipe's main settings in the words of the form."""

from typing import Any

from pydantic import BaseModel

from jobs import units
from jobs.methods import METHODS
from jobs.recipe import Recipe, TrainingSettings
from studio.field_values import CHOICE, TEXT, code, default_of, is_asked, is_shown, kind_of, to_form
from studio.text import ENGLISH, choice_key, setting_key


def main_settings(recipe: dict) -> list[tuple[str, str]]:
    """Titles and values of the settings that the form shows, and of those that are not as they are by default."""
    told = []
    if method := METHODS.get(recipe.get("method", "")):
        told += _told(method.settings, recipe.get("method_settings") or {}, recipe)
    told += _told(TrainingSettings, recipe.get("training") or {}, recipe)
    return told + _told(Recipe, {name: recipe[name] for name in ("quantization", "seed") if name in recipe}, recipe)


def without_idle(recipe: dict) -> dict:
    """The recipe without the settings that do nothing with the others and are as they are by default anyway."""
    lean = dict(recipe)
    schemas = {"training": TrainingSettings}
    if method := METHODS.get(recipe.get("method", "")):
        schemas["method_settings"] = method.settings
    for part, schema in schemas.items():
        settings = recipe.get(part) or {}
        around = {**recipe, **settings}
        lean[part] = {name: value for name, value in settings.items() if name not in schema.model_fields
                      or is_asked(schema, name, around) or to_form(schema, name, value) != _usual(schema, name)}
    return lean


def _told(schema: type[BaseModel], settings: dict, recipe: dict) -> list[tuple[str, str]]:
    return [(ENGLISH[f"{setting_key(schema, name)}.title"], _words(schema, name, settings[name]))
            for name, field in schema.model_fields.items()
            if name in settings and (is_shown(field) or to_form(schema, name, settings[name]) != _usual(schema, name))
            and is_asked(schema, name, {**recipe, **settings})]


def _usual(schema: type[BaseModel], name: str) -> Any:
    return to_form(schema, name, default_of(schema, name))


def _words(schema: type[BaseModel], name: str, value: Any) -> str:
    kind = kind_of(schema, name)
    if kind.field == CHOICE:
        return ENGLISH.get(choice_key(schema, name, value), code(value))
    return (to_form(schema, name, value) or units.NOTHING) if kind.field == TEXT else units.setting(value)
