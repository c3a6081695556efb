"""The folded part of the Train page that makes a sweep: several values for some settings, and how many runs they make."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import gradio as gr
from gradio.components import Component

from jobs.methods import METHODS
from jobs.recipe import Quantization, Recipe, TrainingSettings
from jobs.services import Services
from jobs.sweep_plan import expand, is_sweep
from studio.field_values import NUMBER
from studio.frame import static_html
from studio.method_fields import names_of
from studio.problems import attempt, problem_box
from studio.recipe_form import by_titles
from studio.text import label, say, setting_key

SLOTS = 12  # fields for the main numbers of the tried methods; of more methods, the first ones have some
SCHEMAS = {method.settings.__name__: method.settings for method in METHODS.values()}


@dataclass(frozen=True)
class Tried:
    """What the fields in the browser mean, a schema and a setting each, and what was typed for any."""

    fields: list[str]
    typed: dict[str, str]

    def to_json(self) -> str:
        return json.dumps({"fields": self.fields, "typed": self.typed})


class SweepForm:
    """Fields that hold several values each. What is empty stays as it is above them."""

    def __init__(self, services: Services):
        self.services = services

    def build(self, method: str) -> None:
        fields = _fields([method])
        with gr.Accordion(label("train.sweep"), open=False, elem_id="sweep") as fold:
            static_html(f"<p class='st-soft'>{say('train.sweep.help')}</p>")
            with gr.Row(elem_classes="st-fields"):
                self.methods = _choices("train.sweep.methods", [(label(f"method.{name}.title"), name) for name in METHODS])
                self.bases = _choices("train.sweep.bases", [])
                self.quantizations = _choices(
                    f"{setting_key(Recipe, 'quantization')}.title",
                    [(label(f"choice.{name}"), name) for name in get_args(Quantization)],
                )
            with gr.Row(elem_classes="st-fields"):
                self.rates = gr.Textbox(**_looks("TrainingSettings.learning_rate"), max_lines=1, elem_id="sweep-rate")
                # the main settings of the tried methods; those with the same settings share their fields
                self.numbers = [
                    gr.Textbox(**(_looks(fields[number]) if number < len(fields) else {"label": "", "visible": False}),
                               max_lines=1, elem_id=f"sweep-number-{number}")
                    for number in range(SLOTS)]
        self.tried = gr.Textbox(Tried(fields, {}).to_json(), visible="hidden", elem_id="sweep-fields")
        self.line = static_html("", elem_id="sweep-line")
        fold.expand(self.opened, None, self.bases, queue=False, show_progress="hidden", api_visibility="private")

    @property
    def components(self) -> list[Component]:
        return [self.methods, self.bases, self.quantizations, self.rates, *self.numbers, self.tried]

    @property
    def typed_into(self) -> list[Component]:
        """The fields whose change makes other runs."""
        return self.components[:-1]

    @property
    def shown(self) -> list[Component]:
        """What a change of a field changes in turn."""
        return [self.line, *self.numbers, self.tried]

    def opened(self) -> gr.Dropdown:
        """The base models that are there now."""
        return gr.Dropdown([entry.name for entry in self.services.shelf.list()])

    def clear(self, method: str) -> dict:
        """Nothing tried yet, for a form that is filled in anew."""
        several = {field: [] for field in (self.methods, self.bases, self.quantizations)}
        return {**several, self.rates: "", **self._show(_fields([method]), {}, SLOTS), self.line: ""}

    def changed(self, values: Mapping[Component, Any], plain: dict) -> dict:
        """The line that says how many runs there will be, and the fields of the methods that are tried."""
        line = {self.line: self._line(self.read(values, plain))}
        fields, tried = _fields(values[self.methods] or [plain["method"]]), self._tried(values)
        if fields == tried.fields:
            return line
        return {**line, **self._show(fields, {**tried.typed, **self._held(values)}, len(tried.fields))}

    def read(self, values: Mapping[Component, Any], plain: dict) -> dict:
        """The recipe of the form with a list where there are several values."""
        methods = values[self.methods] or [plain["method"]]
        training = dict(plain["training"])
        if rates := _split(values[self.rates]):
            training["learning_rate"] = _one_or_list(rates)
        elif methods != [plain["method"]] and training["learning_rate"] == METHODS[plain["method"]].learning_rate:
            training["learning_rate"] = None  # nobody typed it: each method has its own
        own = {}
        for method in methods:
            schema = METHODS[method].settings
            # what was typed above is meant for the method there; the others have their defaults
            own[method] = dict(plain["method_settings"]) if schema is METHODS[plain["method"]].settings else {}
            for field, text in self._held(values).items():
                of, _, name = field.partition(".")
                if of == schema.__name__ and (numbers := _split(text)):
                    own[method][name] = _one_or_list(numbers)
        return {
            **plain,
            "base_model": _one_or_list(values[self.bases]) or plain["base_model"],
            "quantization": _one_or_list(values[self.quantizations]) or plain["quantization"],
            "method": _one_or_list(methods),
            "method_settings": own if len(methods) > 1 else own[methods[0]],
            "training": training,
        }

    # ---- inside

    def _show(self, fields: list[str], typed: dict[str, str], before: int) -> dict:
        """These fields, and those hidden that only the earlier ones, `before` in number, needed."""
        used = {slot: gr.update(**_looks(field), value=typed.get(field, ""), visible=True)
                for slot, field in zip(self.numbers, fields, strict=False)}
        spare = {slot: gr.update(visible=False, value="") for slot in self.numbers[len(fields):before]}
        return {**used, **spare, self.tried: Tried(fields, typed).to_json()}

    def _tried(self, values: Mapping[Component, Any]) -> Tried:
        return Tried(**json.loads(values[self.tried]))

    def _held(self, values: Mapping[Component, Any]) -> dict[str, str]:
        """From schema and setting to what its field holds."""
        return {field: values[slot] or "" for field, slot in zip(self._tried(values).fields, self.numbers, strict=False)}

    @staticmethod
    def _line(several: dict) -> str:
        if not is_sweep(several):
            return ""
        plan = attempt(expand, several)
        if plan.problems:
            return problem_box(by_titles(list(plan.problems), _listed(several["method"])))
        count = len(plan.value.trials)
        makes = say("train.sweep.makes_one") if count == 1 else say("train.sweep.makes", count=count)
        return f"<p class='st-makes' role='status'>{makes}</p>"


def _choices(key: str, choices: list) -> gr.Dropdown:
    return gr.Dropdown(choices, value=[], multiselect=True, label=label(key), elem_id=key.replace(".", "-"))


def _fields(methods: Iterable[str]) -> list[str]:
    """The main numbers of these methods, as many as there are fields for."""
    schemas = dict.fromkeys(METHODS[method].settings for method in methods)
    return [f"{schema.__name__}.{name}" for schema in schemas for name in names_of(schema, (True, NUMBER))][:SLOTS]


def _looks(field: str) -> dict[str, Any]:
    schema, _, name = field.partition(".")
    key = setting_key(SCHEMAS.get(schema, TrainingSettings), name)
    return {"label": label(f"{key}.several"), "placeholder": label(f"{key}.examples"),
            "info": label(f"methods.{schema}" if schema in SCHEMAS else "train.sweep.commas")}


def _listed(method: str | list[str]) -> list[str]:
    return method if isinstance(method, list) else [method]


def _split(text: str | None) -> list[str]:
    return [part for part in re.split(r"[,;\s]+", text or "") if part]


def _one_or_list(values: list | None) -> Any:
    """A single value as itself: it is no sweep."""
    return values[0] if values and len(values) == 1 else values
