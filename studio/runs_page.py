"""Runs: the queue, and below it the lab book."""

import hashlib
import time

import gradio as gr

from jobs.expected import read_queue
from jobs.services import Services
from jobs.turn import hold
from storage.problems import StudioError
from storage.records import Request, RunState
from studio.asking import ask_box, read_ask
from studio.frame import page_frame, static_html
from studio.problems import explain_problems
from studio.text import label, say
from studio.views.queue_view import Doing, asks_first, queue_section, why_nothing_starts
from studio.views.run_rows import SORTS, run_rows, runs_table

ALL = "all"
ROWS = 200  # that are shown at first, and with each press of Show more


class RunsPage:
    """Two tables that are sent again only when something in them changed."""

    def __init__(self, services: Services):
        self.services = services

    def build(self, blocks: gr.Blocks) -> None:
        page_frame("runs", say("page.runs"), say("runs.lead"))
        queue = static_html("", elem_id="queue")
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
        table = static_html("", elem_id="runs-table", elem_classes="st-slot-table")
        more = gr.Button(label("runs.more"), visible=False, elem_id="runs-more", size="md")
        rows = gr.State(ROWS)
        doing = gr.State(Doing())
        # what the page shows; kept in the page itself, so that it travels together with the tables
        shown = gr.Textbox(visible="hidden", elem_id="runs-shown")
        ask = ask_box("queue-ask")
        timer = gr.Timer(2)

        choice = [words, state, sort, rows, doing, shown]
        outputs = [queue, table, more, shown]
        quick = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        blocks.load(self.refreshed, choice, outputs, show_progress="hidden", api_visibility="private")
        timer.tick(self.refreshed, choice, outputs, **quick)
        gr.on(
            [words.change, state.change, sort.change],
            self.searched,
            [words, state, sort, doing, shown],
            [*outputs, rows],
            trigger_mode="always_last",
            **quick,
        )
        more.click(self.more_clicked, choice, [*outputs, rows], **quick)
        ask.change(self.asked, [ask, *choice], [*outputs, doing], trigger_mode="multiple", **quick)

    # ---- events

    @explain_problems
    def refreshed(self, words: str, state: str, sort: str, rows: int, doing: Doing, shown: str) -> list:
        """The queue and the table for this search, where they are not what the page shows already."""
        return self._changed(self._queue(doing), words, state, sort, rows, shown)

    @explain_problems
    def searched(self, words: str, state: str, sort: str, doing: Doing, shown: str) -> list:
        """The table for another search. The queue stays as it is until the clock's next tick: it has nothing to do with it."""
        return [*self._changed(None if shown else self._queue(doing), words, state, sort, ROWS, shown), ROWS]

    @explain_problems
    def more_clicked(self, words: str, state: str, sort: str, rows: int, doing: Doing, shown: str) -> list:
        return [*self._changed(None if shown else self._queue(doing), words, state, sort, rows + ROWS, shown), rows + ROWS]

    def asked(self, ask: str, words: str, state: str, sort: str, rows: int, doing: Doing, shown: str) -> list:
        """A button of the queue: what is to be done, with which run, and a number that makes each press another text."""
        what, run_id = read_ask(ask) or ("", "")
        doing = self._do(what, run_id)
        return [*self.refreshed(words, state, sort, rows, doing, shown), doing]

    # ---- inside

    def _changed(self, queue: str | None, words: str, state: str, sort: str, rows: int, shown: str) -> list:
        """Queue (None: as it is) and table, where they are not what the page shows already."""
        table, count = self._table(words, state, sort, rows)
        before = (shown or " ").split(" ")
        marks = [old if html is None else hashlib.sha256(html.encode()).hexdigest()[:16]
                 for html, old in zip((queue, table), before, strict=True)]
        changed = [
            gr.skip() if mark == old else html for html, mark, old in zip((queue, table), marks, before, strict=True)
        ]
        return [*changed, gr.Button(visible=count > rows), " ".join(marks)] if marks != before else [gr.skip()] * 4

    @explain_problems
    def _do(self, what: str, run_id: str) -> Doing:
        try:
            if what in ("up", "down", "top"):
                self.services.queue.move(run_id, what)
            elif what in ("hold", "release"):
                hold(self.services, run_id, what == "hold")
            elif what == "stop":
                self.services.queue.ask(run_id, Request.STOP)
            elif what == "cancel" and asks_first(self.services.runs.get(run_id)):
                return Doing(asking=run_id)
            elif what in ("cancel", "cancel-yes"):
                self.services.queue.ask(run_id, Request.CANCEL)
        except StudioError as problem:  # the run has gone on since the table was sent
            return Doing(problem=str(problem))
        return Doing()

    def _queue(self, doing: Doing) -> str:
        now = time.time()
        queue = read_queue(self.services, now)
        return queue_section(queue, why_nothing_starts(self.services, queue.waiting, now), doing, now)

    def _table(self, words: str, state: str, sort: str, rows: int) -> tuple[str, int]:
        states = [] if state == ALL else [RunState(state)]
        runs = self.services.runs.search(words or "", states=states, sort=sort, descending=SORTS[sort], limit=rows)
        count = len(runs) if len(runs) < rows else self.services.runs.count(words or "", states=states)
        return runs_table(run_rows(runs), searched=bool(words or states), count=count), count
