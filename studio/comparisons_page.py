"""Comparisons: who wins, and every comparison that was kept, to judge, export and delete."""

from dataclasses import replace

import gradio as gr

from jobs.services import Services
from storage.problems import NotFound
from storage.records import Verdict
from studio.asking import ask_box, read_ask
from studio.frame import QUICK, on_choice, page_frame, static_html
from studio.problems import explain_problems, problem_box, sentences
from studio.render import render
from studio.text import label, say
from studio.views.comparisons_view import ANY, STATES, Looking, comparisons_list, standings_table

ASK = "comparisons-ask"
ROWS = 50  # more, with each press of Show more


class ComparisonsPage:
    """One base model at a time: ratings are among those that answered the same prompts."""

    def __init__(self, services: Services):
        self.services = services

    def build(self, blocks: gr.Blocks) -> None:
        page_frame("playground", say("page.comparisons"), say("comparisons.lead"))
        problems = static_html("", elem_id="comparisons-problems")
        with gr.Row(elem_classes="st-fields"):
            base = gr.Dropdown([], label=label("playground.base"), filterable=False, elem_id="comparisons-base")
            state = gr.Dropdown(
                [(label(f"comparisons.state.{state}"), state) for state in STATES],
                value=ANY,
                label=label("comparisons.state"),
                filterable=False,
                elem_id="comparisons-state",
            )
        standings = static_html("", elem_id="standings")
        parts = [problems, standings, static_html("", elem_id="comparisons", elem_classes="st-slot-table")]
        looking, ask = gr.State(Looking()), ask_box(ASK)
        private = {"show_progress": "hidden", "api_visibility": "private"}
        blocks.load(self.page_loaded, None, [base, *parts, looking], **private)
        gr.on([on_choice(base), on_choice(state)], self.chosen, [base, state], [*parts, looking], **private)
        ask.change(self.asked, [ask, base, state, looking], [*parts, looking], trigger_mode="multiple", **QUICK)

    @explain_problems
    def page_loaded(self, request: gr.Request) -> list:
        """With ?base=NAME that base model, else the one with the newest comparison."""
        names = self.services.comparisons.base_models()
        wanted = request.query_params.get("base", "")
        base = wanted if wanted in names else names[0] if names else None
        return [gr.Dropdown(names, value=base, visible=len(names) > 0), *self.chosen(base, ANY)]

    @explain_problems
    def chosen(self, base: str | None, state: str) -> list:
        return self._shown(base, state, Looking())

    @explain_problems
    def asked(self, ask: str, base: str, state: str, looking: Looking) -> list:
        """A button of the list: what is to be done, with which comparison, and with which of its answers."""
        what, id, *place = read_ask(ask)
        return self._shown_or_said(base, state, looking, what, id, place)

    def _shown_or_said(self, base: str, state: str, looking: Looking, what: str, id: str, place: list[str]) -> list:
        try:
            return self._shown(base, state, self._done(what, id, place, looking))
        except NotFound as problem:  # deleted by somebody since the list was sent
            return self._shown(base, state, Looking(), problem_box(sentences(problem)))

    def _done(self, what: str, id: str, place: list[str], looking: Looking) -> Looking:
        comparisons = self.services.comparisons
        if what in iter(Verdict):
            best = comparisons.get(id).answers[int(place[0])]["answerer"] if place else ""
            comparisons.judge(id, Verdict(what), best)
        elif what == "open":
            return replace(looking, opened="" if looking.opened == id else id, deleting="")
        elif what == "more":
            return replace(looking, rows=looking.rows + ROWS)
        elif what == "delete":
            return replace(looking, deleting=id)
        elif what == "delete-yes":
            comparisons.delete(id)
        return replace(looking, deleting="")

    def _shown(self, base: str | None, state: str, looking: Looking, problem: str = "") -> list:
        found = self.services.comparisons.all(base) if base else []
        if not found:
            links = [(say("page.playground"), "/playground")]
            nothing = render("empty.html", what=say("comparisons.empty"), next=say("comparisons.empty_help"), links=links)
            return [problem, "", nothing, looking]
        return [problem, standings_table(found), comparisons_list(found, base, state, looking), looking]
