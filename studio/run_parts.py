"""What a person can do with a run: change its place while it waits, and go on from it once it has ended."""

import uuid

import gradio as gr

from jobs.continuing import can_continue, continue_run
from jobs.services import Services
from jobs.turn import change_turn, hold, turn_of
from storage.records import Run, RunState
from studio.frame import static_html
from studio.problems import attempt, problem_box
from studio.recipe_form import by_titles
from studio.start_step import TurnFields
from studio.text import label, say


class WaitingPart:
    """Hold, to the top, and a folded form for priority, device and time. Visible while a run waits."""

    def __init__(self, services: Services):
        self.services = services
        self.turn = TurnFields(services, ("priority", "start_at", "device"))

    def build_buttons(self) -> None:
        """The buttons, in the row that the other buttons of a living run are in."""
        self.top = gr.Button(label("run.top"), visible=False, elem_id="run-top", size="md", scale=0, min_width=120)
        self.hold = gr.Button(label("run.hold"), visible=False, elem_id="run-hold", size="md", scale=0, min_width=110)

    def build(self) -> None:
        with gr.Column(visible=False, elem_id="run-waits", elem_classes="st-plain") as self.box:
            with gr.Accordion(label("run.turn"), open=False, elem_id="run-turn"):
                with gr.Row(elem_classes="st-fields"):
                    self.turn.build()
                self.change = gr.Button(label("run.turn_change"), elem_id="run-turn-change", size="md", scale=0, min_width=120)
                self.problems = static_html("", elem_id="run-turn-problems")

    @property
    def outputs(self) -> list:
        return [self.box, self.top, self.hold, *self.turn.components, self.problems]

    def show(self, run: Run) -> dict:
        """The buttons, and whether the form is there, for the state that this run is in."""
        waits = run.state == RunState.QUEUED and not run.request
        return {
            self.box: gr.Column(visible=waits),
            self.top: gr.Button(visible=waits),
            self.hold: gr.Button(label("run.release" if run.held else "run.hold"), visible=waits),
        }

    def fill(self, run: Run) -> dict:
        """The form as this run has it."""
        return self.turn.fill(turn_of(run))

    def top_clicked(self, run_id: str) -> dict:
        return self._told(attempt(self.services.queue.move, run_id, "top"))

    def hold_clicked(self, run_id: str) -> dict:
        return self._told(attempt(lambda: hold(self.services, run_id, not self.services.runs.get(run_id).held)))

    def change_clicked(self, run_id: str, values: dict) -> dict:
        return self._told(attempt(lambda: change_turn(self.services, run_id, **self.turn.read(values))))

    def _told(self, done) -> dict:
        return {self.problems: problem_box(by_titles(list(done.problems)))}


class EndedPart:
    """Resume for a run that did not come to its end, more epochs for one that did. Visible where there is a checkpoint."""

    def __init__(self, services: Services):
        self.services = services

    def build(self) -> None:
        with gr.Row(visible=False, elem_id="run-go-on", elem_classes="st-inline") as self.box:
            self.epochs = gr.Number(
                label=label("run.continue_epochs"), precision=None, minimum=0, elem_id="run-epochs", scale=0, min_width=140
            )
            self.button = gr.Button(label("run.continue"), elem_id="run-continue", size="md", scale=0, min_width=160)
        self.problems = static_html("", elem_id="run-continue-problems")
        self.page_key = gr.State("")
        self.address = gr.Textbox(visible="hidden", elem_id="run-address")

    @property
    def outputs(self) -> list:
        return [self.box, self.epochs, self.button, self.page_key]

    def show(self, run: Run) -> dict:
        if not can_continue(self.services, run):
            return {self.box: gr.Row(visible=False)}
        done = run.state == RunState.FINISHED
        words = say("run.continue") if done else say("run.resume", step=f"{run.checkpoint_step or run.step:,}")
        epochs = run.recipe.get("training", {}).get("epochs", 1)
        return {
            self.box: gr.Row(visible=True),
            self.epochs: gr.Number(value=epochs + max(1, round(epochs)), visible=done),
            self.button: gr.Button(words),
            self.page_key: uuid.uuid4().hex,
        }

    def clicked(self, run_id: str, epochs: float | None, page_key: str) -> tuple[str, str]:
        """The problems, or the address of the run that goes on; a double click makes one."""
        started = attempt(self._continue, run_id, epochs, page_key)
        return problem_box(list(started.problems)), "" if started.problems else f"/run?id={started.value.id}"

    def _continue(self, run_id: str, epochs: float | None, page_key: str) -> Run:
        finished = self.services.runs.get(run_id).state == RunState.FINISHED
        wanted = epochs if finished else None
        return continue_run(self.services, run_id, epochs=wanted, submission_key=f"{page_key}-{wanted}")
