"""The certificate on the page of a run: one click makes it, with prompts and limits of one's own where somebody wants them."""

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.components import Component

from jobs.certificate.certifying import ask_certificate
from jobs.certificate.wanted import (
    Limits,
    Wanted,
    groups_as_text,
    groups_from_text,
    prompts_as_text,
    prompts_from_text,
    read_wanted,
)
from jobs.services import Services
from storage.problems import RecipeInvalid
from storage.records import Adapter, Certificate, Run
from studio.field_values import from_form, to_form
from studio.fields import field_component
from studio.frame import QUICK, static_html
from studio.problems import attempt, problem_box
from studio.text import ENGLISH, label, say, setting_key
from studio.views.certificate_view import OPEN, certificate

LISTS: dict[str, tuple[Callable, Callable, str]] = {  # what is written as lines: how it is read, how it is shown, an example
    "prompts": (prompts_from_text, prompts_as_text, "certificate.prompts_such_as"),
    "groups": (groups_from_text, groups_as_text, "certificate.groups_such_as")}


class CertificatePart:
    """Visible once a run has left an adapter; looks once a second while one is made."""

    def __init__(self, services: Services):
        self.services = services

    def build(self) -> None:
        with gr.Column(visible=False, elem_id="run-certificate", elem_classes="st-plain") as self.box:
            self.shown = static_html("", elem_id="certificate-shown")
            with gr.Row(elem_classes="st-buttons-row"):
                self.button = gr.Button(label("certificate.make"), elem_id="certificate-make", size="md", scale=0, min_width=180)
            self.problems = static_html("", elem_id="certificate-problems")
            with gr.Accordion(label("certificate.form"), open=False, elem_id="certificate-form"):
                self.lists = {name: gr.Textbox(
                    label=label(f"{setting_key(Wanted, name)}.title"), info=label(f"{setting_key(Wanted, name)}.help"), lines=3,
                    max_lines=12, placeholder=label(such_as), elem_id=f"Wanted-{name}") for name, (_, _, such_as) in LISTS.items()}
            with gr.Accordion(label("certificate.limits"), open=False, elem_id="certificate-limits"), \
                    gr.Row(elem_classes="st-fields"):
                self.limits = {name: field_component(Wanted, name) for name in Limits.model_fields}
        self.timer = gr.Timer(1, active=False)

    @property
    def outputs(self) -> list:
        """What `show` fills, once a run's page is loaded or the run has ended."""
        return [self.box, self.shown, self.button, self.timer, *self.lists.values(), *self.limits.values()]

    def listen(self, run_id: gr.State, links: Component, links_of: Callable[[str], str]) -> None:
        """`links` tells the size of the zip, which a certificate changes."""
        told = [self.shown, self.button, self.timer]
        self.timer.tick(lambda run: {**self._told(self.services.certificates.find(run)), links: links_of(run)}, run_id,
                        [*told, links], **QUICK)
        self.button.click(self.clicked, {run_id, *self.lists.values(), *self.limits.values()}, [*told, self.problems],
                          trigger_mode="once", **QUICK)
        self.run_id = run_id

    def show(self, run: Run, adapter: Adapter | None) -> dict:
        if adapter is None or run.deleted_at is not None:
            return {self.box: gr.Column(visible=False), self.timer: gr.Timer(active=False)}
        asked = self.services.certificates.find(run.id)
        wanted = attempt(read_wanted, asked.wanted).value if asked else None  # an older studio may have known other settings
        return {self.box: gr.Column(visible=True), **self._told(asked), **(self._filled(wanted) if wanted else {})}

    def clicked(self, values: dict[Component, Any]) -> dict:
        asked = attempt(lambda: ask_certificate(self.services, values[self.run_id], self._read(values)))
        told = self._told(asked.value) if asked.value else {}
        return {**told, self.problems: problem_box([_by_title(problem) for problem in asked.problems])}

    # ---- inside

    def _told(self, asked: Certificate | None) -> dict:
        waits = asked is not None and asked.state in OPEN
        works = not waits or bool(self.services.workers.alive())
        return {self.shown: certificate(asked, works), self.timer: gr.Timer(active=waits),
                self.button: gr.Button(say("certificate.again" if asked and asked.report else "certificate.make"),
                                       interactive=not waits)}

    def _filled(self, wanted: Wanted) -> dict:
        """The form as it was when the last one was asked for."""
        lists = {field: LISTS[name][1](getattr(wanted, name)) for name, field in self.lists.items()}
        return {**lists, **{field: to_form(Wanted, name, getattr(wanted, name)) for name, field in self.limits.items()}}

    def _read(self, values: dict[Component, Any]) -> Wanted:
        """What the form says; raises RecipeInvalid with everything that is wrong."""
        plain, problems = {name: from_form(Wanted, name, values[field]) for name, field in self.limits.items()}, []
        for name, field in self.lists.items():
            try:
                plain[name] = LISTS[name][0](values[field] or "")
            except RecipeInvalid as problem:
                problems += problem.problems
        try:
            wanted = read_wanted(plain)
        except RecipeInvalid as problem:
            problems += problem.problems
        if problems:
            raise RecipeInvalid(problems)
        return wanted


def _by_title(problem: str) -> str:
    """A problem that begins with a setting's name, with the name that the form shows."""
    name, space, rest = problem.partition(" ")
    return f"{ENGLISH.get(f'{setting_key(Wanted, name)}.title', name)}{space}{rest}"
