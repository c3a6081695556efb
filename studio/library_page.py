"""Library: the adapters that runs left."""

import gradio as gr

from jobs.services import Services
from studio.frame import page_frame, static_html
from studio.problems import explain_problems
from studio.text import say
from studio.views.adapter_list import adapter_list


class LibraryPage:
    """A list that is read once, when the page opens."""

    def __init__(self, services: Services):
        self.services = services

    def build(self, blocks: gr.Blocks) -> None:
        page_frame("library", say("page.library"), say("library.lead"))
        adapters = static_html("", elem_id="adapters", elem_classes="st-slot-table")
        blocks.load(self.page_loaded, None, adapters, show_progress="hidden", api_visibility="private")

    @explain_problems
    def page_loaded(self) -> str:
        return adapter_list(self.services.adapters.all())
