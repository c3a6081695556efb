"""Form fields made from a schema: the type decides the component, the schema gives label, help, default and limits."""

from typing import Any

import gradio as gr
from gradio.components import Component
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from studio import field_values
from studio.field_values import CHOICE, NUMBER, SWITCH, TEXT, Kind, code, default_of, kind_of, limits_of, to_form
from studio.text import choice_key, label, say, setting_key, tells_choices

DEFAULT = object()
LONG_TEXT = 1000  # characters from which on a text may have several lines
COMPONENTS: dict[str, type[Component]] = {NUMBER: gr.Number, CHOICE: gr.Dropdown, SWITCH: gr.Checkbox, TEXT: gr.Textbox}


def field_component(schema: type[BaseModel], name: str) -> Component:
    """The component to fill in one setting with."""
    return COMPONENTS[kind_of(schema, name).field](**looks(schema, name), elem_id=f"{schema.__name__}-{name}")


def looks(schema: type[BaseModel], name: str, value: Any = DEFAULT) -> dict[str, Any]:
    """What the component of a setting is given: its words, its choices, and its value as a form has it, else the default."""
    field, kind, key = schema.model_fields[name], kind_of(schema, name), setting_key(schema, name)
    value = to_form(schema, name, default_of(schema, name)) if value is DEFAULT else value
    common = {"label": label(f"{key}.title"), "info": help_of(schema, name, value), "value": value}
    match kind.field:
        case field_values.CHOICE:
            other = kind.takes_other_words()
            return {**common, "choices": [(label(choice_key(schema, name, choice)), code(choice)) for choice in kind.choices],
                    "filterable": other, "allow_custom_value": other}
        case field_values.NUMBER:
            return {**common, "step": _step(schema, name), "placeholder": _limits(field)}
        case field_values.TEXT:
            is_long = any((getattr(limit, "max_length", None) or 0) >= LONG_TEXT for limit in field.metadata)
            return {**common, "lines": 1, "max_lines": 8 if is_long else 1, "placeholder": _example(kind)}
    return common


def help_of(schema: type[BaseModel], name: str, value: Any) -> Any:
    """What is said of a setting, or of the choice that its field holds."""
    key, kind = setting_key(schema, name), kind_of(schema, name)
    if kind.config:
        return say("form.config", help=say(f"{key}.help"), names=", ".join(kind.config.model_fields))
    return label(f"{key}.about.{value}" if tells_choices(schema, name) else f"{key}.help")


def _example(kind: Kind) -> str:
    """How what is more than one word is written."""
    if kind.config:
        return say("form.such_as.config")
    if list in kind.types:
        return say("form.such_as.numbers" if int in kind.items else "form.such_as.names")
    return say("form.such_as.pairs") if dict in kind.types else ""


def _limits(field: FieldInfo) -> str:
    """What an emptied number may be."""
    limits = {name: f"{value:,.10g}" for name, value in limits_of(field).items()}
    if {"ge", "le"} <= limits.keys():
        return say("form.limits.between", low=limits["ge"], high=limits["le"])
    return ", ".join(say(f"form.limits.{name}", limit=value) for name, value in limits.items())


def _step(schema: type[BaseModel], name: str) -> float:
    """How far one press of the arrow goes: one for whole numbers, else a little of what is usual."""
    default = default_of(schema, name)
    if float not in kind_of(schema, name).types:
        return 1
    return 0.0001 if default is None else 0.5 if default >= 1 else 0.01
