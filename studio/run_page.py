"""Run: one run, from its place in the queue over its training to what it left."""

import hashlib
import time
from typing import get_args

import gradio as gr

from jobs.expected import expected_of
from jobs.recipe import Score
from jobs.services import Services
from storage.problems import NotFound
from storage.records import Request, Run, RunState
from studio.asking import ask_box, read_ask
from studio.certificate_part import CertificatePart
from studio.delete_part import HERE, answer, run_is_deleted
from studio.frame import QUICK, page_frame, static_html
from studio.problems import explain_problems, sentences
from studio.render import render
from studio.run_parts import EndedPart, WaitingPart
from studio.text import label, say
from studio.views import run_view
from studio.views.chart import loss_chart
from studio.views.queue_view import badges, why_nothing_starts

PARTS = ("title", "status", "links", "chart", "figures", "samples", "log", "recipe")
ASK = "run-ask"  # what the buttons in this page's HTML speak to
CURVES = ("loss", *get_args(Score))
OFTEN, USUALLY = 0.25, 1.0  # seconds between two looks: while a run gets going, and later
GETTING_GOING = 15  # seconds


class RunPage:
    """The page polls once a second while the run lives, more often until its first step, and sends the parts that changed."""

    def __init__(self, services: Services):
        self.services = services
        self.waiting = WaitingPart(services)
        self.ended = EndedPart(services)
        self.certificate = CertificatePart(services)

    def build(self, blocks: gr.Blocks) -> None:
        self.parts = {"title": page_frame("runs", say("page.run"))}
        self.parts["status"] = static_html("", elem_id="run-status", elem_classes="st-slot-status")
        with gr.Row(visible=False, elem_classes="st-buttons-row", elem_id="run-live") as self.live:
            self.waiting.build_buttons()
            self.stop = gr.Button(label("run.stop"), elem_id="run-stop", size="md", scale=0, min_width=140)
            self.cancel = gr.Button(label("run.cancel"), elem_id="run-cancel", size="md", scale=0, min_width=100)
        with gr.Row(visible=False, elem_classes="st-buttons-row", elem_id="run-sure") as self.sure:
            static_html(render("sure.html"), elem_classes="st-sure")
            self.cancel_yes = gr.Button(
                label("run.cancel_yes"), variant="stop", elem_id="run-cancel-yes", size="md", scale=0, min_width=160
            )
            self.cancel_no = gr.Button(label("run.cancel_no"), elem_id="run-cancel-no", size="md", scale=0, min_width=120)
        self.waiting.build()
        self.parts["links"] = static_html("", elem_id="run-links", elem_classes="st-slot-links")
        self.deleting = static_html("", elem_id="run-deleting")
        self.ended.build()
        self.parts["chart"] = static_html("", elem_id="run-chart", elem_classes="st-slot-chart")
        self.parts["figures"] = static_html("", elem_id="run-figures", elem_classes="st-slot-figures")
        self.certificate.build()
        self.parts["samples"] = static_html("", elem_id="run-samples")
        self.parts["log"] = static_html("", elem_id="run-log")
        self.parts["recipe"] = static_html("", elem_id="run-recipe")
        self.ask = ask_box(ASK)
        self.run_id = gr.State("")
        self.sent = gr.State({})
        self.timer = gr.Timer(USUALLY, active=False)
        self._wire(blocks)

    def _wire(self, blocks: gr.Blocks) -> None:
        outputs = [*self.parts.values(), self.deleting, self.live, self.sure, self.stop, *self.waiting.outputs,
                   *self.ended.outputs, *self.certificate.outputs, self.timer, self.sent]
        seen = [self.run_id, self.sent]
        blocks.load(self.page_loaded, None, [self.run_id, *outputs], show_progress="hidden", api_visibility="private")
        self.timer.tick(self.ticked, seen, outputs, **QUICK)
        self.stop.click(self.stop_clicked, seen, outputs, **QUICK)
        self.cancel.click(lambda: (gr.Row(visible=False), gr.Row(visible=True)), None, [self.live, self.sure], **QUICK)
        self.cancel_no.click(lambda: (gr.Row(visible=True), gr.Row(visible=False)), None, [self.live, self.sure], **QUICK)
        self.cancel_yes.click(self.cancel_clicked, seen, outputs, **QUICK)
        self.ask.change(self.asked, [self.ask, *seen], outputs, trigger_mode="multiple", **QUICK)
        self.waiting.top.click(self.top_clicked, seen, outputs, **QUICK)
        self.waiting.hold.click(self.hold_clicked, seen, outputs, **QUICK)
        self.waiting.change.click(self.change_clicked, {*seen, *self.waiting.turn.components}, outputs, **QUICK)
        self.certificate.listen(self.run_id, self.parts["links"], self._links)
        gone_on = self.ended.button.click(
            self.ended.clicked,
            [self.run_id, self.ended.epochs, self.ended.page_key],
            [self.ended.problems, self.ended.address],
            show_progress_on=self.ended.problems,
            api_visibility="private",
        )
        gone_on.then(
            None,
            self.ended.address,
            None,
            js="(address) => { if (address) window.location.assign(address); }",
            api_visibility="private",
        )

    # ---- events

    def page_loaded(self, request: gr.Request) -> dict:
        run_id = request.query_params.get("id", "")
        run = self.services.runs.find(run_id)
        return {self.run_id: run_id, **self.ticked(run_id, {}), self.deleting: run_is_deleted(run, ASK) if run else ""}

    @explain_problems
    def ticked(self, run_id: str, sent: dict) -> dict:
        """What changed since the parts whose fingerprints are in `sent`; everything else is left out."""
        try:
            run = self.services.runs.get(run_id)
        except NotFound as problem:
            return self._not_there(run_id, sentences(problem))
        parts = self._read(run)
        # thousands of values of a long run are read again only after a step
        moment, latest = f"{run.step} {run.state} {run.phase}", sent.get("latest", {})
        if sent.get("moment") != moment:
            points = self.services.runs.metrics(run.id, CURVES)
            parts["chart"] = loss_chart(points, run.total_steps, run.state.is_end)
            latest = {point.name: point.value for point in points}
        parts["figures"] = run_view.figures(run, latest)
        marks = {name: hashlib.sha256(html.encode()).hexdigest()[:16] for name, html in parts.items()}
        changed = {self.parts[name]: parts[name] for name in parts if marks[name] != sent.get(name)}
        lives = f"ended {run.deleted_at}" if run.state.is_end else f"{run.state} {run.request} {run.held}"
        rows = {} if sent.get("lives") == lives else self._rows(run)
        pace = 0 if run.state.is_end else pause(run, time.time())
        clock = {} if sent.get("pace") == pace else {self.timer: gr.Timer(pace or USUALLY, active=bool(pace))}
        # apart from the buttons: what somebody types must not be filled in anew because the run was held or released just before
        turn = f"{run.priority} {run.start_at} {run.wanted_device}"
        fields = {} if sent.get("turn") == turn else self.waiting.fill(run)
        return {**changed, **rows, **fields, **clock,
                self.sent: {**sent, **marks, "moment": moment, "latest": latest, "lives": lives, "turn": turn, "pace": pace}}

    @explain_problems
    def stop_clicked(self, run_id: str, sent: dict) -> dict:
        self.services.queue.ask(run_id, Request.STOP)
        return self.ticked(run_id, sent)

    @explain_problems
    def cancel_clicked(self, run_id: str, sent: dict) -> dict:
        self.services.queue.ask(run_id, Request.CANCEL)
        return self.ticked(run_id, sent)

    @explain_problems
    def asked(self, ask: str, run_id: str, sent: dict) -> dict:
        """A button of the run's deletion was pressed."""
        told = answer(self.services, read_ask(ask), ASK)
        return {**self.ticked(run_id, sent), self.deleting: told.question or told.notice or HERE}

    def top_clicked(self, run_id: str, sent: dict) -> dict:
        return {**self.waiting.top_clicked(run_id), **self.ticked(run_id, sent)}

    def hold_clicked(self, run_id: str, sent: dict) -> dict:
        return {**self.waiting.hold_clicked(run_id), **self.ticked(run_id, sent)}

    def change_clicked(self, values: dict) -> dict:
        run_id, sent = values[self.run_id], values[self.sent]
        return {**self.waiting.change_clicked(run_id, values), **self.ticked(run_id, sent)}

    # ---- inside

    def _read(self, run: Run) -> dict[str, str]:
        """The parts that are made anew each time; those that a step changes are left to the caller."""
        services, now = self.services, time.time()
        expected, why = None, ""
        if run.state == RunState.QUEUED:
            expected = expected_of(services, run, now)
            why = "" if badges(run, now) else why_nothing_starts(services, [run], now)
        return {
            "title": run_view.title(run),
            "status": run_view.status(run, expected, why, now),
            "links": self._links(run.id),
            "log": run_view.log(services.runs.log_lines(run.id, run_view.LINES_SHOWN), run, services.runs.events(run.id)),
            "samples": run_view.samples(run),
            "recipe": run_view.recipe(run),
        }

    def _links(self, run_id: str) -> str:
        services = self.services
        run = services.runs.get(run_id)
        before = services.runs.find(run.continues) if run.continues else None
        return run_view.links(run, services.adapters.find(run.id) if run.state.is_end else None, before,
                              services.runs.continued_by(run.id) if run.state.is_end else [])

    def _rows(self, run: Run) -> dict:
        """The buttons for what a run can still be asked for."""
        lives = not run.state.is_end
        return {
            self.live: gr.Row(visible=lives and run.request != Request.CANCEL),
            self.sure: gr.Row(visible=False),
            self.stop: gr.Button(interactive=run.request != Request.STOP, visible=run.state == RunState.RUNNING),
            **self.waiting.show(run),
            **self.ended.show(run),
            **self.certificate.show(run, self.services.adapters.find(run.id) if run.state.is_end else None),
        }

    def _not_there(self, run_id: str, problems: list[str]) -> dict:
        links = [(say("run.open_runs"), "/runs"), (say("run.open_train"), "/")]
        empty = render(
            "empty.html", what=say("run.none"), next=problems[0] if run_id else say("run.none_help"), links=links
        )
        boxes = (self.live, self.sure, self.waiting.box, self.ended.box, self.certificate.box)
        hidden = {row: gr.Row(visible=False) for row in boxes}
        return {self.parts["status"]: empty, **hidden, self.timer: gr.Timer(active=False), self.sent: {}}


def pause(run: Run, now: float) -> float:
    """Seconds until the page of a living run looks again."""
    begun = run.claimed_at if run.state == RunState.RUNNING and run.claimed_at else run.created_at
    return OFTEN if not run.step and now - begun < GETTING_GOING else USUALLY
