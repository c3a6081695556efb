"""Playground: prompts, answered side by side and judged."""

import time
from collections.abc import Iterator

import gradio as gr

from jobs.judging.prompt_list import read_prompts
from jobs.playground.client import PlaygroundClient
from jobs.playground.request import GenerationSettings, read_settings
from jobs.services import Services
from storage.problems import StudioError
from storage.records import Verdict
from studio.answering import Stops, answers, folders_of, keep, request_for
from studio.asking import ask_box, read_ask
from studio.blend_part import BlendPart
from studio.changes_part import ChangesPart
from studio.collect_part import CollectPart
from studio.frame import on_choice, page_frame, static_html
from studio.merge_part import MergePart
from studio.playground_bases import GENERATION, Base, Bases, adapter_choice
from studio.problems import attempt, explain_problems, problem_box
from studio.prompts_part import PromptsPart
from studio.recipe_form import SettingsGroup
from studio.render import render
from studio.roles_part import RolesPart
from studio.text import label, say
from studio.views.panes import CHATS, SHARED, SINGLE, Panes

UPDATES_PER_SECOND = 12
ASK = "playground-ask"  # what the buttons in the panes speak to


class PlaygroundPage:
    """The chooser, the prompt, the panes, and what is said of them."""

    def __init__(self, services: Services):
        self.services = services
        self.client = PlaygroundClient(services.settings.playground_socket)
        self.bases = Bases(services)
        self.settings = SettingsGroup(GenerationSettings)
        self.collect = CollectPart(services)
        self.prompts = PromptsPart()
        self.roles = RolesPart(services, self.bases)
        self.blend = BlendPart(services, self.bases, self.client)
        self.merge = MergePart(services, self.bases, self.blend, self.client)
        self.changes = ChangesPart(self.client)
        self.stops: dict[str, Stops] = {}  # by session, while its answers come

    def build(self, blocks: gr.Blocks) -> None:
        page_frame("playground", say("page.playground"), say("playground.lead"))
        static_html(render("playground_links.html"), elem_classes="st-slot-links")
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
                placeholder=label(f"playground.hint.{GENERATION}"),
                lines=1,
                max_lines=8,
                elem_id="prompt",
            )
            with gr.Row(elem_classes="st-fields"):
                self.chat = gr.Dropdown(
                    [(label(f"playground.chat.{chat}"), chat) for chat in CHATS],
                    value=SINGLE,
                    label=label("playground.chat"),
                    info=label("playground.chat_help"),
                    filterable=False,
                    elem_id="chat",
                )
                self.blind = gr.Checkbox(label=label("playground.blind"), info=label("playground.blind_help"), elem_id="blind")
                self.roles.build_choice()
            with gr.Row(elem_classes="st-buttons-row"):
                self.send = gr.Button(
                    label("playground.send"),
                    variant="primary",
                    interactive=False,  # until the page knows its base model: an earlier click would ask nobody
                    elem_id="send",
                    size="md",
                    scale=0,
                    min_width=120,
                )
                self.stop = gr.Button(
                    label("playground.stop_all"), interactive=False, elem_id="stop", size="md", scale=0, min_width=100
                )
                self.afresh = gr.Button(
                    label("playground.afresh"), visible=False, elem_id="afresh", size="md", scale=0, min_width=120
                )
            with gr.Accordion(label("playground.settings"), open=False) as self.sampling:
                with gr.Row(elem_classes="st-fields"):
                    self.settings.build(shown=True)
                    self.settings.build(shown=False)
            self.prompts.build()
            self.roles.build()
            self.blend.build()
            self.merge.build()
        self.roles.build_told()
        self.panes = static_html("", elem_id="panes", elem_classes="st-slot-panes")
        self.judge = static_html("", elem_id="judge")
        self.note = gr.Textbox(
            label=label("playground.note"), placeholder=label("playground.note_hint"), visible=False, elem_id="note", max_lines=4
        )
        self.changes.build()
        self.collect.build()
        self.ask = ask_box(ASK)
        self.table = gr.State(Panes())
        self._wire(blocks)

    def _wire(self, blocks: gr.Blocks) -> None:
        chosen = [self.base, self.adapters]
        quick = {"show_progress": "hidden", "api_visibility": "private"}
        seen = [self.table, self.panes, self.judge, self.note]
        parts = [self.collect.target, *self.roles.outputs, *self.blend.outputs, *self.merge.outputs]
        for_task = [self.prompt, self.chat, self.sampling, self.roles.arrow]
        outputs = [*chosen, *for_task, self.problems, self.send, *parts, *seen]
        loaded = blocks.load(self.page_loaded, None, outputs, **quick)
        loaded.then(self.warm_up, self.base, self.problems, **quick)
        outputs = [self.adapters, *for_task, *self.roles.outputs, *self.blend.outputs, *self.merge.outputs, *seen]
        changed = on_choice(self.base)(self.base_changed, self.base, outputs, queue=False, **quick)
        changed.then(self.warm_up, self.base, self.problems, **quick)
        self.roles.listen(self.base)
        self.blend.listen(self.base, self.adapters)
        self.merge.listen(self.base, self.adapters)
        outputs = [*self.blend.outputs, *self.merge.outputs, *seen]
        self.adapters.input(self.adapters_changed, [*chosen, self.table], outputs, queue=False, **quick)
        self.chat.input(lambda chat: gr.Button(visible=chat != SINGLE), self.chat, self.afresh, queue=False, **quick)
        self.afresh.click(self.afresh_clicked, chosen, outputs, queue=False, **quick)
        asked = {*chosen, self.prompt, self.chat, self.blind, self.table, self.roles.wanted, self.roles.arrow, *self.blend.fields}
        asked |= set(self.settings.fields.values())
        notices = [self.problems, self.collect.notice, self.prompts.progress, self.roles.told, self.changes.shown]
        said = [*notices, self.send, self.stop, self.prompt, *seen]
        streamed = {"outputs": said, "concurrency_id": "playground", "concurrency_limit": 4, **quick}
        for answered in (
            gr.on([self.send.click, self.prompt.submit], self.send_clicked, asked, **streamed),
            self.prompts.ask.click(self.list_clicked, {*asked, self.prompts.file}, **streamed),
            self.roles.route_ask.change(self.role_clicked, {*asked, self.roles.route_ask}, **streamed),
        ):  # not with the last answer: until the event has ended, Gradio lets nothing be sent
            answered.then(self.settled, None, [self.send, self.stop], queue=False, **quick)
        self.stop.click(self.stop_clicked, None, self.stop, queue=False, **quick)
        outputs = [self.problems, self.changes.shown, *seen, *self.collect.outputs]
        inputs = [self.ask, self.base, self.table, self.collect.target]
        self.ask.change(self.asked, inputs, outputs, trigger_mode="multiple", queue=False, **quick)
        gr.on([self.note.blur, self.note.submit], self.noted, [self.note, self.table], None, queue=False, **quick)

    # ---- choosing

    @explain_problems
    def page_loaded(self, request: gr.Request) -> dict:
        """With ?run=ID, that very adapter beside its base model, or several (?run=ID,ID); else the shelf's first base model."""
        base, chosen, missing = self.bases.opened(request.query_params.get("run", ""))
        if base is None:
            links = [(say("page.train"), "/")]
            return {self.panes: render("empty.html", what=say("playground.empty"), next=say("playground.empty_help"), links=links)}
        problem = problem_box([say("playground.missing_run", run_id=run_id) for run_id in missing]) if missing else ""
        return {
            self.base: gr.Dropdown([(each.title, each.key) for each in self.bases.all()], value=base.key),
            self.adapters: adapter_choice(self.bases.adapters_of(base), chosen),
            **self._for_task(base),
            self.problems: problem,
            self.send: gr.Button(interactive=True),
            self.collect.target: self.collect.choices(),
            **self.roles.shown(base),
            **self.blend.shown(chosen),
            **self.merge.shown(base, chosen),
            **self._seen(Panes.of(base.name, chosen)),
        }

    def warm_up(self, key: str | None) -> str:
        """Load the base model ahead of the first prompt, so that the first answer comes soon."""
        base = self.bases.find(key)
        if base is None:
            return gr.skip()
        problems = attempt(PlaygroundClient(self.client.socket, start_seconds=0).load, base.choice).problems
        return problem_box(list(problems)) if problems else gr.skip()

    @explain_problems
    def base_changed(self, key: str) -> dict:
        base = self.bases.find(key)
        adapters = self.bases.adapters_of(base)
        return {
            self.adapters: adapter_choice(adapters, adapters[:1]),
            **self._for_task(base),
            **self.roles.shown(base),
            **self.blend.shown(adapters[:1]),
            **self.merge.shown(base, adapters[:1]),
            **self._seen(Panes.of(base.name, adapters[:1])),
        }

    @explain_problems
    def adapters_changed(self, key: str, run_ids: list[str], panes: Panes) -> dict:
        base = self.bases.find(key)
        if base is None:
            return {self.panes: ""}
        adapters = self.bases.chosen(base, run_ids)
        seen = self._seen(Panes.of(base.name, adapters).going_on(panes, panes.chat))
        return {**self.blend.shown(adapters), **self.merge.shown(base, adapters), **seen}

    @explain_problems
    def afresh_clicked(self, key: str, run_ids: list[str]) -> dict:
        """Forget the conversation."""
        return self.adapters_changed(key, run_ids, Panes())

    # ---- asking

    def send_clicked(self, values: dict, request: gr.Request) -> Iterator[dict]:
        """Stream the answers of all panes, or of the role that the prompt is for."""
        yield from self._alone(self._one(values, self._question, request.session_hash), request.session_hash)

    def role_clicked(self, values: dict, request: gr.Request) -> Iterator[dict]:
        """Ask the last prompt again, of the role that was chosen in place of the picked one, which may still be answering."""
        while stops := self.stops.get(request.session_hash):
            stops.all = True
            time.sleep(0.02)
        yield from self._alone(self._one(values, self._again, request.session_hash), request.session_hash)

    def list_clicked(self, values: dict, request: gr.Request) -> Iterator[dict]:
        """Put all prompts of a file to all panes, one after the other."""
        yield from self._alone(self._all(values, request.session_hash), request.session_hash)

    def settled(self, request: gr.Request) -> dict:
        """What can be pressed once an event has ended: another may have begun."""
        return self._busy() if request.session_hash in self.stops else self._idle()

    def _alone(self, asking: Iterator[dict], session: str) -> Iterator[dict]:
        """What `asking` shows, unless the same page still gets answers to something else."""
        if session in self.stops:
            yield {self.problems: problem_box([say("playground.still_answering")])}
            return
        self.stops[session] = Stops()
        try:
            yield from asking
        finally:
            del self.stops[session]

    def _one(self, values: dict, question, session: str) -> Iterator[dict]:
        asked = attempt(question, values)
        if asked.problems:
            yield {self.problems: problem_box(list(asked.problems))}
            return
        base, panes, settings, told = asked.value
        yield {self.problems: "", self.roles.told: told, self.prompts.progress: ""}
        yield from self._answered(base, panes, settings, session)

    def _all(self, values: dict, session: str) -> Iterator[dict]:
        asked = attempt(self._listed, values)
        if asked.problems:
            yield {self.problems: problem_box(list(asked.problems))}
            return
        (base, first, settings), prompts = asked.value
        count, done, ended = len(prompts), 0, "finished"
        yield {self.problems: ""}  # once: what is told meanwhile stays through the prompts that follow
        for prompt in prompts:
            yield {self.prompts.progress: self.prompts.said(done, count, base.name)}
            panes = yield from self._answered(base, first.asked(prompt, SINGLE, values[self.blind]), settings, session)
            if panes is None or not any(answer.text for answer in panes.answers.values()):
                ended = "nobody"
                break
            if self.stops[session].all:
                ended = "stopped"
                break
            done += 1
        yield {self.prompts.progress: self.prompts.said(done, count, base.name, ended)}

    def _question(self, values: dict) -> tuple[Base, Panes, GenerationSettings, str]:
        """What is asked of whom, and what is told about the route."""
        base, settings = self._base_and_settings(values)
        prompt = (values[self.prompt] or "").strip()
        if not prompt:
            raise StudioError(say("playground.no_prompt"))
        chat = values[self.chat] if base.task == GENERATION else SINGLE
        if values[self.roles.wanted]:
            found = self.roles.route(base, prompt)
            panes = Panes.of(base.name, [self.roles.adapter_of(base, found.key)[1]], base=False)
            panes = panes.and_also(self.roles.arrow_pane(base, values[self.roles.arrow]))
            chat = chat if chat == SINGLE else SHARED  # one conversation, whoever answers
            told = self.roles.told_html(base, found, found.key)
        else:
            panes, told = self._side_by_side(base, values), ""
        return base, panes.going_on(values[self.table], chat).asked(prompt, chat, values[self.blind]), settings, told

    def _again(self, values: dict) -> tuple[Base, Panes, GenerationSettings, str]:
        """The last prompt once more, with the thread that it went on from."""
        base, settings = self._base_and_settings(values)
        before, role_id = values[self.table], read_ask(values[self.roles.route_ask])[1]
        if not before.question:  # other adapters were chosen meanwhile
            raise StudioError(say("playground.no_prompt"))
        panes = Panes.of(base.name, [self.roles.adapter_of(base, role_id)[1]], base=False).with_thread(before.asked_thread)
        told = self.roles.told_html(base, self.roles.route(base, before.question), role_id)
        return base, panes.asked(before.question, before.chat), settings, told

    def _listed(self, values: dict) -> tuple[tuple[Base, Panes, GenerationSettings], list[str]]:
        base, settings = self._base_and_settings(values)
        path = self.prompts.path(values[self.prompts.file])
        if path is None:
            raise StudioError(say("prompts.none"))
        return (base, self._side_by_side(base, values), settings), read_prompts(path)

    def _side_by_side(self, base: Base, values: dict) -> Panes:
        """The base model, the chosen adapters and, where they are to be heard, their blend and the routed roles."""
        adapters = self.bases.chosen(base, values[self.adapters] or [])
        panes = Panes.of(base.name, adapters).and_also(self.blend.pane(values, adapters))
        return panes.and_also(self.roles.arrow_pane(base, values[self.roles.arrow]))

    def _base_and_settings(self, values: dict) -> tuple[Base, GenerationSettings]:
        base = self.bases.find(values[self.base])
        if base is None:
            raise StudioError(say("playground.empty_help"))
        return base, read_settings(self.settings.read(values))

    def _answered(self, base: Base, panes: Panes, settings: GenerationSettings, session: str) -> Iterator[dict]:
        """What the page shows while the panes answer, at most UPDATES_PER_SECOND, and once they have and it is kept.

        Returns the panes as they ended, or None where nothing could be asked.
        """
        stops = self.stops[session] = Stops(order=panes.shown_order)
        question = attempt(request_for, base, folders_of(self.services, panes), panes, settings, stops)
        if question.problems:
            yield {self.problems: problem_box(list(question.problems))}
            return None
        cleared = {self.prompt: ""} if panes.chat != SINGLE else {}
        yield {self.collect.notice: "", self.changes.shown: "", **cleared, **self._seen(panes), **self._busy()}
        sent_at = 0.0
        for now in answers(self.client, question.value, panes, stops):
            panes = now
            if time.monotonic() - sent_at >= 1 / UPDATES_PER_SECOND:
                sent_at = time.monotonic()
                yield {self.panes: panes.html}
        kept = keep(self.services, base, panes, settings)
        yield self._seen(panes.judged(kept) if kept else panes)
        return panes

    def stop_clicked(self, request: gr.Request) -> gr.Button:
        if stops := self.stops.get(request.session_hash):
            stops.all = True
        return gr.Button(interactive=False)

    # ---- saying something of the answers

    @explain_problems
    def asked(self, ask: str, key: str, panes: Panes, target: str, request: gr.Request) -> dict:
        """A button in the panes or below them: what is to be done, and with which pane, by its place."""
        what, *place = read_ask(ask) or [""]
        if what == "stop":
            if stops := self.stops.get(request.session_hash):
                stops.panes.add(stops.order[int(place[0])])
            return {self.problems: ""}
        id = panes.shown_order[int(place[0])] if place else ""
        if what == "follow":
            return self._seen(panes.following(id))
        if what == "changes" and panes.can_explain(id) and (base := self.bases.find(key)):
            return {self.changes.shown: self.changes.tell(base, panes, id, folders_of(self.services, panes).get(id))}
        if what in ("example", "pairs") and panes.kept:
            return self.collect.add(panes.kept, target, id)
        if what in iter(Verdict) and panes.kept:
            return self._seen(panes.judged(self.services.comparisons.judge(panes.kept.id, Verdict(what), id)))
        return {self.problems: ""}

    @explain_problems
    def noted(self, note: str, panes: Panes) -> None:
        if panes.kept:
            self.services.comparisons.note(panes.kept.id, (note or "").strip())

    # ---- inside

    def _for_task(self, base: Base) -> dict:
        """A word on what this task takes for a prompt; what reads goes on from nothing, and draws no words."""
        writes = base.task == GENERATION
        return {
            self.prompt: gr.Textbox(placeholder=say(f"playground.hint.{base.task}")),
            self.chat: gr.Dropdown(visible=writes),
            self.sampling: gr.Accordion(visible=writes),
            self.roles.arrow: gr.Checkbox(visible=True) if writes else gr.Checkbox(value=False, visible=False),
        }

    def _seen(self, panes: Panes) -> dict:
        """The panes, and what is said of them below."""
        note = panes.kept.note if panes.kept else ""
        return {
            self.table: panes,
            self.panes: panes.html,
            self.judge: panes.judge_html,
            self.note: gr.Textbox(value=note, visible=panes.can_judge),
        }

    def _idle(self) -> dict:
        return {self.send: gr.Button(interactive=True), self.stop: gr.Button(interactive=False)}

    def _busy(self) -> dict:
        return {self.send: gr.Button(interactive=False), self.stop: gr.Button(interactive=True)}
