"""From the fields of a PEFT config and the notes about it to the schema that every door uses."""

from typing import Any, Literal, Union

from pydantic import BaseModel, Field, create_model

from jobs.methods.base import MethodSettings
from jobs.methods.common import LIMITS, SETTINGS
from jobs.methods.notes.base import Notes

PLAIN = {"int": int, "float": float, "str": str, "bool": bool, "none": None}


def settings_schema(type_name: str, fields: list[dict], notes: Notes, own: dict[str, tuple[Any, Any]]) -> type[MethodSettings]:
    """The settings of one PEFT type, the shown ones first; fields that only Python code can give are left out.

    `own` are settings of the studio beside the config's (jobs.methods.special), which come before them.
    """
    taken = [field for field in fields if field["name"] not in notes.left_out and "object" not in field["kinds"]]
    title = "".join(part.capitalize() for part in type_name.lower().split("_"))
    settings = {**own, **{field["name"]: _setting(title, field, notes) for field in taken if field["name"] not in own}}

    def place(name: str) -> int:
        if name in notes.shown:
            return notes.shown.index(name)
        return -1 if "shown" in (settings[name][1].json_schema_extra or {}) else len(notes.shown)

    return create_model(f"{title}Settings", __base__=MethodSettings, __module__=__name__,
                        **{name: settings[name] for name in sorted(settings, key=place)})


def _setting(owner: str, field: dict, notes: Notes) -> tuple[Any, Any]:
    name = field["name"]
    limits = dict(notes.limits.get(name, LIMITS.get(name, {})))
    choices = limits.pop("choices", None)
    kinds = {*field["kinds"], *limits.pop("also", ())}
    default = notes.defaults.get(name, field["default"])
    if default is None and not field["required"]:
        kinds.add("none")
    if default == {} and "config" in kinds:
        default = None
        kinds.add("none")
    annotation = Literal[tuple(choices)] if choices else _annotation(owner, field, kinds)
    title, help_text = notes.settings.get(name) or SETTINGS.get(name) or (_in_words(name), _short(field["help"]))
    extra = {"shown": True} if name in notes.shown else {}
    if name in notes.only_with:
        other, values = notes.only_with[name]
        extra["only_with"] = [other, list(values)]
    required = field["required"] and name not in notes.defaults
    return annotation, Field(... if required else default, title=title, description=help_text,
                             json_schema_extra=extra or None, **(limits if kinds & {"int", "float"} and not choices else {}))


def _annotation(owner: str, field: dict, kinds: set[str]) -> Any:
    parts: list[Any] = [PLAIN[kind] for kind in ("bool", "int", "float", "str", "none") if kind in kinds]
    if "choice" in kinds:
        parts.insert(0, Literal[tuple(field["choices"])])
    if "list" in kinds:
        items = [PLAIN[kind] for kind in field.get("items", []) if kind in PLAIN]
        parts.append(list[Union[tuple(items)]] if items else list)  # noqa: UP007 (made of parts)
    if "config" in kinds:
        parts.insert(0, _nested(owner, field))
    elif "dict" in kinds:
        parts.append(dict[str, Any])
    return Union[tuple(parts)]  # noqa: UP007


def _nested(owner: str, field: dict) -> type[BaseModel]:
    """A config within the config, such as eva_config, by the names of its own fields."""
    inner = [part for part in field["fields"] if "object" not in part["kinds"]]
    name = owner + "".join(word.capitalize() for word in field["name"].split("_"))
    return create_model(name, __base__=MethodSettings, __module__=__name__, **{
        part["name"]: (_annotation(name, part, set(part["kinds"]) | ({"none"} if part["default"] is None else set())),
                       Field(... if part["required"] else part["default"], title=_in_words(part["name"]),
                             description=_short(part["help"]))) for part in inner})


def _in_words(name: str) -> str:
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _short(text: str) -> str:
    """The first sentence of PEFT's own help."""
    first = text.split(". ")[0].rstrip(".")
    return f"{first}." if first else ""
