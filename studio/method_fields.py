"""The settings of the chosen method in the form: a fixed set of fields that take their meaning from the method."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import gradio as gr
from gradio.components import Component
from pydantic import BaseModel

from jobs.methods import METHODS
from studio import field_values
from studio.field_values import code, default_of, from_form, is_asked, is_shown, kind_of, rules_of, to_form
from studio.fields import COMPONENTS, help_of, looks
from studio.frame import on_choice
from studio.text import label, tells_choices

Values = Mapping[Component, Any]
Around = Mapping[str, Any]  # settings of the recipe outside the method
Row = tuple[bool, str]      # whether its fields stay visible, and their kind


@dataclass(frozen=True)
class Noted:
    """What the fields in the browser mean."""

    method: str
    places: dict[str, int]  # from setting to the number of its field
    typed: dict[str, Any]   # what was typed for settings that have no field now, of this method or of earlier ones

    def to_json(self) -> str:
        return json.dumps({"method": self.method, "places": self.places, "typed": self.typed})


class MethodFields:
    """As many fields of each kind as any method asks for at once; choosing a method gives them another meaning.

    What a person typed stays for every method that has a setting of that name and kind; all else is the method's default. A setting
    that does nothing with the others has no field.
    """

    def __init__(self):
        self.slots: list[Component] = []
        self.rows: dict[Row, range] = {}

    def build_shown(self, method: str) -> None:
        self._build(method, shown=True)

    def build_folded(self, method: str) -> None:
        with gr.Accordion(label("train.settings.method_more"), open=False, visible=has_folded(method)) as self.fold:
            self._build(method, shown=False)
        # in the page, so that it outlives the server as the fields themselves do
        noted = Noted(method, self._places(method, asked_of(METHODS[method].settings, _carried(method, {}), {})), {})
        self.noted = gr.Textbox(noted.to_json(), visible="hidden", elem_id="method-fields")

    def _build(self, method: str, shown: bool) -> None:
        schema = METHODS[method].settings
        asked = asked_of(schema, _carried(method, {}), {})
        with gr.Row(elem_classes="st-fields"):
            for field, component in COMPONENTS.items():
                names = [name for name in asked if row_of(schema, name) == (shown, field)]
                most = max(at_once(entry.settings, (shown, field)) for entry in METHODS.values())
                self.rows[shown, field] = range(len(self.slots), len(self.slots) + most)
                self.slots += [
                    component(elem_id=f"method-{'main' if shown else 'more'}-{field}-{number}",
                              **(looks(schema, names[number]) if number < len(names) else {"label": "", "visible": False}))
                    for number in range(most)]

    @property
    def components(self) -> list[Component]:
        return [*self.slots, self.noted]

    @property
    def decisions(self) -> list:
        """The events after which other fields may be needed."""
        rows = {row_of(entry.settings, other) for entry in METHODS.values() for name in entry.settings.model_fields
                for other, _ in rules_of(entry.settings, name) if other in entry.settings.model_fields}
        slots = [self.slots[number] for row, numbers in self.rows.items() if row in rows for number in numbers]
        numbers = [slot for slot in slots if isinstance(slot, gr.Number)]
        return [*(on_choice(slot) for slot in slots if slot not in numbers),
                *(event for number in numbers for event in (number.blur, number.submit))]

    def shown_for(self, values: Values) -> str:
        """The method that the fields in the browser belong to."""
        return self._noted(values).method

    def place(self, values: Values, name: str) -> Component | None:
        """The field that a setting has now."""
        places = self._noted(values).places
        return self.slots[places[name]] if name in places else None

    def read(self, values: Values, method: str, around: Around = {}) -> dict[str, Any]:
        """That method's settings, without those that do nothing."""
        noted, schema = self._noted(values), METHODS[method].settings
        held = self._held(values, noted) if noted.method == method else _carried(method, self._typed(values, noted))
        settings = {name: from_form(schema, name, value) for name, value in held.items()}
        return {name: settings[name] for name in asked_of(schema, held, around)}

    def fill(self, method: str, settings: Mapping[str, Any], around: Around = {}) -> dict:
        """The fields of that method with these settings, and its defaults for the others."""
        schema = METHODS[method].settings
        held = {name: to_form(schema, name, settings[name]) if name in settings else default_in_form(schema, name)
                for name in schema.model_fields}
        typed = {name: value for name, value in held.items() if value != default_in_form(schema, name)}
        asked = asked_of(schema, held, around)
        return self._show(Noted(method, self._places(method, asked), typed), held, asked, range(len(self.slots)))

    def switch(self, values: Values, method: str, around: Around = {}) -> dict:
        """The fields of another method, with what was typed."""
        noted = self._noted(values)
        typed = self._typed(values, noted)
        held = _carried(method, typed)
        asked = asked_of(METHODS[method].settings, held, around)
        return self._show(Noted(method, self._places(method, asked), typed), held, asked, noted.places.values())

    def look(self, values: Values, around: Around = {}) -> dict:
        """Fields for the settings that do something now and did not before, none for those that did; the others stay."""
        noted = self._noted(values)
        schema, held = METHODS[noted.method].settings, self._held(values, noted)
        asked = asked_of(schema, held, around)
        kept = {name: number for name, number in noted.places.items() if name in asked}
        places = self._places(noted.method, asked, kept)
        new = places.keys() - kept.keys()
        told = {self.slots[number]: gr.update(info=help_of(schema, name, held[name])) for name, number in kept.items()
                if tells_choices(schema, name)}
        if len(kept) == len(noted.places) and not new:
            return told
        after = Noted(noted.method, places, self._typed(values, noted))
        return {**told, **self._show(after, held, new, set(noted.places.values()) - set(kept.values()))}

    # ---- inside

    def _places(self, method: str, names: Iterable[str], kept: Mapping[str, int] = {}) -> dict[str, int]:
        """A field for each of these settings: the one that it has already, or one that is free. A setting that finds none, which
        at_once rules out for all but those that a recipe gives by another name, keeps its value."""
        places, taken = dict(kept), set(kept.values())
        for name in names:
            free = [number for number in self.rows[row_of(METHODS[method].settings, name)] if number not in taken]
            if name not in places and free:
                places[name] = free[0]
                taken.add(free[0])
        return places

    def _show(self, noted: Noted, held: Mapping[str, Any], names: Iterable[str], left: Iterable[int]) -> dict:
        """The fields of these settings; those that were left and not taken again are hidden."""
        schema, taken = METHODS[noted.method].settings, set(noted.places.values())
        used = {self.slots[noted.places[name]]: gr.update(**looks(schema, name, held[name]), visible=True)
                for name in names if name in noted.places}
        spare = {self.slots[number]: gr.update(visible=False) for number in left if number not in taken}
        return {**used, **spare, self.fold: gr.update(visible=has_folded(noted.method)), self.noted: noted.to_json()}

    def _noted(self, values: Values) -> Noted:
        return Noted(**json.loads(values[self.noted]))

    def _held(self, values: Values, noted: Noted) -> dict[str, Any]:
        """What every setting of the method is now, as a field holds it."""
        return _carried(noted.method, noted.typed) | {name: values[self.slots[place]] for name, place in noted.places.items()}

    def _typed(self, values: Values, noted: Noted) -> dict[str, Any]:
        """What was typed: all that is not the default of the method that it stands there for."""
        schema, typed = METHODS[noted.method].settings, dict(noted.typed)
        for name, value in self._held(values, noted).items():
            if value == default_in_form(schema, name):
                typed.pop(name, None)
            else:
                typed[name] = value
        return typed


def has_folded(method: str) -> bool:
    return any(not is_shown(field) for field in METHODS[method].settings.model_fields.values())


@cache
def row_of(schema: type[BaseModel], name: str) -> Row:
    return is_shown(schema.model_fields[name]), kind_of(schema, name).field


@cache
def names_of(schema: type[BaseModel], row: Row) -> tuple[str, ...]:
    return tuple(name for name in schema.model_fields if row_of(schema, name) == row)


def at_once(schema: type[BaseModel], row: Row) -> int:
    """How many fields of a row a method may need at the same time, or more: of those that depend on a setting, as many as do
    something with the same value of it."""
    free, wanted = 0, {}
    for name in names_of(schema, row):
        other, values = next(iter(rules_of(schema, name)), ("", None))
        if values:
            wanted.setdefault(other, []).append(values)
        elif values is None:
            free += 1
    return free + sum(max(sum(value in each for each in rules) for rule in rules for value in rule) for rules in wanted.values())


def asked_of(schema: type[BaseModel], held: Mapping[str, Any], around: Around) -> list[str]:
    """The settings that do something, where the fields hold this."""
    settings = {**around, **{name: from_form(schema, name, value) for name, value in held.items()}}
    return [name for name in schema.model_fields if is_asked(schema, name, settings)]


@cache
def default_in_form(schema: type[BaseModel], name: str) -> Any:
    return to_form(schema, name, default_of(schema, name))


def _carried(method: str, typed: Mapping[str, Any]) -> dict[str, Any]:
    """What each setting of a method is when the method is chosen, as a field holds it."""
    schema = METHODS[method].settings
    return {name: typed[name] if name in typed and _fits(schema, name, typed[name]) else default_in_form(schema, name)
            for name in schema.model_fields}


def _fits(schema: type[BaseModel], name: str, value: Any) -> bool:
    """Whether what a field of another method holds can stand in this one's."""
    kind = kind_of(schema, name)
    match kind.field:
        case field_values.CHOICE:
            return isinstance(value, str) and (kind.takes_other_words() or value in map(code, kind.choices))
        case field_values.SWITCH:
            return isinstance(value, bool)
        case field_values.NUMBER:
            return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, str)
