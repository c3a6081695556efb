"""Accuracy: how right the forecasts of all runs were."""

import gradio as gr

from jobs.forecast.accuracy import LOOKED_AT, accuracy
from jobs.services import Services
from studio.frame import page_frame, static_html
from studio.problems import explain_problems
from studio.text import say
from studio.views.accuracy_view import accuracy_parts


class AccuracyPage:
    """Read once, when the page opens."""

    def __init__(self, services: Services):
        self.services = services

    def build(self, blocks: gr.Blocks) -> None:
        page_frame("runs", say("page.accuracy"), say("accuracy.lead"))
        found = static_html("", elem_id="accuracy", elem_classes="st-slot-table")
        blocks.load(self.page_loaded, None, found, show_progress="hidden", api_visibility="private")

    @explain_problems
    def page_loaded(self) -> str:
        return accuracy_parts(accuracy(self.services.runs.forecast_runs(limit=LOOKED_AT)))
