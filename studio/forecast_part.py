"""What the form as it is now will take, beside Start: worked out while a person goes on, with the changes that make it fit.

The browser says when the form has come to rest (studio/behaviour.js), so that no number is forecast that is half typed.
"""

import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio.components import Component

from jobs.devices import DeviceFacts
from jobs.forecast.asking import devices_of, forecast_for
from jobs.forecast.result import FITS, UNKNOWN, Forecast
from jobs.forecast.suggest import nearest_changes
from jobs.imports import first_look, read_again
from jobs.methods import find_method
from jobs.models.inspect import inspect_base_model
from jobs.recipe import LABELLED, Recipe, TrainingSettings
from jobs.recipe_reader import read_recipe
from jobs.services import Services
from jobs.submit import family_problems
from jobs.sweep_plan import is_sweep
from jobs.uploads import find_dataset
from storage.problems import RecipeInvalid, StudioError
from studio.asking import ask_box, read_ask
from studio.field_values import to_form
from studio.frame import QUICK, static_html
from studio.problems import sentences
from studio.recipe_form import by_titles
from studio.text import say
from studio.views import forecast_view
from studio.views.forecast_view import Answer

log = logging.getLogger(__name__)

NO_SOURCE = "-"  # of a recipe that is forecast without its data
PAGES = 500      # open ones whose last answer is remembered
AT_ONCE = 8      # pages that wait for the forecaster, which answers one after the other
REST = "() => window.studioForecast?.()"
REST_IF_REPORTED = "() => { if (document.querySelector('.st-report-short')) window.studioForecast?.(); }"


@dataclass
class Told:
    """What a page was last told: of which form, and what that is refused with."""

    form: str = ""
    number: int = 0
    refused: list[str] = field(default_factory=list)


class Superseded(Exception):
    """The form has changed since."""


class ForecastPart:
    """The page asks a process of its own that has torch, one form after the other; nothing else waits for it."""

    def __init__(self, services: Services, page):
        self.services, self.page = services, page
        self.told: OrderedDict[str, Told] = OrderedDict()

    def build(self) -> None:
        self.view = static_html(forecast_view.waiting(), elem_id="forecast", elem_classes="st-forecast-slot")
        self.changes = static_html("", elem_id="forecast-changes")
        self.due = gr.Textbox(visible="hidden", elem_id="forecast-due", container=False, show_label=False)
        self.search = gr.Textbox(visible="hidden", elem_id="forecast-search", container=False, show_label=False)
        self.asked = ask_box("forecast-ask")

    def listen(self) -> None:
        """Once the whole page is built."""
        page, private = self.page, {"show_progress": "hidden", "api_visibility": "private"}
        inputs, shown = {*page._inputs(), self.due}, [self.view, self.changes, self.search, page.start.refusal]
        touched = [field.change for field in (page.base.chosen, *page.data.inputs, *page.picker.inputs, page.adapter.field,
                                              *page.settings.components, *page.sweep.typed_into, page.start.turn.fields["device"])]
        gr.on(touched, None, js=REST, **private)
        page.data.findings.change(None, js=REST_IF_REPORTED, **private)
        own = {"preprocess": False, "concurrency_limit": AT_ONCE, **private}
        self.due.change(self.form_rests, inputs, shown, trigger_mode="always_last", **own)
        self.search.change(self.look_for_changes, inputs, self.changes, trigger_mode="multiple", **own)
        form = [*page.picker.inputs, page.picker.about, page.data.validation, *page.settings.outputs, *page.sweep.shown]
        self.asked.change(self.use, {*page._inputs(), self.asked}, list(dict.fromkeys(form)), preprocess=False, **QUICK)

    # ---- events

    def form_rests(self, values: dict) -> dict:
        """What the form takes as it is, or what keeps that from being known."""
        number = int(values[self.due] or 0)
        told = self._remember(values, Told(self._key(values), number))
        html, wanted = self._forecast(values, number, told)
        return {self.view: html, self.changes: forecast_view.changes([], searching=True, wanted=wanted),
                self.page.start.refusal: "", **({self.search: str(number)} if wanted else {})}

    def look_for_changes(self, values: dict) -> Iterator[Any]:
        """What makes it fit, one by one as they are found; ends where the form has changed meanwhile."""
        number = int(values[self.due] or 0)

        def ask(recipe: Recipe) -> Forecast:
            if self.told.get(values[self.page.page_key] or "", Told()).number != number:
                raise Superseded
            return forecast_for(self.services, recipe, device=device)

        try:
            recipe, device, found = self._recipe(values), self._devices(values)[0], []
            for suggestion in nearest_changes(recipe, ask(recipe), ask):
                found.append(suggestion)
                yield forecast_view.changes(found, searching=True, wanted=True)
            yield forecast_view.changes(found, searching=False, wanted=True)
        except (StudioError, Superseded):
            yield gr.skip()  # the part above says what is wrong, or a later form has been answered
        except Exception:
            log.exception("Looking for changes that fit failed")
            yield ""

    def use(self, values: dict) -> dict:
        """Put a change into the form; what hangs on it follows, as if a person had made it."""
        words = read_ask(values[self.asked])
        told = self._fields(json.loads(words[0])) if words else {}
        if not told:
            return {}
        page, method = self.page, told.get(self.page.picker.all)
        return {**told, **page.settings_touched({**values, **told}), **({page.picker.cards: method} if method else {})}

    # ---- for Start

    def refusal(self, values: dict) -> list[str]:
        """Why this very form cannot be started, where the page has been told so; nothing is worked out for it."""
        told = self.told.get(values[self.page.page_key] or "")
        return told.refused if told and told.form == self._key(values) else []

    # ---- inside

    def _forecast(self, values: dict, number: int, told: Told) -> tuple[str, bool]:
        """The part as HTML, and whether changes are wanted."""
        if not values[self.page.base.chosen]:
            return forecast_view.quiet(number, [say("forecast.no_base")]), False
        try:
            recipe, several = self._recipe(values), self._is_several(values)
            answers = [Answer(device, forecast_for(self.services, recipe, device=device)) for device in self._devices(values)]
        except RecipeInvalid as problem:
            found = by_titles(problem.problems, [self.page._method(values)])
            return forecast_view.quiet(number, [say("forecast.waits", problem=found[0])]), False
        except StudioError as problem:
            return forecast_view.quiet(number, sentences(problem)), False
        except Exception:
            log.exception("The forecast of a form failed")
            return forecast_view.quiet(number, [say("forecast.failed")]), False
        told.refused = [] if several else forecast_view.refused(answers)
        return forecast_view.told(number, answers, several), answers[0].forecast.verdict not in (FITS, UNKNOWN)

    def _recipe(self, values: dict) -> Recipe:
        """The form as a recipe, as far as it is filled in; raises a StudioError with what keeps it from being forecast."""
        plain = self.page.read(values)
        dataset = dict(plain["dataset"])
        validation = dataset["validation"]
        if not self._can_be_read(plain):
            dataset = {"source": NO_SOURCE, "format": dataset["format"]}
            dataset |= {"validation": validation} if validation == "none" or not isinstance(validation, str) else {}
        recipe = self._started(read_recipe({**plain, "dataset": dataset}))
        base = self.services.shelf.resolve(recipe.base_model)
        facts = inspect_base_model(base.path)
        if recipe.task not in facts.tasks:
            raise RecipeInvalid([say("forecast.not_for_task", base=base.name, task=say(f"choice.{recipe.task}"))])
        method = find_method(recipe.method)
        settings = method.read_settings(recipe.method_settings)
        room = facts.context_length - method.special.taken(settings) if facts.context_length else 0
        if room > 0 and recipe.training.max_length > room:  # as at the submission
            recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"max_length": room})})
        if problems := [*method.special.refuse(settings, recipe, facts), *family_problems(method, recipe, facts)]:
            raise RecipeInvalid(problems)
        return recipe

    def _can_be_read(self, plain: dict) -> bool:
        """Whether the data are there, and read already where a forecast needs to look into them: it reads no large data itself."""
        chosen = plain["dataset"]
        if self.page.data.missing(plain):
            return False
        if plain["task"] not in LABELLED:
            return True
        try:
            dataset = find_dataset(self.services, chosen["source"])
            seen = first_look(self.services, dataset, chosen["format"], chosen["columns"], plain["task"])
            return read_again(self.services, dataset, seen) is not None
        except StudioError:
            return False  # what is wrong with them stands beside the data

    def _started(self, recipe: Recipe) -> Recipe:
        """With the settings of the adapter that it starts from."""
        if not recipe.start_from or self.services.adapters.find(recipe.start_from) is None:
            return recipe
        before = self.services.runs.get(recipe.start_from).recipe
        same = before["method"] == recipe.method
        return recipe.model_copy(update={"method_settings": before["method_settings"]}) if same else recipe

    def _devices(self, values: dict) -> list[DeviceFacts]:
        return devices_of(self.services, values[self.page.start.turn.fields["device"]] or "")

    def _is_several(self, values: dict) -> bool:
        return is_sweep(self.page.sweep.read(values, self.page.read(values)))

    def _key(self, values: dict) -> str:
        """What tells a form from another one, as far as it decides what a run takes."""
        plain = self.page.read(values)
        several = self.page.sweep.read(values, plain)
        device = values[self.page.start.turn.fields["device"]]
        return hashlib.sha256(json.dumps([{**several, "name": ""}, device], sort_keys=True, default=str).encode()).hexdigest()

    def _remember(self, values: dict, told: Told) -> Told:
        key = values[self.page.page_key] or ""
        self.told[key] = told
        self.told.move_to_end(key)
        while len(self.told) > PAGES:
            self.told.popitem(last=False)
        return told

    def _fields(self, change: Mapping[str, Any]) -> dict[Component, Any]:
        """The form's fields of settings by their names in a recipe, each with its value as the field shows it."""
        page, found = self.page, {}
        for name, value in change.items():
            part, _, setting = name.rpartition(".")
            if part == "training" and setting in page.settings.training.fields:
                found[page.settings.training.fields[setting]] = to_form(TrainingSettings, setting, value)
            elif name == "quantization":
                found[page.settings.of_recipe.fields[name]] = to_form(Recipe, name, value)
            elif name == "method":
                found[page.picker.all] = value
            elif name == "dataset.validation":
                found[page.data.validation] = value
        return found
