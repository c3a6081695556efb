"""All text that people read in the page, in one catalogue. Another language is another dictionary with the same keys."""

from typing import get_args

import gradio as gr
from gradio.i18n import I18nData

from jobs.data.formats import FORMATS
from jobs.methods import METHODS
from jobs.playground.request import GenerationSettings
from jobs.recipe import (
    DataFormat,
    DatasetChoice,
    Optimizer,
    Precision,
    Quantization,
    Recipe,
    Schedule,
    Task,
    TrainingSettings,
)
from studio.words import WORDS

CHOICES = (Task, Quantization, DataFormat, Schedule, Optimizer, Precision)


def setting_key(schema: type, name: str) -> str:
    """Where the title (.title) and the help (.help) of a setting stand."""
    return f"setting.{schema.__name__}.{name}"


def _setting_texts() -> dict[str, str]:
    texts = {}
    for schema in (
        Recipe,
        DatasetChoice,
        TrainingSettings,
        GenerationSettings,
        *(method.settings for method in METHODS.values()),
    ):
        for name, field in schema.model_fields.items():
            unit = (field.json_schema_extra or {}).get("unit")
            texts[f"{setting_key(schema, name)}.title"] = (field.title or name) + (f" ({unit})" if unit else "")
            texts[f"{setting_key(schema, name)}.help"] = field.description or ""
            for choice in literal_choices(field.annotation):
                texts[f"choice.{choice}"] = choice
    return texts


def _method_texts() -> dict[str, str]:
    texts = {}
    for method in METHODS.values():
        texts[f"method.{method.name}.title"] = method.title
        texts[f"method.{method.name}.card"] = f"{method.title}\n{method.summary}"
        texts[f"method.{method.name}.choose_when"] = method.choose_when
    return texts


def _format_texts() -> dict[str, str]:
    texts = {}
    for entry in FORMATS.values():
        texts[f"format.{entry.name}"] = entry.title
        for part in entry.parts:
            texts[f"part.{entry.name}.{part.name}.title"] = part.name.capitalize()
            texts[f"part.{entry.name}.{part.name}.help"] = part.help
    return texts


def literal_choices(annotation) -> tuple[str, ...]:
    """The values of a Literal, or none for any other type."""
    return tuple(value for value in get_args(annotation) if isinstance(value, str))


ENGLISH: dict[str, str] = {
    **{f"choice.{choice}": choice for kind in CHOICES for choice in get_args(kind)},
    **_setting_texts(),
    **_method_texts(),
    **_format_texts(),
    **WORDS,
}
CATALOGUE = gr.I18n(en=ENGLISH)


def label(key: str) -> I18nData:
    """The text of a component, translated in the browser. An unknown key is a bug and fails at once."""
    if key not in ENGLISH:
        raise KeyError(f"'{key}' is not in the catalogue of texts")
    return CATALOGUE(key)


def say(key: str, **values) -> str:
    """A text that is put together on the server, with its values filled in."""
    return ENGLISH[key].format(**values)
