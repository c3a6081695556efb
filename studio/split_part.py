"""Splitting data into a part to train on and a part to measure with."""

import gradio as gr

from jobs.mends import SEED, mend
from jobs.services import Services
from storage.problems import StudioError
from storage.records import Dataset
from studio.frame import static_html
from studio.problems import attempt, problem_box
from studio.recipe_form import read_validation
from studio.text import label, say


class SplitPart:
    """A form that makes two new versions."""

    def __init__(self, services: Services):
        self.services = services

    def build(self) -> None:
        with gr.Row(elem_classes="st-fields"):
            self.kept = gr.Textbox(
                value="0.1", max_lines=1, label=label("data.split.kept"), info=label("data.split.kept_help"), elem_id="split-kept"
            )
            self.group = gr.Dropdown(
                [(label("data.split.nothing"), "")],
                value="",
                label=label("data.split.group"),
                info=label("data.split.group_help"),
                elem_id="split-group",
            )
            self.seed = gr.Number(
                SEED, precision=0, label=label("data.split.seed"), info=label("data.split.seed_help"), elem_id="split-seed"
            )
        self.button = gr.Button(label("data.split.button"), elem_id="split-button", size="md", scale=0, min_width=200)
        self.problems = static_html("", elem_id="split-problems")

    @property
    def inputs(self) -> list:
        return [self.kept, self.group, self.seed]

    def choices(self, columns: tuple[str, ...]) -> dict:
        return {self.group: gr.Dropdown([(label("data.split.nothing"), ""), *columns], value="")}

    def clicked(self, dataset_id: str, kept: str, group: str | None, seed: float | None) -> tuple[str, str]:
        """The problems, or the id of the part to train on."""
        done = attempt(self._split, dataset_id, kept, group or "", SEED if seed is None else int(seed))
        return (problem_box(list(done.problems)), "") if done.problems else ("", done.value.id)

    def _split(self, dataset_id: str, kept: str, group: str, seed: int) -> Dataset:
        share = read_validation(kept)
        if isinstance(share, str):
            raise StudioError(say("data.split.missing"))
        dataset = self.services.datasets.find(dataset_id)
        if dataset is None:
            raise StudioError(say("data.deleted"))
        return mend(self.services, dataset, None, "", "split", validation=share, seed=seed, group_by=group)
