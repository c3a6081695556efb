"""Train: from nothing to a waiting run in five steps."""

import hashlib
import json
import uuid

import gradio as gr

from jobs.methods import METHODS
from jobs.recipe import Recipe
from jobs.recipe_reader import read_recipe, read_recipe_file
from jobs.services import Services
from jobs.submit import submit
from jobs.uploads import keep_files
from storage.problems import RecipeInvalid
from storage.records import Run
from storage.settings import REPOSITORY
from studio.base_step import BaseStep
from studio.data_step import DataStep
from studio.frame import page_frame, static_html, step_title
from studio.problems import attempt, problem_box
from studio.recipe_form import SettingsForm, by_titles
from studio.text import label, say

EXAMPLE = REPOSITORY / "assets" / "recipes" / "poet.yaml"


class TrainPage:
    """The page's components, and what happens on each click."""

    def __init__(self, services: Services):
        self.services = services
        self.base = BaseStep(services)
        self.data = DataStep(services)
        self.settings = SettingsForm()

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
            self.method = gr.Radio(
                [(label(f"method.{name}.card"), name) for name in METHODS],
                value=method,
                label=label("train.method.title"),
                show_label=False,
                container=False,
                elem_id="method",
                elem_classes="st-cards",
            )
            self.choose_when = static_html(self._choose_when(method), elem_classes="st-choose-when")
        with gr.Column(elem_classes="st-step"):
            step_title(4, "train.settings.title")
            self.settings.build(method)
        with gr.Column(elem_classes="st-step"):
            step_title(5, "train.start.title")
            with gr.Row(elem_classes="st-inline"):
                self.name = gr.Textbox(
                    label=label("train.start.name"),
                    info=label("train.start.name_help"),
                    max_length=80,
                    max_lines=1,
                    elem_id="name",
                    scale=4,
                )
                self.start = gr.Button(
                    label("train.start.button"), variant="primary", elem_id="start", size="md", scale=0, min_width=160
                )
            self.problems = static_html("", elem_id="start-problems")
        self.page_key = gr.State("")
        self.address = gr.Textbox(visible="hidden", elem_id="address")

        self._wire(blocks)

    def _wire(self, blocks: gr.Blocks) -> None:
        everything = [*self._form(), self.problems]
        loaded = [*everything, self.page_key, self.base.progress, self.base.download, self.base.timer]
        blocks.load(self.page_loaded, None, loaded, show_progress="hidden", api_visibility="private")
        self.example.click(self.example_clicked, None, everything, api_visibility="private")
        self.method.input(
            self.method_changed,
            [self.method, self.settings.rate],
            [self.choose_when, *self.settings.columns, self.settings.rate],
            show_progress="hidden",
            queue=False,
            api_visibility="private",
        )
        inputs = {self.base.chosen, *self.data.inputs, self.method, *self.settings.components, self.name, self.page_key}
        started = self.start.click(
            self.start_clicked,
            inputs,
            [self.problems, self.address],
            show_progress_on=self.problems,
            api_visibility="private",
        )
        started.then(
            None,
            self.address,
            None,
            js="(address) => { if (address) window.location.assign(address); }",
            api_visibility="private",
        )

    def _form(self) -> list:
        return [
            self.base.chosen,
            self.base.facts,
            self.data.upload,
            self.data.problems,
            self.data.view,
            *self.data.inputs,
            self.method,
            self.choose_when,
            *self.settings.components,
            *self.settings.columns,
            self.name,
        ]

    # ---- clicks

    def page_loaded(self, request: gr.Request) -> dict:
        """The shelf as it is now, and with ?from=RUN the recipe of that run."""
        fresh = {self.page_key: uuid.uuid4().hex, **self.base.go_on()}
        run_id = request.query_params.get("from")
        if not run_id:
            return {**fresh, **self.base.choose()}
        filled = attempt(self._recipe_of, run_id)
        if filled.problems:
            return {**fresh, **self.base.choose(), self.problems: problem_box(list(filled.problems))}
        return {**fresh, **self.fill(filled.value)}

    def example_clicked(self) -> dict:
        filled = attempt(self._example)
        return {self.problems: problem_box(list(filled.problems))} if filled.problems else self.fill(filled.value)

    def method_changed(self, method: str, rate: float | None) -> dict:
        return {self.choose_when: self._choose_when(method), **self.settings.switch(method, rate)}

    def start_clicked(self, values: dict) -> tuple[str, str]:
        started = attempt(self._start, values)
        if started.problems:
            return problem_box(by_titles(list(started.problems))), ""
        return "", f"/run?id={started.value.id}"

    # ---- inside

    def fill(self, recipe: Recipe) -> dict:
        """The whole form as a recipe has it."""
        return {
            **self.base.choose(recipe.base_model),
            **self.data.fill(recipe),
            self.method: recipe.method,
            self.choose_when: self._choose_when(recipe.method),
            **self.settings.fill(recipe),
            self.name: recipe.name,
            self.problems: "",
        }

    def read(self, values: dict) -> dict:
        """The form as plain values of a recipe."""
        method = values[self.method]
        return {
            "name": (values[self.name] or "").strip(),
            "base_model": values[self.base.chosen] or "",
            "task": values[self.data.task],
            "dataset": self.data.read(values),
            "method": method,
            **self.settings.read(values, method),
        }

    def _start(self, values: dict) -> Run:
        plain = self.read(values)
        missing = [] if plain["dataset"]["source"] else [say("train.data.missing")]
        try:
            recipe = read_recipe(plain)
        except RecipeInvalid as problem:
            raise RecipeInvalid([*problem.problems, *missing, *self.data.problems_of(plain)]) from problem
        if missing:
            raise RecipeInvalid(missing)
        # a second click on the same form is the same submission; a changed form is another
        form = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
        return submit(self.services, recipe, f"{values[self.page_key]}-{form[:16]}")

    def _example(self) -> Recipe:
        recipe = read_recipe_file(EXAMPLE)
        source = REPOSITORY / recipe.dataset.source
        return self._with_source(recipe, keep_files(self.services, [source]).id)

    def _recipe_of(self, run_id: str) -> Recipe:
        return read_recipe(self.services.runs.get(run_id).recipe)

    @staticmethod
    def _with_source(recipe: Recipe, dataset_id: str) -> Recipe:
        return recipe.model_copy(update={"dataset": recipe.dataset.model_copy(update={"source": dataset_id})})

    @staticmethod
    def _choose_when(method: str) -> str:
        return f"<p class='st-soft'>{say(f'method.{method}.choose_when')}</p>"
