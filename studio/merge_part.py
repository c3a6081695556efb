"""An adapter or the blend put into the base model's weights: a whole model, in the library and on the shelf."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import gradio as gr

from jobs import units
from jobs.merges import merge, merged_bytes
from jobs.playground.client import PlaygroundClient
from jobs.services import Services
from jobs.uploads import safe_name
from storage.problems import StudioError
from storage.records import Adapter, Run
from studio.blend_part import BlendPart, can_blend
from studio.frame import static_html
from studio.playground_bases import Base, Bases, adapter_choice, adapter_names
from studio.problems import attempt, problem_box
from studio.render import render
from studio.text import label, say

BLEND = "blend"  # in place of a run's id


class MergePart:
    """What is merged, under which name, and how large that will be."""

    def __init__(self, services: Services, bases: Bases, blend: BlendPart, client: PlaygroundClient):
        self.services, self.bases, self.blend, self.client = services, bases, blend, client

    def build(self) -> None:
        with gr.Accordion(label("merge.title"), open=False, elem_id="merge-fold"):
            self.hint = static_html(render("hint.html", text=say("merge.choose")), elem_id="merge-hint")
            with gr.Row(elem_classes="st-inline"):
                self.what = gr.Dropdown([], label=label("merge.what"), filterable=False, elem_id="merge-what")
                self.name = gr.Textbox(label=label("merge.name"), max_lines=1, elem_id="merge-name")
                self.write = gr.Button(
                    label("merge.write"), interactive=False, elem_id="merge-write", size="md", scale=0, min_width=220
                )
            self.notice = static_html("", elem_id="merge-notice")

    @property
    def outputs(self) -> list:
        return [self.hint, self.what, self.write]

    def listen(self, base: gr.Dropdown, adapters: gr.Dropdown) -> None:
        inputs = {base, adapters, self.what, self.name, *self.blend.fields}
        outputs = [adapters, self.name, self.notice, *self.outputs]
        self.write.click(lambda values: (yield from self.write_clicked(values, base, adapters)), inputs, outputs,
                         show_progress="hidden", api_visibility="private")

    def shown(self, base: Base | None, adapters: list[Adapter]) -> dict:
        """What can be chosen, and what it takes on the disk."""
        choices = adapter_names(adapters)
        if sum(can_blend(adapter) for adapter in adapters) > 1:
            choices.append((say("merge.blend"), BLEND))
        hint = say("merge.choose")
        if base and adapters:
            size = attempt(merged_bytes, Path(base.path)).value
            free = shutil.disk_usage(self.services.settings.adapters_dir).free
            hint = say("merge.size", size=units.size(size), free=units.size(free)) if size else ""
        return {
            self.hint: render("hint.html", text=hint),
            self.what: gr.Dropdown(choices, value=choices[0][1] if choices else None),
            self.write: gr.Button(interactive=bool(choices)),
        }

    def write_clicked(self, values: dict, base_field: gr.Dropdown, adapters_field: gr.Dropdown) -> Iterator[dict]:
        base = self.bases.find(values[base_field])
        chosen = self.bases.chosen(base, values[adapters_field] or []) if base else []
        size = attempt(merged_bytes, Path(base.path)).value if base else None
        if size:
            yield {self.notice: render("hint.html", text=say("merge.writing", size=units.size(size))),
                   self.write: gr.Button(interactive=False)}
        done = attempt(self.merged, base, values, chosen)
        if done.problems:
            yield {self.notice: problem_box(list(done.problems)), self.write: gr.Button(interactive=True)}
            return
        run = done.value
        saved = render("merge_saved.html", run=run, size=units.size(self.services.adapters.get(run.id).bytes),
                       shelf=safe_name(run.name))
        yield {adapters_field: adapter_choice(self.bases.adapters_of(base), chosen), self.name: "", self.notice: saved,
               **self.shown(base, chosen)}

    def merged(self, base: Base | None, values: dict, chosen: list[Adapter]) -> Run:
        """Have it written; raises what it is refused for."""
        if values[self.what] == BLEND:
            weights = self.blend.weights(values, chosen)
            blend = self.blend.blend(values, weights)
        else:
            weights, blend = [(adapter, 1.0) for adapter in chosen if adapter.run_id == values[self.what]], None
        if not base or not weights:
            raise StudioError(say("merge.choose"))
        return merge(self.services, self.client, base.choice, values[self.name] or "", weights, blend)
