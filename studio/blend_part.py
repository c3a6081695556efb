"""Several LoRA adapters as one: a slider for each, heard beside the others and kept as a new adapter."""

import hashlib
from typing import get_args

import gradio as gr

from jobs.blends import blend_of, save_blend
from jobs.methods import METHODS
from jobs.playground.client import PlaygroundClient
from jobs.playground.request import Blend, Combination
from jobs.services import Services
from storage.problems import StudioError
from storage.records import Adapter
from studio.frame import on_choice, static_html
from studio.playground_bases import Base, Bases, adapter_choice, adapter_names
from studio.problems import attempt, problem_box
from studio.render import render
from studio.text import label, say
from studio.views.panes import Answer

MOST = 8  # adapters
KEEP_A_SHARE = ("ties", "dare_linear", "dare_ties", "magnitude_prune")  # which ask how much of each adapter stays


class BlendPart:
    """The sliders belong to the chosen adapters that can be blended, in their order."""

    def __init__(self, services: Services, bases: Bases, client: PlaygroundClient):
        self.services, self.bases, self.client = services, bases, client

    def build(self) -> None:
        with gr.Accordion(label("blend.title"), open=False, elem_id="blend-fold"):
            self.hint = static_html(render("hint.html", text=say("blend.choose")), elem_id="blend-hint")
            with gr.Row(elem_classes="st-fields"):
                self.sliders = [
                    gr.Slider(-1, 2, value=0.5, step=0.05, label=label("blend.weight"), visible=False, elem_id=f"blend-{number}")
                    for number in range(MOST)
                ]
            with gr.Row(elem_classes="st-fields"):
                self.combination = gr.Dropdown(
                    [(label(f"blend.by.{name}"), name) for name in get_args(Combination)],
                    value="cat",
                    label=label("blend.combination"),
                    info=label("blend.combination_help"),
                    filterable=False,
                    elem_id="blend-combination",
                )
                self.density = gr.Slider(
                    0.05, 1, value=0.5, step=0.05, label=label("blend.density"), info=label("blend.density_help"), visible=False,
                    elem_id="blend-density",
                )
                self.heard = gr.Checkbox(label=label("blend.hear"), info=label("blend.hear_help"), elem_id="blend-hear")
            with gr.Row(elem_classes="st-inline"):
                self.name = gr.Textbox(label=label("blend.name"), max_lines=1, elem_id="blend-name")
                self.save = gr.Button(label("blend.save"), elem_id="blend-save", size="md", scale=0, min_width=190)
            self.notice = static_html("", elem_id="blend-notice")

    @property
    def fields(self) -> list:
        return [*self.sliders, self.combination, self.density, self.heard]

    @property
    def outputs(self) -> list:
        return [self.hint, *self.sliders]

    def listen(self, base: gr.Dropdown, adapters: gr.Dropdown) -> None:
        quick = {"show_progress": "hidden", "api_visibility": "private"}
        on_choice(self.combination)(
            lambda by: gr.Slider(visible=by in KEEP_A_SHARE), self.combination, self.density, queue=False, **quick
        )
        inputs = {base, adapters, self.name, *self.fields}
        outputs = [adapters, self.name, self.notice]
        self.save.click(lambda values: self.save_clicked(values, base, adapters), inputs, outputs, **quick)

    def shown(self, adapters: list[Adapter]) -> dict:
        """A slider for each adapter that can be blended."""
        found = [adapter for adapter in adapters if can_blend(adapter)][:MOST]
        titles = [name for name, _ in adapter_names(found)] + [None] * (MOST - len(found))
        return {
            self.hint: render("hint.html", text=say("blend.choose")) if len(found) < 2 else "",
            **{slider: gr.Slider(label=title, visible=True) if title else gr.Slider(visible=False)
               for slider, title in zip(self.sliders, titles, strict=True)},
        }

    def weights(self, values: dict, adapters: list[Adapter]) -> list[tuple[Adapter, float]]:
        """The adapters that take part, with their weights; raises StudioError for fewer than two."""
        found = [(adapter, values[slider]) for adapter, slider in zip(
            [adapter for adapter in adapters if can_blend(adapter)][:MOST], self.sliders, strict=False) if values[slider]]
        if len(found) < 2:
            raise StudioError(say("blend.too_few"))
        return found

    def blend(self, values: dict, weights: list[tuple[Adapter, float]]) -> Blend:
        return blend_of(self.services, weights, values[self.combination], values[self.density])

    def pane(self, values: dict, adapters: list[Adapter]) -> Answer | None:
        """A pane for the blend, where it is to be heard."""
        if not values[self.heard]:
            return None
        weights = self.weights(values, adapters)
        blend = self.blend(values, weights)
        id = f"blend-{hashlib.sha256(blend.model_dump_json().encode()).hexdigest()[:10]}"  # another blend is another answerer
        title = " + ".join(f"{weight:g} {adapter.name}" for adapter, weight in weights)
        return Answer(id, title, say("blend.pane"), blend=blend)

    def save_clicked(self, values: dict, base_field: gr.Dropdown, adapters_field: gr.Dropdown) -> dict:
        base = self.bases.find(values[base_field])
        chosen = self.bases.chosen(base, values[adapters_field] or []) if base else []
        saved = attempt(self.saved, base, values, chosen)
        if saved.problems:
            return {self.notice: problem_box(list(saved.problems))}
        return {
            adapters_field: adapter_choice(self.bases.adapters_of(base), chosen),
            self.name: "",
            self.notice: render("blend_saved.html", run=saved.value),
        }

    def saved(self, base: Base, values: dict, chosen: list[Adapter]):
        weights = self.weights(values, chosen)
        return save_blend(self.services, self.client, base.choice, values[self.name] or "", weights, self.blend(values, weights))


def can_blend(adapter: Adapter) -> bool:
    """Whether PEFT may be able to add it up: plain LoRA; the playground looks closer."""
    return adapter.method in METHODS and METHODS[adapter.method].peft_type == "LORA"
