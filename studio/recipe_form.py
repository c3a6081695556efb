"""The recipe as a form: fields made from its schemas, read into plain values and filled in from a recipe."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio.components import Component
from pydantic import BaseModel

from jobs.methods import METHODS
from jobs.recipe import DatasetChoice, Recipe, TrainingSettings
from studio.fields import field_component, from_form, is_shown, to_form
from studio.text import ENGLISH, label, say, setting_key

RECIPE_FIELDS = ("quantization", "seed")  # the recipe's own settings that stand among the folded ones
VALIDATION_SHARES = ("0.05", "0.1", "0.2", "0.3")


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

    def has_folded(self) -> bool:
        return any(not is_shown(self.schema.model_fields[name]) for name in self.names)

    def read(self, values: dict[Component, Any]) -> dict[str, Any]:
        return {name: from_form(self.schema, name, values[field]) for name, field in self.fields.items()}

    def fill(self, settings: dict[str, Any]) -> dict[Component, Any]:
        """Each field with its value from `settings`, or its default."""
        fields = self.schema.model_fields
        return {
            component: to_form(self.schema, name, settings.get(name, fields[name].default))
            for name, component in self.fields.items()
        }


class SettingsForm:
    """Step 4 of the Train page: a few settings visible, the others folded, the method's own changing with the method."""

    def __init__(self):
        self.training = SettingsGroup(TrainingSettings)
        self.of_recipe = SettingsGroup(Recipe, RECIPE_FIELDS)
        # methods with the same settings share their fields, so that what was typed stays when one changes between them
        self.of_method = {schema: SettingsGroup(schema) for schema in dict.fromkeys(m.settings for m in METHODS.values())}
        self.boxes: dict[type[BaseModel], list[gr.Column]] = {schema: [] for schema in self.of_method}

    def build(self, method: str) -> None:
        with gr.Row(elem_classes="st-fields"):
            self.training.build(shown=True)
        self.rate.value = METHODS[method].learning_rate
        self._build_method_groups(method, shown=True)
        with gr.Accordion(label("train.settings.more"), open=False), gr.Row(elem_classes="st-fields"):
            self.training.build(shown=False)
            self.of_recipe.build(shown=False)
        if any(group.has_folded() for group in self.of_method.values()):
            with gr.Accordion(label("train.settings.method_more"), open=False):
                self._build_method_groups(method, shown=False)

    def _build_method_groups(self, method: str, shown: bool) -> None:
        for schema, group in self.of_method.items():
            with (
                gr.Column(visible=schema is METHODS[method].settings, elem_classes="st-plain") as box,
                gr.Row(elem_classes="st-fields"),
            ):
                group.build(shown)
            self.boxes[schema].append(box)

    @property
    def components(self) -> list[Component]:
        return [
            field for group in (self.training, self.of_recipe, *self.of_method.values()) for field in group.fields.values()
        ]

    @property
    def columns(self) -> list[gr.Column]:
        return [box for boxes in self.boxes.values() for box in boxes]

    @property
    def rate(self) -> Component:
        return self.training.fields["learning_rate"]

    def switch(self, method: str, rate: float | None) -> dict:
        """Show the settings of that method and hide the others. A learning rate that some method brought gives way to
        this one's own; one that a person typed stays."""
        wanted = METHODS[method].settings
        updates: dict = {box: gr.Column(visible=schema is wanted) for schema, boxes in self.boxes.items() for box in boxes}
        own = not rate or any(rate == other.learning_rate for other in METHODS.values())
        return {**updates, self.rate: METHODS[method].learning_rate if own else rate}

    def read(self, values: dict[Component, Any], method: str) -> dict[str, Any]:
        """The recipe's training, method_settings, quantization and seed."""
        return {
            **self.of_recipe.read(values),
            "training": self.training.read(values),
            "method_settings": self.of_method[METHODS[method].settings].read(values),
        }

    def fill(self, recipe: Recipe) -> dict:
        """Every field as the recipe has it."""
        method = METHODS[recipe.method]
        rate = recipe.training.learning_rate or method.learning_rate
        return {
            **self.switch(recipe.method, rate),
            **self.training.fill(recipe.training.model_dump(mode="json")),
            **self.of_recipe.fill(recipe.model_dump(mode="json", include=set(RECIPE_FIELDS))),
            **self.of_method[method.settings].fill(recipe.method_settings),
            self.rate: rate,
        }


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


def by_titles(problems: list[str]) -> list[str]:
    """Problems that begin with a setting's name in the recipe, with the name that the form shows instead."""
    return [_by_title(problem) for problem in problems]


def _by_title(problem: str) -> str:
    name, space, rest = problem.partition(" ")
    title = next((titles[name] for titles in _names() if name in titles), name)
    return f"{title}{space}{rest}"


def _names() -> Iterator[dict[str, str]]:
    groups = [("", Recipe), ("dataset.", DatasetChoice), ("training.", TrainingSettings)]
    groups += [("method_settings.", method.settings) for method in METHODS.values()]
    for prefix, schema in groups:
        yield {prefix + name: ENGLISH[f"{setting_key(schema, name)}.title"] for name in schema.model_fields}
