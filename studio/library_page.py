"""Library: the adapters that runs left, the data they learnt from, and what was deleted."""

import gradio as gr

from jobs.housekeeping import bytes_of, disk_use
from jobs.services import Services
from studio.asking import ask_box, read_ask
from studio.delete_part import Answer, answer
from studio.frame import page_frame, static_html
from studio.problems import explain_problems
from studio.render import render
from studio.text import say
from studio.views.adapter_list import adapter_list
from studio.views.dataset_list import dataset_list
from studio.views.trash_view import trash_view

ASK = "library-ask"


class LibraryPage:
    """Lists that are read when the page opens, and again when something is deleted or restored."""

    def __init__(self, services: Services):
        self.services = services

    def build(self, blocks: gr.Blocks) -> None:
        page_frame("library", say("page.library"), say("library.lead"))
        parts = [
            static_html("", elem_id="library-sizes"),
            static_html("", elem_id="library-notice"),
            static_html("", elem_id="adapters", elem_classes="st-slot-table"),
            static_html("", elem_id="library-data"),
            static_html("", elem_id="library-trash"),
        ]
        ask = ask_box(ASK)
        blocks.load(self.page_loaded, None, parts, show_progress="hidden", api_visibility="private")
        ask.change(self.asked, ask, parts, trigger_mode="multiple", queue=False, show_progress="hidden", api_visibility="private")

    @explain_problems
    def page_loaded(self) -> list[str]:
        return self.parts(Answer())

    @explain_problems
    def asked(self, ask: str) -> list[str]:
        """A button of a deletion was pressed."""
        return self.parts(answer(self.services, read_ask(ask), ASK))

    def parts(self, answer: Answer) -> list[str]:
        services = self.services
        deleted = [(thing, bytes_of(services, thing.kind, thing.id)) for thing in services.trash.all()]
        return [
            render("library_sizes.html", sizes=vars(disk_use(services)).items()),
            answer.notice,
            adapter_list(services.adapters.all(), answer=answer, target=ASK),
            dataset_list(services.datasets.all(), services.trash.uses_of_datasets(), answer=answer, target=ASK),
            trash_view(deleted, answer=answer, target=ASK),
        ]
