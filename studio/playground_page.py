"""Playground: one prompt, answered side by side."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import gradio as gr

from jobs.playground.client import PlaygroundClient
from jobs.playground.request import BaseChoice, GenerateRequest, GenerationSettings, Pane, read_settings
from jobs.services import Services
from storage.problems import StudioError
from storage.records import Adapter
from studio.frame import page_frame, static_html
from studio.problems import attempt, explain_problems, problem_box, sentences
from studio.recipe_form import SettingsGroup
from studio.render import render
from studio.text import label, say
from studio.views.panes import Panes

UPDATES_PER_SECOND = 12
GENERATION = "text-generation"


@dataclass(frozen=True)
class Base:
    """A base model that can be asked, for one task. `key` is its value in the dropdown."""

    key: str
    title: str
    name: str
    path: str
    task: str


class PlaygroundPage:
    """The chooser, the prompt and the panes."""

    def __init__(self, services: Services):
        self.services = services
        self.client = PlaygroundClient(services.settings.playground_socket)
        self.settings = SettingsGroup(GenerationSettings)
        self.to_stop: set[str] = set()  # sessions whose answers shall end

    def build(self, blocks: gr.Blocks) -> None:
        page_frame("playground", say("page.playground"), say("playground.lead"))
        self.problems = static_html("", elem_id="playground-problems")
        with gr.Column(elem_classes="st-step"):
            with gr.Row(elem_classes="st-fields"):
                self.base = gr.Dropdown([], label=label("playground.base"), elem_id="playground-base", filterable=False)
                self.adapters = gr.Dropdown(
                    [],
                    multiselect=True,
                    label=label("playground.adapters"),
                    elem_id="playground-adapters",
                    info=label("playground.adapters_help"),
                )
            self.prompt = gr.Textbox(
                label=label("playground.prompt"),
                placeholder=label("playground.prompt_hint"),
                lines=1,
                max_lines=8,
                elem_id="prompt",
            )
            with gr.Accordion(label("playground.settings"), open=False):
                with gr.Row(elem_classes="st-fields"):
                    self.settings.build(shown=True)
                    self.settings.build(shown=False)
            with gr.Row(elem_classes="st-buttons-row"):
                self.send = gr.Button(
                    label("playground.send"), variant="primary", elem_id="send", size="md", scale=0, min_width=120
                )
                self.stop = gr.Button(
                    label("playground.stop"), interactive=False, elem_id="stop", size="md", scale=0, min_width=100
                )
        self.panes = static_html("", elem_id="panes", elem_classes="st-slot-panes")

        chosen = [self.base, self.adapters]
        quick = {"show_progress": "hidden", "api_visibility": "private"}
        loaded = blocks.load(self.page_loaded, None, [*chosen, self.panes, self.problems], **quick)
        loaded.then(self.warm_up, self.base, self.problems, **quick)
        self.base.input(self.base_changed, self.base, [self.adapters, self.panes], queue=False, **quick).then(
            self.warm_up, self.base, self.problems, **quick
        )
        self.adapters.input(self.adapters_changed, chosen, self.panes, queue=False, **quick)
        outputs = [self.panes, self.problems, self.send, self.stop]
        gr.on(
            [self.send.click, self.prompt.submit],
            self.send_clicked,
            {*chosen, self.prompt, *self.settings.fields.values()},
            outputs,
            concurrency_id="playground",
            concurrency_limit=4,
            **quick,
        )
        self.stop.click(self.stop_clicked, None, self.stop, queue=False, **quick)

    # ---- clicks

    @explain_problems
    def page_loaded(self, request: gr.Request) -> list:
        """With ?run=ID, that very adapter beside its base model; else the first base model of the shelf."""
        run_id = request.query_params.get("run", "")
        adapter = self.services.adapters.find(run_id) if run_id else None
        bases = self._bases()
        if not bases:
            return [
                gr.skip(),
                gr.skip(),
                render(
                    "empty.html",
                    what=say("playground.empty"),
                    next=say("playground.empty_help"),
                    links=[(say("page.train"), "/")],
                ),
                "",
            ]
        base = next((base for base in bases if adapter and self._belongs(adapter, base)), bases[0])
        adapters = self._adapters_of(base)
        chosen = [adapter] if adapter else adapters[:1]
        problem = problem_box([say("playground.missing_run", run_id=run_id)]) if run_id and not adapter else ""
        return [
            gr.Dropdown([(each.title, each.key) for each in bases], value=base.key),
            self._adapter_choice(adapters, chosen),
            Panes.of(base.name, chosen).html,
            problem,
        ]

    def warm_up(self, key: str | None) -> str:
        """Load the base model ahead of the first prompt, so that the first answer comes soon."""
        base = self._base(key)
        if base is None:
            return gr.skip()
        problems = attempt(PlaygroundClient(self.client.socket, start_seconds=0).load, self._choice(base)).problems
        return problem_box(list(problems)) if problems else gr.skip()

    @explain_problems
    def base_changed(self, key: str) -> list:
        base = self._base(key)
        adapters = self._adapters_of(base)
        return [self._adapter_choice(adapters, adapters[:1]), Panes.of(base.name, adapters[:1]).html]

    @explain_problems
    def adapters_changed(self, key: str, run_ids: list[str]) -> str:
        base = self._base(key)
        return Panes.of(base.name, self._chosen(base, run_ids)).html if base else ""

    def send_clicked(self, values: dict, request: gr.Request) -> Iterator[dict]:
        """Stream the answers of all panes, at most UPDATES_PER_SECOND."""
        idle, busy = (
            {self.send: gr.Button(interactive=True), self.stop: gr.Button(interactive=False)},
            {self.send: gr.Button(interactive=False), self.stop: gr.Button(interactive=True)},
        )
        asked = attempt(self._request, values)
        if asked.problems:
            yield {self.problems: problem_box(list(asked.problems)), **idle}
            return
        panes, question = asked.value
        panes, session = panes.asked(), request.session_hash
        self.to_stop.discard(session)
        yield {self.panes: panes.html, self.problems: "", **busy}
        events = self.client.generate(question)
        sent_at = 0.0
        try:
            for event in events:
                panes = panes.after(event)
                if session in self.to_stop:
                    panes = panes.stopped()
                    break
                if time.monotonic() - sent_at >= 1 / UPDATES_PER_SECOND:
                    sent_at = time.monotonic()
                    yield {self.panes: panes.html}
        except StudioError as problem:
            panes = panes.failed(" ".join(sentences(problem)))
        finally:
            events.close()  # ends the generation where the person, or the page, has gone
            self.to_stop.discard(session)
        yield {self.panes: panes.html, **idle}

    def stop_clicked(self, request: gr.Request) -> gr.Button:
        self.to_stop.add(request.session_hash)
        return gr.Button(interactive=False)

    # ---- inside

    def _request(self, values: dict) -> tuple[Panes, GenerateRequest]:
        base = self._base(values[self.base])
        prompt = (values[self.prompt] or "").strip()
        if base is None or not prompt:
            raise StudioError(say("playground.no_prompt" if base else "playground.empty_help"))
        adapters = self._chosen(base, values[self.adapters] or [])
        folders = self.services.settings.adapters_dir
        panes = [
            Pane(name="base"),
            *(Pane(name=adapter.run_id, adapter_folder=folders / adapter.folder) for adapter in adapters),
        ]
        return Panes.of(base.name, adapters), GenerateRequest(
            **self._choice(base).model_dump(),
            panes=panes,
            prompt=prompt,
            settings=read_settings(self.settings.read(values)),
        )

    def _bases(self) -> list[Base]:
        """What can be asked: the shelf's models that write, and every base that an adapter was trained on."""
        bases = {}
        for entry in self.services.shelf.list():
            if entry.facts and GENERATION in entry.facts.tasks:
                self._add(bases, entry.name, str(entry.path), GENERATION)
        for adapter in self.services.adapters.all():
            if not any(self._belongs(adapter, base) for base in bases.values()):
                self._add(bases, adapter.base_model, adapter.base_path, adapter.task)
        return list(bases.values())

    @staticmethod
    def _add(bases: dict[str, Base], name: str, path: str, task: str) -> None:
        key = f"{task} {path}"
        title = name if task == GENERATION else f"{name} ({say(f'choice.{task}')})"
        bases[key] = Base(key, title, name, path, task)

    @staticmethod
    def _belongs(adapter: Adapter, base: Base) -> bool:
        return adapter.task == base.task and (adapter.base_path == base.path or adapter.base_model == base.name)

    def _base(self, key: str | None) -> Base | None:
        return next((base for base in self._bases() if base.key == key), None)

    def _adapters_of(self, base: Base) -> list[Adapter]:
        return [adapter for adapter in self.services.adapters.all() if self._belongs(adapter, base)]

    def _chosen(self, base: Base, run_ids: list[str]) -> list[Adapter]:
        of_base = {adapter.run_id: adapter for adapter in self._adapters_of(base)}
        return [of_base[run_id] for run_id in run_ids if run_id in of_base]

    @staticmethod
    def _adapter_choice(adapters: list[Adapter], chosen: list[Adapter]) -> gr.Dropdown:
        names = [adapter.name for adapter in adapters]
        # runs may share a name; the id tells them apart
        choices = [
            (adapter.name if names.count(adapter.name) == 1 else f"{adapter.name} ({adapter.run_id[:6]})", adapter.run_id)
            for adapter in adapters
        ]
        return gr.Dropdown(choices, value=[adapter.run_id for adapter in chosen])

    @staticmethod
    def _choice(base: Base) -> BaseChoice:
        return BaseChoice(base_path=base.path, base_name=base.name, task=base.task)
