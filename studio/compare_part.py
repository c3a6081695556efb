"""The folded part of the Train page that compares methods: a run for each of several, all with the same budget."""

import hashlib
import json
from typing import Any

import gradio as gr
from gradio.components import Component

from jobs.comparison import FEWEST, equal_budget, usual_methods, why_not
from jobs.methods import METHODS
from jobs.services import Services
from jobs.sweep import submit_comparison
from jobs.turn import read_turn
from storage.problems import RecipeInvalid
from studio.frame import QUICK, static_html
from studio.problems import attempt, problem_box
from studio.recipe_form import by_titles
from studio.text import label, say


class ComparePart:
    """Which methods, for how many steps; everything else is as the form around it says."""

    def __init__(self, services: Services, page):
        self.services, self.page = services, page

    def build(self) -> None:
        with gr.Accordion(label("compare.fold"), open=False, elem_id="compare") as self.fold:
            static_html(f"<p class='st-soft'>{say('compare.help')}</p>")
            self.methods = gr.Dropdown(
                [(label(f"method.{name}.title"), name) for name in METHODS],
                value=[],
                multiselect=True,
                label=label("compare.methods"),
                info=label("compare.methods_help"),
                elem_id="compare-methods",
            )
            with gr.Row(elem_classes="st-inline"):
                self.steps = gr.Number(
                    value=0, precision=0, minimum=0, label=label("compare.steps"), info=label("compare.steps_help"),
                    elem_id="compare-steps",
                )
                self.start = gr.Button(
                    label("compare.start"), variant="primary", elem_id="compare-start", size="md", scale=0, min_width=190
                )
            self.line = static_html("", elem_id="compare-line")
            self.problems = static_html("", elem_id="compare-problems")

    def listen(self, answered: str) -> None:
        """Once the whole page is built; `answered` is the script that leads to the address of what was started."""
        page = self.page
        asked = {page.method, page.data.fields.task, page.settings.of_recipe.fields["quantization"], self.methods}
        self.fold.expand(self.opened, asked, [self.methods, self.line], **QUICK)
        changes = [self.methods.change, page.data.fields.task.change, page.settings.of_recipe.fields["quantization"].change]
        gr.on(changes, self.changed, asked, self.line, trigger_mode="always_last", **QUICK)
        started = self.start.click(
            self.start_clicked,
            {*page._inputs(), self.methods, self.steps},
            [self.problems, page.address],
            show_progress_on=self.problems,
            preprocess=False,
            api_visibility="private",
        )
        started.success(None, page.address, None, js=answered, api_visibility="private")

    # ---- clicks

    def opened(self, values: dict) -> dict:
        """Where nothing is chosen yet, some of the best known that serve the task, the method of step 3 among them."""
        task, quantization = self._asked(values)
        chosen = values[self.methods] or usual_methods(task, quantization, values[self.page.method] or "")
        return {self.methods: chosen, self.line: self._line(chosen, task, quantization)}

    def changed(self, values: dict) -> str:
        return self._line(values[self.methods], *self._asked(values))

    def start_clicked(self, values: dict) -> tuple[str, str]:
        started = attempt(self._start, values)
        if started.problems:
            return problem_box(by_titles(list(started.problems))), ""
        return "", f"/sweep?id={started.value}"

    # ---- inside

    def _asked(self, values: dict) -> tuple[str, str]:
        return values[self.page.data.fields.task], values[self.page.settings.of_recipe.fields["quantization"]] or "none"

    @staticmethod
    def _line(methods: list[str] | None, task: str, quantization: str) -> str:
        """How many runs it makes, and who is known not to serve the task; the start finds the rest."""
        unfit = {name: why for name in methods or [] if (why := why_not(name, task, quantization))}
        count = len(methods or []) - len(unfit)
        said = [say("compare.makes", count=count) if count >= FEWEST else say("compare.none")]
        said += [say("compare.left_out", name=METHODS[name].title, why=why) for name, why in unfit.items()]
        return "".join(f"<p class='st-makes' role='status'>{line}</p>" for line in said)

    def _start(self, values: dict[Component, Any]) -> str:
        """Queue the runs; returns the id of their sweep."""
        page, plain = self.page, self.page.read(values)
        several = equal_budget(plain, values[self.methods] or [], int(values[self.steps] or 0))
        if missing := page.data.missing(plain):
            raise RecipeInvalid(missing)
        wishes = page.start.turn.read(values)
        form = hashlib.sha256(json.dumps([several, wishes], sort_keys=True).encode()).hexdigest()
        return submit_comparison(self.services, several, f"{values[page.page_key]}-{form[:16]}", read_turn(wishes)).id
