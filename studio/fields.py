"""Form fields made from a schema: the type decides the component, the schema gives label, help, default and limits."""

import types
from typing import Any, Union, get_args, get_origin

import gradio as gr
from gradio.components import Component
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from studio.text import label, literal_choices, setting_key


def is_shown(field: FieldInfo) -> bool:
    """Whether a setting is one of the few that stay visible."""
    return bool((field.json_schema_extra or {}).get("shown"))


def field_component(schema: type[BaseModel], name: str) -> Component:
    """The component to fill in one setting with."""
    field = schema.model_fields[name]
    key = setting_key(schema, name)
    looks = {"label": label(f"{key}.title"), "info": label(f"{key}.help"), "elem_id": f"{schema.__name__}-{name}"}
    value = to_form(schema, name, field.default)
    kinds = _kinds(field.annotation)
    if choices := literal_choices(field.annotation):
        return gr.Dropdown(
            [(label(f"choice.{choice}"), choice) for choice in choices], value=value, filterable=False, **looks
        )
    if bool in kinds:
        return gr.Checkbox(value=value, **looks)
    if kinds & {int, float} and str not in kinds:
        return gr.Number(value=value, precision=0 if float not in kinds else None, step=_step(field, kinds), **looks)
    return gr.Textbox(value=value, lines=1, max_lines=1, **looks)


def to_form(schema: type[BaseModel], name: str, value: Any) -> Any:
    """A setting's value as its component shows it."""
    kinds = _kinds(schema.model_fields[name].annotation)
    if list in kinds:
        return ", ".join(value) if isinstance(value, list) else value or ""
    if kinds == {str, types.NoneType}:
        return value or ""
    return value


def from_form(schema: type[BaseModel], name: str, value: Any) -> Any:
    """What a component holds as a value for the schema, which then checks it."""
    field = schema.model_fields[name]
    kinds = _kinds(field.annotation)
    if list in kinds:
        text = (value or "").strip()
        if not text and types.NoneType in kinds:
            return None
        # one name is a list of one: as a bare text it would be taken for a pattern
        return text if text == field.default else [part.strip() for part in text.split(",") if part.strip()]
    if str in kinds and types.NoneType in kinds:
        return (value or "").strip() or None
    if value is None and types.NoneType not in kinds:
        return ""  # an emptied field: the schema says that a number is wanted
    return value


def _step(field: FieldInfo, kinds: set[type]) -> float:
    """How far one press of the arrow goes: one for whole numbers, else a little of what is usual."""
    return 1 if float not in kinds else 0.0001 if field.default is None else 0.5 if field.default >= 1 else 0.01


def _kinds(annotation: Any) -> set[type]:
    """The plain types that an annotation allows: `float | None` gives {float, NoneType}."""
    if get_origin(annotation) in (Union, types.UnionType):
        return set().union(*(_kinds(part) for part in get_args(annotation)))
    return {get_origin(annotation) or annotation}
