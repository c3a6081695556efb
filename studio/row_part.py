"""One row of data as the model gets it: which row, through which chat template, and the view itself."""

from pathlib import Path

import gradio as gr

from jobs.preparing.reader import Reader
from jobs.preparing.templates import BUILT_IN
from jobs.services import Services
from studio.frame import on_choice, static_html
from studio.problems import attempt, problem_box
from studio.read_fields import read_as_noted
from studio.text import label, say
from studio.views.data_view import DataView
from studio.views.rendered_view import Place, rendered_row

OWN, EDITED = "", "edited"
TO_THE_ROW = """(ask) => { if (ask.startsWith('row ')) {
    document.getElementById('data-row').scrollIntoView({ block: 'start' });
    document.querySelector('#row-number input').focus({ preventScroll: true });
} }"""


class RowPart:
    """The number of a row decides what is shown; setting it shows that row."""

    def __init__(self, services: Services, reader: Reader):
        self.services, self.reader = services, reader

    def build(self) -> None:
        with gr.Row(elem_classes="st-inline st-row-pick"):
            self.number = gr.Number(
                value=None, precision=0, label=label("data.row.number"), elem_id="row-number", scale=0, min_width=90
            )
            self.previous = gr.Button(label("data.row.previous"), elem_id="row-previous", size="md", scale=0, min_width=90)
            self.next = gr.Button(label("data.row.next"), elem_id="row-next", size="md", scale=0, min_width=70)
        self.problems = static_html("", elem_id="row-problems")
        self.view = static_html("", elem_id="row", elem_classes="st-slot-row")
        with gr.Accordion(label("data.template"), open=False, elem_id="row-template"):
            self.template = gr.Dropdown(
                [
                    (label("data.template.own"), OWN),
                    *((label(f"data.template.name.{name}"), name) for name in BUILT_IN),
                    (label("data.template.edited"), EDITED),
                ],
                value=OWN,
                filterable=False,
                label=label("data.template"),
                info=label("data.template.help"),
                elem_id="template",
            )
            self.text = gr.Textbox(
                label=label("data.template.text"), lines=6, max_lines=16, elem_id="template-text", elem_classes="st-code"
            )
            self.apply = gr.Button(label("data.template.apply"), elem_id="template-apply", size="md", scale=0, min_width=160)

    def listen(self, dataset, base, limit, also: list) -> None:
        """Show the row of that dataset (a component with its id), for a base model and a length in tokens.

        `also` are events after which a row looks otherwise.
        """
        quick = {"show_progress": "hidden", "api_visibility": "private"}
        chosen, outputs = [dataset, self.number, base, limit, self.template, self.text], [self.problems, self.view, self.text]
        changes = [self.number.change, on_choice(base), limit.change, on_choice(self.template)]
        gr.on(changes, self.shown, chosen, outputs, trigger_mode="always_last", **quick)
        for event in also:
            event.then(self.shown, chosen, outputs, **quick)
        self.apply.click(self.shown_as_written, chosen, [*outputs, self.template], **quick)
        quick |= {"queue": False}
        self.previous.click(lambda number: max(1, (number or 1) - 1), self.number, self.number, **quick)
        self.next.click(lambda number: (number or 0) + 1, self.number, self.number, **quick)

    def shown(self, dataset_id: str, number: float | None, base: str | None, limit: float | None, template: str, text: str) -> dict:
        """The row, or why it cannot be shown."""
        if number is None or not dataset_id:
            return {self.problems: ""}
        done = attempt(self._render, dataset_id, int(number), base or "", int(limit or 0), template, text)
        if done.problems:
            return {self.problems: problem_box(list(done.problems)), self.view: ""}
        html, used = done.value
        # what a person writes there stays under their fingers
        return {self.problems: "", self.view: html, **({self.text: used} if template != EDITED and used is not None else {})}

    def shown_as_written(self, dataset_id, number, base, limit, template: str, text: str) -> dict:
        """The row through the template in the text box, whichever was chosen before."""
        return {**self.shown(dataset_id, number, base, limit, EDITED, text), self.template: EDITED}

    def first(self, view: DataView, number: int | None = None) -> int | None:
        """The number to begin with: none as long as the rows are not read."""
        return (number or 1) if view.data else None

    def _render(self, dataset_id: str, number: int, base: str, limit: int, template: str, text: str) -> tuple[str, str | None]:
        view = read_as_noted(self.services, dataset_id)
        if view.data is None:
            return _hint(say("data.row.not_yet")), None
        base = base or first_base(self.services)
        if not base:
            return _hint(say("data.row.no_base")), None
        count = view.data.kept
        if not 1 <= number <= count:
            return _hint(say("data.row.none", number=f"{number:,}", count=f"{count:,}")), None
        examples, folder = view.data.examples, Path(self.services.shelf.resolve(base).path)
        file, line = examples.take([number - 1]).places()[0]
        wanted = text if template == EDITED else template
        rendered = self.reader.render(folder, view.data.folder, number - 1, view.data.format, max(1, limit), wanted)
        return rendered_row(rendered, Place(number, count, view.data.files[file], line), max(1, limit)), rendered.template


def first_base(services: Services) -> str:
    """The first base model that is usable; empty where there is none."""
    return next((entry.name for entry in services.shelf.list() if entry.facts), "")


def _hint(text: str) -> str:
    return f'<p class="st-hint">{text}</p>'
