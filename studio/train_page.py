"""Train: from nothing to a waiting run in five steps."""

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from html import escape

import gradio as gr
from pydantic import ValidationError

from jobs.failures import next_recipe
from jobs.methods import METHODS, find_method
from jobs.precision import precision_words
from jobs.preparing.templates import BUILT_IN
from jobs.recipe import Recipe, explain
from jobs.recipe_reader import read_recipe, read_recipe_file
from jobs.services import Services
from jobs.submit import submit
from jobs.sweep import submit_sweep
from jobs.sweep_plan import SweepPlan, expand, is_sweep
from jobs.turn import read_turn
from jobs.uploads import find_dataset, keep_files
from storage.problems import RecipeInvalid
from storage.settings import REPOSITORY
from studio.adapter_choice import AdapterChoice
from studio.base_step import BaseStep
from studio.compare_part import ComparePart
from studio.data_step import DataStep
from studio.forecast_part import REST, ForecastPart
from studio.frame import on_choice, page_frame, static_html, step_title
from studio.method_step import MethodStep
from studio.problems import attempt, problem_box
from studio.recipe_form import PRECISION_FIELDS, SettingsForm, by_titles
from studio.start_step import StartStep
from studio.sweep_form import SweepForm
from studio.text import label, say
from studio.views import forecast_view

EXAMPLE = REPOSITORY / "assets" / "recipes" / "poet.yaml"

# The browser keeps the form of a Start until it has been answered: where the server goes in between, Gradio loads the page anew
# once it is back, and the same form is sent again. It carries the same key, so that it is the same run.
KEEP_FORM = "(...form) => { sessionStorage.setItem('studio-unanswered', JSON.stringify(form)); return form; }"
TAKE_FORM = """(owner) => {
    const form = sessionStorage.getItem('studio-unanswered') || '';
    sessionStorage.removeItem('studio-unanswered');
    return [owner, form];
}"""
# Where the server has gone again since it answered, the form stays kept: there is no page to go to yet
ANSWERED = """async (address) => {
    if (address && !await fetch('/healthz').then((answer) => answer.ok, () => false)) return;
    sessionStorage.removeItem('studio-unanswered');
    if (address) window.location.assign(address);
}"""

NO_DATA = {"base_model": "-", "dataset": {"source": "-"}}  # of a recipe that is only asked for what its settings mean


def recipe_of_link(wanted: Mapping[str, str]) -> Recipe:
    """The choices in an address as a recipe without data; raises RecipeInvalid with what is wrong with them."""
    parts: dict[str, dict[str, str]] = {"method_settings": {}, "training": {}}
    for name, value in wanted.items():
        part, _, setting = name.partition(".")
        if part in parts and setting:
            parts[part][setting] = value
    method = find_method(wanted["method"])
    settings = method.read_settings(parts["method_settings"]).model_dump(mode="json")
    try:
        return Recipe(**NO_DATA, method=method.name, quantization=wanted.get("quantization", "none"),
                      method_settings=settings, training=parts["training"])
    except ValidationError as error:
        raise RecipeInvalid(explain(error, Recipe)) from error


class TrainPage:
    """The page's components, and what happens on each click."""

    def __init__(self, services: Services):
        self.services = services
        self.base = BaseStep(services)
        self.data = DataStep(services, self.base)
        self.picker = MethodStep()
        self.adapter = AdapterChoice(services)
        self.settings = SettingsForm()
        self.sweep = SweepForm(services)
        self.start = StartStep(services)
        self.compare = ComparePart(services, self)
        self.forecast = ForecastPart(services, self)

    def build(self, blocks: gr.Blocks) -> None:
        method = next(iter(METHODS))
        page_frame("train", say("page.train"), say("train.lead"))
        with gr.Row(elem_classes="st-example"):
            self.example = gr.Button(label("train.example"), elem_id="example", size="md", scale=0, min_width=150)
            static_html(f"<p>{say('train.example_help')}</p>")
        with gr.Column(elem_classes="st-step"):
            step_title(1, "train.base.title")
            self.base.build()
        with gr.Column(elem_classes="st-step"):
            step_title(2, "train.data.title")
            self.data.build()
        with gr.Column(elem_classes="st-step"):
            step_title(3, "train.method.title")
            self.picker.build(method)
            self.method = self.picker.all  # it always names the method
            self.adapter.build()
            self.compare.build()
        with gr.Column(elem_classes="st-step"):
            step_title(4, "train.settings.title")
            self.settings.build(method)
            self.sweep.build(method)
        with gr.Column(elem_classes="st-step"):
            step_title(5, "train.start.title")
            self.forecast.build()
            self.start.build()
        self.page_key = gr.Textbox(visible="hidden", elem_id="page-key")
        self.address = gr.Textbox(visible="hidden", elem_id="address")
        self.unanswered = gr.Textbox(visible="hidden", elem_id="unanswered")

        self._wire(blocks)

    def _wire(self, blocks: gr.Blocks) -> None:
        everything = [*self._form(), self.start.problems]
        loaded = [*everything, *self.start.turn.components, self.page_key, self.address, *self.base.following]
        opened = blocks.load(
            self.page_loaded,
            [self.start.remembered, self.unanswered],
            loaded,
            js=TAKE_FORM,
            show_progress="hidden",
            api_visibility="private",
        )
        opened.success(None, self.address, None, js=ANSWERED, api_visibility="private")
        opened.then(None, js=REST, api_visibility="private")  # only now: the page can be used before anything is forecast
        self.example.click(self.example_clicked, None, everything, api_visibility="private")
        # The form comes as the browser has it, and schemas check it. Gradio would look at each field in a thread of its own, and
        # refuse a choice that a later answer took away.
        plain = {"preprocess": False, "api_visibility": "private"}
        quick = {**plain, "show_progress": "hidden", "queue": False, "trigger_mode": "always_last"}
        # one event for all of these, so that no answer to an earlier one comes after that to a later one
        gr.on(
            [*(on_choice(field) for field in (*self.picker.inputs, self.base.chosen, self.start.turn.fields["device"])),
             *self.settings.decisions,
             *(field.change for field in (self.data.fields.task, self.data.fields.format))],
            self.settings_touched,
            set(self._inputs()),
            [*self.picker.inputs, self.picker.about, *self.settings.touchable, *self.sweep.shown],
            **quick,
        )
        gr.on(
            [field.change for field in self.sweep.typed_into],
            self.sweep_changed,
            set(self._inputs()),
            self.sweep.shown,
            **quick,
        )
        for event, handler in ((self.start.button.click, self.start_clicked), (self.start.asked.change, self.start_anyway)):
            started = event(
                handler,
                set(self._inputs()),
                [self.start.problems, self.start.refusal, self.address],
                js=KEEP_FORM,
                show_progress_on=self.start.problems,
                **plain,
            )
            started.success(None, self.address, None, js=ANSWERED, api_visibility="private")
        self.compare.listen(ANSWERED)
        self.forecast.listen()

    def _inputs(self) -> list:
        """What Start reads, in the order in which the browser sends it."""
        inputs = [self.base.chosen, *self.data.inputs, *self.picker.inputs, self.adapter.field, *self.settings.components,
                  *self.sweep.components, self.start.name, *self.start.turn.components, self.page_key]
        return sorted(inputs, key=lambda component: component._id)

    def _form(self) -> list:
        return [
            self.base.chosen,
            self.base.facts,
            self.data.upload,
            self.data.problems,
            self.data.view,
            *self.data.inputs,
            *self.picker.inputs,
            self.picker.about,
            self.adapter.field,
            *self.settings.outputs,
            *self.sweep.components,
            self.sweep.line,
            self.start.name,
        ]

    # ---- clicks

    def page_loaded(self, owner: str | None, unanswered: str, request: gr.Request) -> dict:
        """The shelf and the library as they are now, and a form that the server left unanswered sent again.

        With ?from=RUN the form has the recipe of that run, with ?start_from=RUN also its adapter to train on. With ?data=DATASET
        that data is chosen, perhaps with base=, max_length= and chat_template=. With ?base=NAME that base model is, and with
        ?method=NAME that method, perhaps with base=, quantization= and settings by their names in a recipe, such as
        method_settings.r=64.
        """
        fresh = {self.page_key: uuid.uuid4().hex, self.address: "", **self.base.go_on(), **self.adapter.choose(),
                 **self.start.opened(owner)}
        form = json.loads(unanswered or "[]")
        if len(form) == len(self._inputs()):  # else it is of another version of the studio
            return {**fresh, **self._send_again(form)}
        run_id, adapter = request.query_params.get("from"), request.query_params.get("start_from")
        wanted = request.query_params
        if any(wanted.get(name) for name in ("data", "method", "base")):
            return {**fresh, **(self._with_data(wanted) if wanted.get("data") else self._with_base(wanted)),
                    **(self._with_method(wanted) if wanted.get("method") else {})}
        if not run_id and not adapter:
            return {**fresh, **self._with_base({})}
        filled = attempt(self._recipe_of, run_id) if run_id else attempt(self._recipe_on_from, adapter)
        if filled.problems:
            return {**fresh, **self._with_base({}), self.start.problems: problem_box(list(filled.problems))}
        return {**fresh, **self.fill(filled.value)}

    def example_clicked(self) -> dict:
        filled = attempt(self._example)
        return {self.start.problems: problem_box(list(filled.problems))} if filled.problems else self.fill(filled.value)

    def settings_touched(self, values: dict) -> dict:
        """Another method, or a setting that decides about others."""
        plain, around = self.read(values), self._around(values)
        method, quantization, training = plain["method"], plain["quantization"], plain["training"]
        numbers = {name: training[name] for name in PRECISION_FIELDS if name in training}
        recipe = Recipe(**NO_DATA | {"base_model": values[self.base.chosen] or "-"}, method=method, quantization=quantization,
                        training=numbers)
        return {**self.picker.follow(values, method, plain["task"], quantization),
                **self.settings.touched(values, method, around),
                **(self.sweep.changed(values, plain) if method != self.settings.of_method.shown_for(values) else {}),
                self.settings.precision: self._precision(recipe, values[self.start.turn.fields["device"]])}

    def sweep_changed(self, values: dict) -> dict:
        return self.sweep.changed(values, self.read(values))

    def start_clicked(self, values: dict) -> tuple[str, str, str]:
        """Problems, why it would not fit, and the address of what was started."""
        wanted = attempt(self._wanted, values)
        refused = [] if wanted.problems else self.forecast.refusal(values)
        return ("", forecast_view.refusal(refused), "") if refused else self.start_anyway(values)

    def start_anyway(self, values: dict) -> tuple[str, str, str]:
        """The same, whatever was forecast."""
        started = attempt(self._start, values)
        if started.problems:
            return self._told(values, started.problems), "", ""
        return "", "", started.value

    # ---- inside

    def fill(self, recipe: Recipe) -> dict:
        """The whole form as a recipe has it."""
        return {
            **self.base.choose(recipe.base_model),
            **self.data.fill(recipe),
            **self.picker.choose(recipe.method, recipe.task, recipe.quantization),
            self.settings.precision: self._precision(recipe),
            **self.adapter.choose(recipe.start_from),
            **self.settings.fill(recipe),
            **self.sweep.clear(recipe.method),
            self.start.name: recipe.name,
            self.start.problems: "",
        }

    def read(self, values: dict) -> dict:
        """The form as plain values of a recipe."""
        method, around = self._method(values), self._around(values)
        return {
            "name": (values[self.start.name] or "").strip(),
            "base_model": values[self.base.chosen] or "",
            "task": around["task"],
            "dataset": self.data.read(values),
            "method": method,
            "start_from": (values[self.adapter.field] or "").strip(),
            **self.settings.read(values, method, around),
        }

    def _precision(self, recipe: Recipe, device: str | None = "") -> str:
        """What such a run will compute in, and why."""
        possible = METHODS[recipe.method].quantizations
        if recipe.quantization not in possible:
            recipe = recipe.model_copy(update={"quantization": possible[0]})
        told = attempt(precision_words, self.services, recipe, device or "")
        return problem_box(list(told.problems)) or f"<p class='st-soft'>{escape(told.value)}</p>"

    def _method(self, values: dict) -> str:
        return self.picker.chosen(values, self.settings.of_method.shown_for(values))

    def _around(self, values: dict) -> dict:
        """What settings may depend on in the rest of the form."""
        return {"task": values[self.data.fields.task], "format": values[self.data.fields.format], "method": self._method(values)}

    def _told(self, values: dict, problems: Sequence[str]) -> str:
        """Problems in the words of the chosen methods' fields."""
        return problem_box(by_titles(list(problems), [self._method(values), *values[self.sweep.methods]]))

    def _start(self, values: dict) -> str:
        """Queue the run, or the sweep; returns the address of its page."""
        several, recipe = self._wanted(values)
        # a second click on the same form is the same submission; a changed form is another
        wishes = self.start.turn.read(values)
        form = hashlib.sha256(json.dumps([several, wishes], sort_keys=True).encode()).hexdigest()
        key, turn = f"{values[self.page_key]}-{form[:16]}", read_turn(wishes)
        if is_sweep(several):
            return f"/sweep?id={submit_sweep(self.services, several, key, turn).id}"
        return f"/run?id={submit(self.services, recipe, key, turn).id}"

    def _wanted(self, values: dict) -> tuple[dict, Recipe | SweepPlan]:
        """The form as plain values and as what they mean; raises RecipeInvalid with all that can be told without the data."""
        plain = self.read(values)
        several = self.sweep.read(values, plain)
        missing = self.data.missing(plain)
        try:
            recipe = expand(several) if is_sweep(several) else read_recipe(several)
        except RecipeInvalid as problem:
            raise RecipeInvalid([*problem.problems, *missing, *self.data.problems_of(plain)]) from problem
        if missing:
            raise RecipeInvalid(missing)
        return several, recipe

    def _send_again(self, form: list) -> dict:
        values = dict(zip(self._inputs(), form, strict=True))
        started = attempt(self._start, values)
        if not started.problems:
            return {self.address: started.value}
        filled = attempt(lambda: self.fill(read_recipe(self.read(values))))
        return {**(filled.value or self._with_base({})), self.start.problems: self._told(values, started.problems)}

    def _example(self) -> Recipe:
        recipe = read_recipe_file(EXAMPLE)
        source = REPOSITORY / recipe.dataset.source
        return self._with_source(recipe, keep_files(self.services, [source]).id)

    def _with_data(self, wanted: Mapping[str, str]) -> dict:
        found = attempt(find_dataset, self.services, wanted["data"])
        base = self._with_base(wanted)
        if found.problems or found.value is None:
            return {**base, self.start.problems: problem_box(list(found.problems) or [say("data.unknown", id=wanted["data"])])}
        length, template = wanted.get("max_length", ""), wanted.get("chat_template", "")
        fields = self.settings.training.fields | self.settings.of_recipe.fields
        return {
            **base,
            **self.data.choose(found.value),
            **({fields["max_length"]: int(length)} if length.isdecimal() else {}),
            **({fields["chat_template"]: template} if template in BUILT_IN else {}),
        }

    def _with_base(self, wanted: Mapping[str, str]) -> dict:
        chosen = self._base_of(wanted)
        recipe = Recipe(**NO_DATA | {"base_model": chosen or "-"})
        return {**self.base.choose(chosen), self.settings.precision: self._precision(recipe)}

    def _base_of(self, wanted: Mapping[str, str]) -> str | None:
        """The base model that a link names, if it is on the shelf, else the usual one."""
        named = wanted.get("base")
        return named if named in [entry.name for entry in self.services.shelf.list()] else self.base.first()

    def _with_method(self, wanted: Mapping[str, str]) -> dict:
        chosen = attempt(recipe_of_link, wanted)
        if chosen.problems:
            return {self.start.problems: problem_box(by_titles(list(chosen.problems), [wanted["method"]]))}
        recipe = chosen.value.model_copy(update={"base_model": self._base_of(wanted) or "-"})
        return {**self.picker.choose(recipe.method, recipe.task, recipe.quantization), **self.settings.fill(recipe),
                **self.sweep.clear(recipe.method), self.settings.precision: self._precision(recipe)}

    def _recipe_of(self, run_id: str) -> Recipe:
        """The recipe to run again with: a failed run's has what its failure asks for."""
        return next_recipe(self.services.runs.get(run_id))

    def _recipe_on_from(self, run_id: str) -> Recipe:
        adapter = self.services.adapters.get(run_id)
        return self._recipe_of(run_id).model_copy(update={"start_from": adapter.run_id, "name": ""})

    @staticmethod
    def _with_source(recipe: Recipe, dataset_id: str) -> Recipe:
        return recipe.model_copy(update={"dataset": recipe.dataset.model_copy(update={"source": dataset_id})})
