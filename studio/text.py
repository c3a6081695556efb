"""All text that people read in the page, in one catalogue. Another language is another dictionary with the same keys."""

from typing import Any, get_args

import gradio as gr
from gradio.i18n import I18nData
from pydantic import BaseModel

from jobs import units
from jobs.certificate.wanted import Wanted
from jobs.data.formats import FORMATS
from jobs.methods import METHODS
from jobs.methods.lora_variants import VARIANTS
from jobs.playground.request import GenerationSettings
from jobs.recipe import (
    DataFormat,
    DatasetChoice,
    Optimizer,
    Precision,
    Quantization,
    Recipe,
    Schedule,
    Score,
    Task,
    TrainingSettings,
)
from jobs.turn import Turn
from studio.field_values import NUMBER, code, default_of, is_shown, kind_of
from studio.words import WORDS

CHOICES = (Task, Quantization, DataFormat, Schedule, Optimizer, Precision, Score)


def setting_key(schema: type, name: str) -> str:
    """Where the title (.title) and the help (.help) of a setting stand."""
    return f"setting.{schema.__name__}.{name}"


def choice_key(schema: type[BaseModel], name: str, choice: Any) -> str:
    """Where the title of a choice stands: with its setting, or with all choices of that name."""
    titles = (schema.model_fields[name].json_schema_extra or {}).get("titles", {})
    return f"{setting_key(schema, name)}.choice.{choice}" if choice in titles else f"choice.{code(choice)}"


def tells_choices(schema: type[BaseModel], name: str) -> bool:
    """Whether a setting has a sentence about each of its choices."""
    return "about" in (schema.model_fields[name].json_schema_extra or {})


def _setting_texts(*schemas: type[BaseModel]) -> dict[str, str]:
    texts = {}
    for schema in schemas:
        for name, field in schema.model_fields.items():
            unit = (field.json_schema_extra or {}).get("unit")
            texts[f"{setting_key(schema, name)}.title"] = (field.title or name) + (f" ({unit})" if unit else "")
            texts[f"{setting_key(schema, name)}.help"] = field.description or ""
            if is_shown(field) and kind_of(schema, name).field == NUMBER:
                several = field.title or name
                texts[f"{setting_key(schema, name)}.several"] = several if several.endswith("s") else f"{several}s"
                texts[f"{setting_key(schema, name)}.examples"] = _examples(schema, name)
            extra = field.json_schema_extra or {}
            for choice in kind_of(schema, name).choices:
                texts[f"choice.{code(choice)}"] = code(choice)
                if choice in extra.get("titles", {}):
                    texts[choice_key(schema, name, choice)] = extra["titles"][choice]
                if tells_choices(schema, name):
                    texts[f"{setting_key(schema, name)}.about.{code(choice)}"] = extra["about"].get(choice, field.description or "")
    return texts


def _examples(schema: type[BaseModel], name: str) -> str:
    """Values around the usual one, for a field that takes several."""
    usual = default_of(schema, name)
    if schema is TrainingSettings and name == "learning_rate":  # left to the method
        usual = METHODS["lora"].learning_rate
    if not usual:
        return ""
    whole = float not in kind_of(schema, name).types
    around = [usual * times for times in ((1, 2, 4) if whole and usual < 2 else (0.5, 1, 2))]
    return ", ".join(units.setting(round(value) if whole else value) for value in around)


def _method_texts() -> dict[str, str]:
    texts = _setting_texts(*dict.fromkeys(method.settings for method in METHODS.values()))
    for method in METHODS.values():
        key = f"method.{method.name}"
        texts |= {f"{key}.title": method.title, f"{key}.card": f"{method.title}\n{method.summary}",
                  f"{key}.summary": method.summary, f"{key}.choose_when": method.choose_when,
                  f"{key}.avoid_when": method.avoid_when}
        alike = [other.title for other in METHODS.values() if other.settings is method.settings]
        texts[f"methods.{method.settings.__name__}"] = ", ".join(alike)
    return texts


def _format_texts() -> dict[str, str]:
    texts = {}
    for entry in FORMATS.values():
        texts[f"format.{entry.name}"] = entry.title
        for part in entry.parts:
            texts[f"part.{entry.name}.{part.name}.title"] = part.name.capitalize()
            texts[f"part.{entry.name}.{part.name}.help"] = part.help
    return texts


# The methods' own texts are many, and a page shows those of one method at a time: they are sent as they are shown
OF_METHODS = {**_method_texts(), **{f"choice.{variant.name}": variant.title for variant in VARIANTS.values()}}
OF_PAGES = {
    **{f"choice.{choice}": choice for kind in CHOICES for choice in get_args(kind)},
    **_setting_texts(Recipe, DatasetChoice, TrainingSettings, Turn, GenerationSettings, Wanted),
    **_format_texts(),
    **WORDS,
}
ENGLISH: dict[str, str] = {**OF_METHODS, **OF_PAGES}
CATALOGUE = gr.I18n(en=OF_PAGES)


def label(key: str) -> I18nData | str:
    """The text of a component, translated in the browser. An unknown key is a bug and fails at once."""
    if key not in ENGLISH:
        raise KeyError(f"'{key}' is not in the catalogue of texts")
    return CATALOGUE(key) if key in OF_PAGES else ENGLISH[key]


def say(key: str, **values) -> str:
    """A text that is put together on the server, with its values filled in."""
    return ENGLISH[key].format(**values) if values else ENGLISH[key]
