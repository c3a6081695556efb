"""Sweep: the runs of one recipe with lists of values, side by side."""

import hashlib

import gradio as gr

from jobs.comparison import compare
from jobs.services import Services
from jobs.sweep import best_of, cancel_rest
from storage.problems import NotFound
from storage.records import Run, RunState, Sweep
from studio.frame import page_frame, static_html
from studio.problems import explain_problems, sentences
from studio.render import render
from studio.text import label, say
from studio.views import comparison_view, sweep_view

PARTS = ("title", "status", "links", "comparison", "table", "parallel")


class SweepPage:
    """The page polls while a run of the sweep lives, and sends the parts that changed."""

    def __init__(self, services: Services):
        self.services = services

    def build(self, blocks: gr.Blocks) -> None:
        self.parts = {"title": page_frame("runs", say("page.sweep"))}
        self.parts["status"] = static_html("", elem_id="sweep-status", elem_classes="st-slot-status")
        with gr.Row(visible=False, elem_classes="st-buttons-row", elem_id="sweep-sure") as self.sure:
            static_html(f"<p><strong>{say('sweep.cancel_sure')}</strong></p>", elem_classes="st-sure")
            cancel_yes = gr.Button(
                label("sweep.cancel_yes"), variant="stop", elem_id="sweep-cancel-yes", size="md", scale=0, min_width=160
            )
            cancel_no = gr.Button(label("run.cancel_no"), elem_id="sweep-cancel-no", size="md", scale=0, min_width=120)
        with gr.Row(elem_classes="st-buttons-row", elem_id="sweep-buttons"):
            self.parts["links"] = static_html("", elem_id="sweep-links", elem_classes="st-sure")
            self.cancel = gr.Button(
                label("sweep.cancel"), visible=False, elem_id="sweep-cancel", size="md", scale=0, min_width=140
            )
        self.parts["comparison"] = static_html("", elem_id="sweep-comparison")
        self.parts["parallel"] = static_html("", elem_id="sweep-parallel")
        with gr.Row(visible=False, elem_classes=["st-filters", "st-sort"]) as self.sorting:
            sort = gr.Dropdown(
                [(label(f"sweep.sort.{name}"), name) for name in sweep_view.SORTS],
                value=sweep_view.SORTS[0],
                filterable=False,
                label=label("runs.sort"),
                elem_id="sweep-sort",
            )
        self.parts["table"] = static_html("", elem_id="sweep-table", elem_classes="st-slot-table")
        sweep_id, sent = gr.State(""), gr.State({})
        self.timer = gr.Timer(2, active=False)

        outputs = [*(self.parts[name] for name in PARTS), self.cancel, self.sure, self.sorting, self.timer, sent]
        quick = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        shown = [sweep_id, sort, sent]
        blocks.load(self.page_loaded, None, [sweep_id, *outputs], show_progress="hidden", api_visibility="private")
        gr.on([self.timer.tick, sort.change], self.ticked, shown, outputs, **quick)
        self.cancel.click(lambda: (gr.Button(visible=False), gr.Row(visible=True)), None, [self.cancel, self.sure], **quick)
        cancel_no.click(lambda: (gr.Button(visible=True), gr.Row(visible=False)), None, [self.cancel, self.sure], **quick)
        cancel_yes.click(self.cancel_clicked, shown, outputs, **quick)

    # ---- events

    def page_loaded(self, request: gr.Request) -> list:
        sweep_id = request.query_params.get("id", "")
        return [sweep_id, *self.ticked(sweep_id, sweep_view.SORTS[0], {})]

    @explain_problems
    def ticked(self, sweep_id: str, sort: str, sent: dict) -> list:
        """What changed since the parts whose fingerprints are in `sent`; everything else is skipped."""
        try:
            sweep = self.services.sweeps.get(sweep_id)
        except NotFound as problem:
            return self._nothing(say("sweep.none"), sentences(problem)[0] if sweep_id else say("sweep.none_help"))
        runs = self.services.sweeps.runs(sweep_id)
        if not runs:
            return self._nothing(sweep.name, say("sweep.deleted"))
        lives = any(not run.state.is_end for run in runs)
        waits = any(run.state == RunState.QUEUED for run in runs)
        parts = {
            "title": sweep_view.title(sweep, runs),
            "status": sweep_view.status(runs, not waits or bool(self.services.workers.alive())),
            "links": self._links(sweep, runs),
            "comparison": comparison_view.comparison(sweep, runs, compare(sweep, runs)),
            "table": sweep_view.table(sweep, runs, sort),
            # the drawings of a comparison say more than two axes between methods and results
            "parallel": "" if sweep.varied == ["method"] else sweep_view.parallel(sweep, runs),
        }
        marks = {name: hashlib.sha256(html.encode()).hexdigest()[:16] for name, html in parts.items()}
        changed = [parts[name] if marks[name] != sent.get(name) else gr.skip() for name in PARTS]
        state = f"{lives} {sweep_view.can_cancel(runs)}"
        rows = [gr.skip()] * 4 if sent.get("state") == state else self._rows(lives, sweep_view.can_cancel(runs))
        return [*changed, *rows, {**marks, "state": state}]

    @explain_problems
    def cancel_clicked(self, sweep_id: str, sort: str, sent: dict) -> list:
        cancel_rest(self.services, sweep_id)
        return self.ticked(sweep_id, sort, {**sent, "state": ""})

    # ---- inside

    def _links(self, sweep: Sweep, runs: list[Run]) -> str:
        compared = compare(sweep, runs)
        if compared is None:
            return sweep_view.links(runs)
        best = best_of(sweep, runs)
        wanted = dict.fromkeys([*([best.id] if best else []), *compared.unbeaten])
        adapters = [adapter for run_id in wanted if (adapter := self.services.adapters.find(run_id))]
        return comparison_view.links(best, adapters)

    @staticmethod
    def _rows(lives: bool, cancellable: bool) -> list:
        return [gr.Button(visible=cancellable), gr.Row(visible=False), gr.Row(visible=True), gr.Timer(active=lives)]

    @staticmethod
    def _nothing(what: str, help: str) -> list:
        links = [(say("run.open_runs"), "/runs"), (say("run.open_train"), "/")]
        empty = render("empty.html", what=what, next=help, links=links)
        gone = [gr.Button(visible=False), gr.Row(visible=False), gr.Row(visible=False), gr.Timer(active=False)]
        return [gr.skip(), empty, *[""] * (len(PARTS) - 2), *gone, {}]
