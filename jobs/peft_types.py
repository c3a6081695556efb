"""What the installed PEFT registers, read from the library itself. As a program it prints that as JSON, for jobs.methods.library.

It stands outside jobs.methods, which asks it while it is imported itself.
"""

import dataclasses
import enum
import importlib
import json
import os
import sys
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

OWN_FIELDS = {"peft_type", "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
              "runtime_config"}  # of every config; the studio fills them in
PLAIN = {int: "int", float: "float", str: "str", bool: "bool", list: "list", tuple: "list", set: "list", dict: "dict",
         types.NoneType: "none"}


def import_own_methods() -> None:
    """Import the modules that STUDIO_METHOD_MODULES names: they register types of their own with peft."""
    for name in own_modules():
        importlib.import_module(name)


def own_modules() -> list[str]:
    return [name.strip() for name in os.environ.get("STUDIO_METHOD_MODULES", "").split(",") if name.strip()]


def installed() -> dict:
    """`peft`: its version; `types`: for each type its name, whether it is a prompt method, and the fields of its config."""
    import peft
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING

    import_own_methods()
    return {"peft": peft.__version__, "types": [
        {"type": str(kind.value), "is_prompt": issubclass(config, peft.PromptLearningConfig),
         "has_layers": PEFT_TYPE_TO_TUNER_MAPPING.get(kind) is not None, "about": first_sentence(config.__doc__),
         "fields": fields_of(config)}
        for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()]}


def fields_of(config: type) -> list[dict]:
    """The fields of a config class: name, kinds of value, choices, default, whether one must be given, PEFT's own help."""
    hints = get_type_hints(config)
    return [{"name": field.name, **kinds_of(hints[field.name]), **default_of(field),
             "help": " ".join(str(field.metadata.get("help", "")).split())}
            for field in dataclasses.fields(config) if field.init and field.name not in OWN_FIELDS]


def kinds_of(annotation: Any) -> dict:
    """An annotation as plain data: `kinds`, sorted, `choices` of literals, `items` of lists and `fields` of a nested config."""
    found: dict = {"kinds": set()}
    _collect(annotation, found)
    return {**found, "kinds": sorted(found["kinds"])}


def _collect(annotation: Any, found: dict) -> None:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        for part in arguments:
            _collect(part, found)
    elif origin is Literal:
        found["kinds"].add("choice")
        found.setdefault("choices", []).extend(value for value in arguments if value not in found.get("choices", []))
    elif dataclasses.is_dataclass(annotation):
        found["kinds"].add("config")
        found["config"] = f"{annotation.__module__}.{annotation.__name__}"
        found["fields"] = fields_of(annotation)
    elif isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        found["kinds"].add("choice")
        found.setdefault("choices", []).extend(member.value for member in annotation)
    elif (origin or annotation) in PLAIN:
        kind = PLAIN[origin or annotation]
        found["kinds"].add(kind)
        if kind == "list" and arguments:
            found.setdefault("items", set()).update(kinds_of(arguments[0])["kinds"])
            found["items"] = sorted(found["items"])
    else:
        found["kinds"].add("object")  # something that only Python code can give


def default_of(field: dataclasses.Field) -> dict:
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        return {"default": None, "required": True}
    if isinstance(value, enum.Enum):
        value = value.value
    if dataclasses.is_dataclass(value):
        value = dataclasses.asdict(value)
    try:
        return {"default": json.loads(json.dumps(value)), "required": False}
    except TypeError:
        return {"default": None, "required": False}


def first_sentence(text: str | None) -> str:
    words = " ".join((text or "").split())
    return words.split(". ")[0].rstrip(".") + "." if words else ""


if __name__ == "__main__":
    json.dump(installed(), sys.stdout, default=sorted)
