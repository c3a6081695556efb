"""Below the panes: which data an answer, or a judged comparison, is added to."""

import gradio as gr

from jobs.judging.collecting import EXAMPLES, PREFERENCES, collect, fitting
from jobs.judging.export import example, preferences
from jobs.services import Services
from storage.records import Comparison, Dataset
from studio.frame import static_html
from studio.problems import attempt, problem_box
from studio.render import render
from studio.text import label, say


class CollectPart:
    """Stays with the data that was added to last, so that the next answer goes there too."""

    def __init__(self, services: Services):
        self.services = services

    def build(self) -> None:
        with gr.Accordion(label("collect.title"), open=False, elem_id="collect"):
            self.target = gr.Dropdown([(label("collect.new"), "")], value="", label=label("collect.target"),
                                      info=label("collect.help"), elem_id="collect-target")
        self.notice = static_html("", elem_id="collected")

    @property
    def outputs(self) -> list:
        return [self.target, self.notice]

    def choices(self, chosen: str = "") -> gr.Dropdown:
        found = [(_title(dataset), dataset.id) for dataset in fitting(self.services)]
        return gr.Dropdown([(label("collect.new"), ""), *found], value=chosen)

    def add(self, comparison: Comparison, target: str, answerer: str = "") -> dict:
        """One answer as an example, or else the whole comparison as preferences."""
        kind = EXAMPLES if answerer else PREFERENCES
        rows = [example(comparison, answerer)] if answerer else list(preferences(comparison))
        dataset = self.services.datasets.find(target) if target else None
        added = attempt(collect, self.services, rows, kind, say(f"collect.name.{kind}"), dataset)
        if added.problems:
            return {self.notice: problem_box(list(added.problems))}
        return {
            self.target: self.choices(added.value.id),
            self.notice: render("collected.html", dataset=added.value, added=len(rows)),
        }


def _title(dataset: Dataset) -> str:
    return say("collect.dataset", name=dataset.name, format=say(f"format.{dataset.format}"), version=dataset.version)
