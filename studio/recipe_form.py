"""The recipe as a form: fields made from its schemas, read into plain values and filled in from a recipe."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import gradio as gr
from gradio.components import Component
from pydantic import BaseModel

from jobs.methods import METHODS
from jobs.recipe import DatasetChoice, Recipe, TrainingSettings
from jobs.turn import Turn
from studio.field_values import default_of, from_form, is_asked, is_shown, rules_of, to_form
from studio.fields import field_component
from studio.frame import on_choice, static_html
from studio.method_fields import MethodFields
from studio.text import ENGLISH, label, say, setting_key

RECIPE_FIELDS = ("quantization", "chat_template", "seed")  # the recipe's own settings that stand among the folded ones
PRECISION_FIELDS = ("precision", "base_precision")
VALIDATION_SHARES = ("0.05", "0.1", "0.2", "0.3")

Values = Mapping[Component, Any]
Around = Mapping[str, Any]  # settings of the recipe that stand elsewhere in the form, such as the task


class SettingsGroup:
    """The fields of one schema, or of some of its names."""

    def __init__(self, schema: type[BaseModel], names: tuple[str, ...] | None = None):
        self.schema = schema
        self.names = names or tuple(schema.model_fields)
        self.fields: dict[str, Component] = {}

    def build(self, shown: bool) -> None:
        """Place the shown fields, or the others, where the caller is."""
        for name in self.names:
            if is_shown(self.schema.model_fields[name]) == shown:
                self.fields[name] = field_component(self.schema, name)

    @property
    def deciding(self) -> list[Component]:
        """The fields that decide which others are hidden."""
        others = dict.fromkeys(other for name in self.names for other, _ in rules_of(self.schema, name))
        return [self.fields[name] for name in others if name in self.fields]

    @property
    def ruled(self) -> list[Component]:
        """The fields that may be hidden."""
        return [field for name, field in self.fields.items() if rules_of(self.schema, name)]

    def read(self, values: Values, around: Around = {}) -> dict[str, Any]:
        """The settings, without those that do nothing with the others."""
        found = self.plain(values)
        return {name: value for name, value in found.items() if is_asked(self.schema, name, {**around, **found})}

    def plain(self, values: Values) -> dict[str, Any]:
        return {name: from_form(self.schema, name, values[field]) for name, field in self.fields.items()}

    def fill(self, settings: dict[str, Any]) -> dict[Component, Any]:
        """Each field with its value from `settings`, or its default."""
        return {component: to_form(self.schema, name, settings.get(name, default_of(self.schema, name)))
                for name, component in self.fields.items()}

    def look(self, plain: Around, held: Values = {}) -> dict:
        """Which fields are hidden with these settings; `held` are values to put into some of them."""
        return {field: gr.update(visible=is_asked(self.schema, name, plain), **({"value": held[field]} if field in held else {}))
                for name, field in self.fields.items() if rules_of(self.schema, name)}


class SettingsForm:
    """Step 4 of the Train page: a few settings visible, the others folded, the method's own changing with the method.

    `around` says what the rest of the form holds: a setting that does nothing with it is hidden, and not in the recipe.
    """

    def __init__(self):
        self.training = SettingsGroup(TrainingSettings)
        self.of_recipe = SettingsGroup(Recipe, RECIPE_FIELDS)
        self.of_method = MethodFields()

    def build(self, method: str) -> None:
        with gr.Row(elem_classes="st-fields"):
            self.training.build(shown=True)
        self.rate.value = METHODS[method].learning_rate
        self.of_method.build_shown(method)
        self.precision = static_html("", elem_id="precision", elem_classes="st-precision-slot")  # what is computed in, and why
        with gr.Accordion(label("train.settings.more"), open=False), gr.Row(elem_classes="st-fields"):
            self.training.build(shown=False)
            self.of_recipe.build(shown=False)
        self.of_method.build_folded(method)

    @property
    def components(self) -> list[Component]:
        return [*self.training.fields.values(), *self.of_recipe.fields.values(), *self.of_method.components]

    @property
    def outputs(self) -> list:
        return [*self.components, self.of_method.fold, self.precision]

    @property
    def touchable(self) -> list:
        """What a choice changes: few, as Gradio makes every output of an event anew, also those that stay as they are."""
        return [self.rate, *self.training.ruled, *self.of_recipe.ruled, *self.of_method.components, self.of_method.fold,
                self.precision]

    @property
    def decisions(self) -> list:
        """The events after which other fields are hidden, or something else is said of the method."""
        fields = {**self.training.fields, **self.of_recipe.fields}
        told = [fields["quantization"], *(fields[name] for name in PRECISION_FIELDS)]
        return [*(on_choice(field) for field in dict.fromkeys([*self.training.deciding, *told])), *self.of_method.decisions]

    @property
    def rate(self) -> Component:
        return self.training.fields["learning_rate"]

    def touched(self, values: Values, method: str, around: Around = {}) -> dict:
        """The fields of that method, if it is another one than before, and which are hidden.

        A learning rate that the earlier method brought gives way to this one's own; one that a person typed stays.
        """
        before, plain = self.of_method.shown_for(values), self._plain(values, around)
        if method == before:
            return {**self.training.look(plain), **self.of_recipe.look(plain), **self.of_method.look(values, plain)}
        own = not values[self.rate] or values[self.rate] == METHODS[before].learning_rate
        rate = METHODS[method].learning_rate if own else values[self.rate]
        return {**self.of_method.switch(values, method, plain), self.rate: rate}

    def read(self, values: Values, method: str, around: Around = {}) -> dict[str, Any]:
        """The recipe's training, method_settings, quantization and seed."""
        plain = self._plain(values, around)
        return {
            **self.of_recipe.read(values, plain),
            "training": self.training.read(values, plain),
            "method_settings": self.of_method.read(values, method, plain),
        }

    def fill(self, recipe: Recipe) -> dict:
        """Every field as the recipe has it."""
        plain = recipe.model_dump(mode="json")
        around = {**plain, **plain["dataset"], **plain["training"]}
        held = {**self.training.fill(plain["training"]), **self.of_recipe.fill(plain),
                self.rate: recipe.training.learning_rate or METHODS[recipe.method].learning_rate}
        return {**held, **self.training.look(around, held), **self.of_recipe.look(around, held),
                **self.of_method.fill(recipe.method, recipe.method_settings, around)}

    def _plain(self, values: Values, around: Around) -> dict[str, Any]:
        return {**around, **self.of_recipe.plain(values), **self.training.plain(values)}


def validation_choices(kept: str | None = None, title: str = "") -> list[tuple]:
    """What the validation field offers: shares, none, and the file of an earlier run where there was one."""
    shares = [(say("train.data.percent", percent=f"{float(share) * 100:.0f}%"), share) for share in VALIDATION_SHARES]
    earlier = [(title or kept, kept)] if kept else []
    return [*shares, (label("train.data.none"), "none"), *earlier]


def read_validation(value: Any) -> float | int | str:
    """A share, a count, or the words as they are, for the schema to judge."""
    text = str(value if value is not None else "").strip()
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text.lower() if text.lower() == "none" else text


def by_titles(problems: list[str], methods: Iterable[str] = ()) -> list[str]:
    """Problems that begin with a setting's name in the recipe, with the name that the form shows instead."""
    return [_by_title(problem, tuple(methods)) for problem in problems]


def setting_title(name: str, methods: Iterable[str] = ()) -> str:
    """What the form calls a setting of the recipe, such as training.learning_rate; a name that it does not have stays.

    Methods may call settings of one name differently: it is the title of the first of `methods` that has it, or else of any.
    """
    return next((titles[name] for titles in _names(methods) if name in titles), name)


def _by_title(problem: str, methods: tuple[str, ...]) -> str:
    name, space, rest = problem.partition(" ")
    return f"{setting_title(name, methods)}{space}{rest}"


def _names(methods: Iterable[str]) -> Iterator[dict[str, str]]:
    groups = [("", Recipe), ("", Turn), ("dataset.", DatasetChoice), ("training.", TrainingSettings)]
    groups += [("method_settings.", METHODS[method].settings) for method in (*methods, *METHODS) if method in METHODS]
    for prefix, schema in groups:
        yield {prefix + name: ENGLISH[f"{setting_key(schema, name)}.title"] for name in schema.model_fields}
