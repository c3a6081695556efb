"""Runs: the lab book."""

import hashlib

import gradio as gr

from jobs.services import Services
from storage.records import RunState
from studio.frame import page_frame
from studio.problems import explain_problems
from studio.text import label, say
from studio.views.run_rows import SORTS, run_rows, runs_table

ALL = "all"


class RunsPage:
    """A table that is sent again only when something in it changed."""

    def __init__(self, services: Services):
        self.services = services

    def build(self, blocks: gr.Blocks) -> None:
        page_frame("runs", say("page.runs"), say("runs.lead"))
        with gr.Row(elem_classes="st-filters"):
            words = gr.Textbox(
                label=label("runs.search"),
                placeholder=label("runs.search_help"),
                max_lines=1,
                elem_id="runs-search",
                scale=3,
            )
            state = gr.Dropdown(
                [(label("runs.states_all"), ALL), *((label(f"state.{state}"), state.value) for state in RunState)],
                value=ALL,
                label=label("runs.states"),
                filterable=False,
                elem_id="runs-state",
                scale=2,
            )
            sort = gr.Dropdown(
                [(label(f"runs.sort.{name}"), name) for name in SORTS],
                value="created_at",
                filterable=False,
                label=label("runs.sort"),
                elem_id="runs-sort",
                scale=2,
            )
        table = gr.HTML("", js_on_load=None, apply_default_css=False, elem_id="runs-table", elem_classes="st-slot-table")
        sent = gr.State("")
        timer = gr.Timer(3)

        choice = {
            "inputs": [words, state, sort, sent],
            "outputs": [table, sent],
            "show_progress": "hidden",
            "api_visibility": "private",
        }
        blocks.load(self.refreshed, **choice)
        gr.on([words.change, state.change, sort.change], self.refreshed, queue=False, trigger_mode="always_last", **choice)
        timer.tick(self.refreshed, queue=False, **choice)

    @explain_problems
    def refreshed(self, words: str, state: str, sort: str, sent: str) -> list:
        """The table for this search, unless it is what the page shows already."""
        states = [] if state == ALL else [RunState(state)]
        runs = self.services.runs.search(words or "", states=states, sort=sort, descending=SORTS[sort])
        html = runs_table(run_rows(runs), searched=bool(words or states))
        mark = hashlib.sha256(html.encode()).hexdigest()
        return [gr.skip(), gr.skip()] if mark == sent else [html, mark]
