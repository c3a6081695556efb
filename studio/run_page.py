"""Run: one run, live while it trains and complete once it has ended."""

import hashlib
import time

import gradio as gr

from jobs.services import Services
from storage.problems import NotFound
from storage.records import Request, RunState
from studio.frame import page_frame, static_html
from studio.problems import explain_problems, sentences
from studio.render import render
from studio.text import label, say
from studio.views import run_view
from studio.views.chart import loss_chart

PARTS = ("title", "status", "links", "chart", "figures", "samples", "log", "recipe")
CURVES = ("loss", "eval_loss", "accuracy", "macro_f1")


class RunPage:
    """The page polls once a second while the run lives, and sends the parts that changed."""

    def __init__(self, services: Services):
        self.services = services

    def build(self, blocks: gr.Blocks) -> None:
        self.parts = {"title": page_frame("runs", say("page.run"))}
        self.parts["status"] = static_html("", elem_id="run-status", elem_classes="st-slot-status")
        with gr.Row(visible=False, elem_classes="st-buttons-row", elem_id="run-live") as self.live:
            self.stop = gr.Button(label("run.stop"), elem_id="run-stop", size="md", scale=0, min_width=140)
            self.cancel = gr.Button(label("run.cancel"), elem_id="run-cancel", size="md", scale=0, min_width=100)
        with gr.Row(visible=False, elem_classes="st-buttons-row", elem_id="run-sure") as self.sure:
            static_html(render("sure.html"), elem_classes="st-sure")
            self.cancel_yes = gr.Button(
                label("run.cancel_yes"), variant="stop", elem_id="run-cancel-yes", size="md", scale=0, min_width=160
            )
            self.cancel_no = gr.Button(label("run.cancel_no"), elem_id="run-cancel-no", size="md", scale=0, min_width=120)
        self.parts["links"] = static_html("", elem_id="run-links", elem_classes="st-slot-links")
        self.parts["chart"] = static_html("", elem_id="run-chart", elem_classes="st-slot-chart")
        self.parts["figures"] = static_html("", elem_id="run-figures", elem_classes="st-slot-figures")
        self.parts["samples"] = static_html("", elem_id="run-samples")
        self.parts["log"] = static_html("", elem_id="run-log")
        self.parts["recipe"] = static_html("", elem_id="run-recipe")
        self.run_id = gr.State("")
        self.sent = gr.State({})
        self.timer = gr.Timer(1, active=False)

        outputs = [*self.parts.values(), self.live, self.sure, self.stop, self.timer, self.sent]
        blocks.load(self.page_loaded, None, [self.run_id, *outputs], show_progress="hidden", api_visibility="private")
        quick = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        self.timer.tick(self.ticked, [self.run_id, self.sent], outputs, **quick)
        self.stop.click(self.stop_clicked, [self.run_id, self.sent], outputs, **quick)
        self.cancel.click(lambda: (gr.Row(visible=False), gr.Row(visible=True)), None, [self.live, self.sure], **quick)
        self.cancel_no.click(lambda: (gr.Row(visible=True), gr.Row(visible=False)), None, [self.live, self.sure], **quick)
        self.cancel_yes.click(self.cancel_clicked, [self.run_id, self.sent], outputs, **quick)

    # ---- events

    def page_loaded(self, request: gr.Request) -> list:
        run_id = request.query_params.get("id", "")
        return [run_id, *self.ticked(run_id, {})]

    @explain_problems
    def ticked(self, run_id: str, sent: dict) -> list:
        """What changed since the parts whose fingerprints are in `sent`; everything else is skipped."""
        try:
            run = self.services.runs.get(run_id)
        except NotFound as problem:
            return self._not_there(run_id, sentences(problem))
        position = self.services.runs.position(run) if run.state == RunState.QUEUED else 0
        alive = run.state.is_end or bool(self.services.workers.alive())
        parts = {
            "title": run_view.title(run),
            "status": run_view.status(run, position, alive, time.time()),
            "log": run_view.log(self.services.runs.log_lines(run.id, run_view.LINES_SHOWN), run),
            "samples": run_view.samples(run),
            "recipe": run_view.recipe(run),
        }
        # thousands of values of a long run are read again only after a step
        moment, latest = f"{run.step} {run.state} {run.phase}", sent.get("latest", {})
        if sent.get("moment") != moment:
            points = self.services.runs.metrics(run.id, CURVES)
            parts["chart"] = loss_chart(points, run.total_steps, run.state.is_end)
            latest = {point.name: point.value for point in points}
        parts["figures"] = run_view.figures(run, latest)
        if run.state.is_end:
            parts["links"] = run_view.end_links(run, self.services.adapters.find(run.id))
        marks = {name: hashlib.sha256(html.encode()).hexdigest()[:16] for name, html in parts.items()}
        changed = [parts[name] if name in parts and marks[name] != sent.get(name) else gr.skip() for name in PARTS]
        lives = "ended" if run.state.is_end else f"{run.state} {run.request}"
        rows = [gr.skip()] * 4 if sent.get("lives") == lives else self._rows(run)
        return [*changed, *rows, {**sent, **marks, "moment": moment, "latest": latest, "lives": lives}]

    @explain_problems
    def stop_clicked(self, run_id: str, sent: dict) -> list:
        self.services.runs.ask(run_id, Request.STOP)
        return self.ticked(run_id, sent)

    @explain_problems
    def cancel_clicked(self, run_id: str, sent: dict) -> list:
        self.services.runs.ask(run_id, Request.CANCEL)
        return self.ticked(run_id, sent)

    # ---- inside

    @staticmethod
    def _rows(run) -> list:
        """The live buttons while a run can still be asked for something, and the clock while it lives."""
        lives = not run.state.is_end
        return [
            gr.Row(visible=lives and run.request != Request.CANCEL),
            gr.Row(visible=False),
            gr.Button(interactive=run.request != Request.STOP, visible=run.state == RunState.RUNNING),
            gr.Timer(active=lives),
        ]

    @staticmethod
    def _not_there(run_id: str, problems: list[str]) -> list:
        links = [(say("run.open_runs"), "/runs"), (say("run.open_train"), "/")]
        empty = render(
            "empty.html", what=say("run.none"), next=problems[0] if run_id else say("run.none_help"), links=links
        )
        return [
            gr.skip(),
            empty,
            *[gr.skip()] * (len(PARTS) - 2),
            gr.Row(visible=False),
            gr.Row(visible=False),
            gr.skip(),
            gr.Timer(active=False),
            {},
        ]
