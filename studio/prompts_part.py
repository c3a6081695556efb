"""Prompts from a file, put to all panes one after the other."""

from pathlib import Path

import gradio as gr

from jobs.judging.export import FORMATS
from studio.frame import static_html
from studio.render import render
from studio.text import label, say
from studio.views.comparisons_view import export_address

KINDS = [".txt", ".csv", ".tsv", ".json", ".jsonl"]


class PromptsPart:
    """A file, its button, and how far it is."""

    def build(self) -> None:
        with gr.Accordion(label("prompts.title"), open=False, elem_id="prompts-fold"):
            self.file = gr.File(label=label("prompts.file"), file_types=KINDS, elem_id="prompt-file", height=110)
            static_html(render("hint.html", text=say("prompts.help")))
            self.ask = gr.Button(label("prompts.ask"), elem_id="prompts-ask", size="md", scale=0, min_width=120)
        self.progress = static_html("", elem_id="prompts-progress")

    @staticmethod
    def path(value) -> Path | None:
        return Path(value) if value else None

    @staticmethod
    def said(done: int, count: int, base_model: str, ended: str = "") -> str:
        """How far the list is; `ended` is why it goes no further."""
        text = say(f"prompts.{ended or 'asking'}", number=min(done + 1, count), done=done, count=count)
        exports = [(say("comparisons.export", format=format.upper()), export_address(base_model, format)) for format in FORMATS]
        return render("prompts.html", text=text, share=done / max(count, 1), ended=bool(ended), exports=exports, base=base_model)
