"""What a setting's type means to a form: which kind of field it gets, and how its value stands there. No page is needed for it."""

import json
import re
import types
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from jobs.methods.building import EVERY_LINEAR

NUMBER, CHOICE, SWITCH, TEXT = "number", "choice", "switch", "text"
NUMBERS, NOTHING = {int, float}, types.NoneType
NO_NAME = re.compile(r"[^\w.,\s-]")  # what no layer's name has, so that the text is a pattern


@dataclass(frozen=True)
class Kind:
    """A setting's type as a form needs it: the kind of field, the plain types allowed, and of some the parts."""

    field: str
    types: frozenset[type]
    choices: tuple = ()
    items: frozenset[type] = frozenset()      # what a list holds
    config: type[BaseModel] | None = None     # the schema of a config within the config
    empty: Any = None                         # what an empty text stands for

    def takes_other_words(self) -> bool:
        """Whether a word that is none of the choices is a value too."""
        return bool(self.choices) and str in self.types


@cache
def kind_of(schema: type[BaseModel], name: str) -> Kind:
    parts = list(_parts(schema.model_fields[name].annotation))
    words = [value for part in parts if get_origin(part) is Literal for value in get_args(part)]
    configs = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
    plain = frozenset(get_origin(part) or part for part in parts if get_origin(part) is not Literal and part not in configs)
    items = frozenset(get_origin(item) or item for part in parts if get_origin(part) is list
                      for argument in get_args(part) for item in _parts(argument))
    if not configs and not words and plain == {bool}:
        return Kind(SWITCH, plain)
    if not configs and plain <= {bool, str, NOTHING} and (words or (bool in plain and str not in plain)):
        also = [*((True, False) if bool in plain else ()), *((None,) if NOTHING in plain else ())]
        return Kind(CHOICE, plain, tuple(words + [value for value in also if value not in words]))
    if not configs and not words and plain & NUMBERS and plain <= NUMBERS | {NOTHING}:
        return Kind(NUMBER, plain)
    config, default = configs[0] if configs else None, default_of(schema, name)
    nothing = None if NOTHING in plain else [] if list in plain else {} if config or dict in plain else ""
    return Kind(TEXT, plain, items=items, config=config, empty=default if default in ([], {}) else nothing)


def is_shown(field: FieldInfo) -> bool:
    """Whether a setting is one of the few that stay visible."""
    return bool((field.json_schema_extra or {}).get("shown"))


def rules_of(schema: type[BaseModel], name: str) -> list[tuple[str, list]]:
    """With which values of which other settings this one does anything."""
    extra = schema.model_fields[name].json_schema_extra or {}
    tasks = [("task", extra["only_for"])] if "only_for" in extra else []
    return [*([tuple(extra["only_with"])] if "only_with" in extra else []), *tasks]


def is_asked(schema: type[BaseModel], name: str, values: Mapping[str, Any]) -> bool:
    """Whether a setting does anything with these values of the others; one that depends on a hidden one is hidden too.

    One that does with no value at all has another that says the same: it is only asked for where it is given.
    """
    for other, wanted in rules_of(schema, name):
        if not wanted:
            return name in values and values[name] != default_of(schema, name)
        if other in values and values[other] not in wanted:
            return False
        if other in values and other in schema.model_fields and not is_asked(schema, other, values):
            return False
    return True


def default_of(schema: type[BaseModel], name: str) -> Any:
    field = schema.model_fields[name]
    return None if field.is_required() else field.get_default(call_default_factory=True)


def code(choice: Any) -> str:
    """A choice as a dropdown holds it, which knows no None."""
    return choice if isinstance(choice, str) else repr(choice)


def to_form(schema: type[BaseModel], name: str, value: Any) -> Any:
    """A setting's value as its component shows it."""
    kind = kind_of(schema, name)
    if kind.field == CHOICE:
        return None if value is None and None not in kind.choices else code(value)
    if kind.field == SWITCH:
        return bool(value)
    return _as_text(kind, value) if kind.field == TEXT else value


def from_form(schema: type[BaseModel], name: str, value: Any) -> Any:
    """What a component holds as a value for the schema, which then checks it."""
    kind = kind_of(schema, name)
    if kind.field == CHOICE:
        found = {code(choice): choice for choice in kind.choices}
        return found.get(value, value) if value is not None or NOTHING in kind.types else ""
    if kind.field == SWITCH:
        return bool(value)
    if kind.field == TEXT:
        return _from_text(kind, value or "")
    if value is None and NOTHING not in kind.types:
        return ""  # an emptied field: the schema says that a number is wanted
    return value


def limits_of(field: FieldInfo) -> dict[str, float]:
    """A number's limits by their names in pydantic: ge, gt, le, lt."""
    return {name: getattr(limit, name) for limit in field.metadata for name in ("ge", "gt", "le", "lt") if hasattr(limit, name)}


# ---- values as text


def _as_text(kind: Kind, value: Any) -> str:
    plain = _plain(kind, value)
    if plain is None:
        return ""
    if isinstance(plain, list):
        text = ", ".join(map(_word, plain))
    elif isinstance(plain, dict):
        text = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1_000_000).strip()[1:-1]
    else:
        text = _word(plain)
    # what would be read as something else stands in JSON, which has brackets and quotation marks
    return text if _is_free(kind) or _from_text(kind, text) == plain else json.dumps(plain, ensure_ascii=False)


def _from_text(kind: Kind, text: str) -> Any:
    if _is_free(kind):
        return (text.strip() or None) if NOTHING in kind.types else text
    text = text.strip()
    if not text:
        return copy(kind.empty)
    if (kind.config or dict in kind.types) and (found := _mapping(text)) is not None:
        return found
    if text[0] in "[\"'":
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            pass  # a pattern may begin so
    value = _scalar(text, kind.types)
    if list not in kind.types or not isinstance(value, str):
        return value
    if str in kind.types and (text == EVERY_LINEAR or NO_NAME.search(text)):
        return text
    # one name is a list of one: as a bare text it would be taken for a pattern
    return [_scalar(part.strip(), kind.items) for part in text.split(",") if part.strip()]


def _is_free(kind: Kind) -> bool:
    """Whether every text is a value as it is."""
    return kind.config is None and kind.types <= {str, NOTHING}


def _mapping(text: str) -> dict | None:
    """`name: value, name: value` as a dictionary; None where the text is none."""
    if ":" not in text and text != "{}":
        return None
    try:
        found = yaml.safe_load(text if text.startswith("{") else f"{{{text}}}")
        pairs = [_pair(str(name), value) for name, value in found.items()]
    except (yaml.YAMLError, AttributeError):
        return None
    return dict(pairs)


def _pair(name: str, value: Any) -> tuple[str, Any]:
    """A name and its value; without a space after the colon, YAML takes both for a name."""
    before, colon, after = name.rpartition(":")
    return (before.strip(), yaml.safe_load(after)) if value is None and colon and after else (name, value)


def _scalar(text: str, kinds: frozenset[type]) -> Any:
    """A word as a number or a truth value, where the type has these."""
    if bool in kinds and text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        if kinds & NUMBERS:
            try:
                return number(text)
            except ValueError:
                continue
    return text


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _plain(kind: Kind, value: Any) -> Any:
    """A value as plain data; of a config within the config only what is not its default."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, dict) and kind.config:
        fields = kind.config.model_fields
        return {name: part for name, part in value.items() if name not in fields or part != default_of(kind.config, name)}
    return list(value) if isinstance(value, (tuple, set)) else value


def _parts(annotation: Any) -> Iterator[Any]:
    """The types that an annotation allows, one by one."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _parts(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _parts(part)
    else:
        yield annotation
