"""Roles of adapters: who has which, and whom a message is for."""

import hashlib

import gradio as gr

from jobs.judging.roles import examples_of, roles_of
from jobs.judging.routing import Route, route
from jobs.playground.request import Arrow
from jobs.services import Services
from storage.problems import StudioError
from storage.records import Adapter, Role
from studio.asking import ask_box, read_ask
from studio.blend_part import can_blend
from studio.frame import QUICK, static_html
from studio.playground_bases import Base, Bases, adapter_names
from studio.problems import attempt, problem_box
from studio.render import render
from studio.text import label, say
from studio.views.panes import Answer

ASK, ROUTE_ASK = "roles-ask", "route-ask"  # what the buttons of the list, and of a route, speak to
LONGEST_NAME, MOST_PROMPTS = 60, 200
MOST_ROUTED = 8  # adapters among which Arrow picks


class RolesPart:
    """The list of roles with its form; `base` is the page's field of the base model."""

    def __init__(self, services: Services, bases: Bases):
        self.services, self.bases = services, bases

    def build_choice(self) -> None:
        self.wanted = gr.Checkbox(label=label("roles.route"), info=label("roles.route_help"), elem_id="route-by-request")
        self.arrow = gr.Checkbox(label=label("roles.arrow"), info=label("roles.arrow_help"), elem_id="route-by-token")

    def build(self) -> None:
        with gr.Accordion(label("roles.title"), open=False, elem_id="roles-fold"):
            self.list = static_html("", elem_id="roles")
            with gr.Row(elem_classes="st-fields"):
                self.adapter = gr.Dropdown([], label=label("roles.adapter"), filterable=False, elem_id="role-adapter")
                self.name = gr.Textbox(label=label("roles.name"), info=label("roles.name_help"), max_lines=1, elem_id="role-name")
            self.prompts = gr.Textbox(
                label=label("roles.prompts"), info=label("roles.prompts_help"), lines=3, max_lines=10, elem_id="role-prompts"
            )
            self.save = gr.Button(label("roles.save"), elem_id="role-save", size="md", scale=0, min_width=120)
            self.problems = static_html("", elem_id="role-problems")
        self.ask = ask_box(ASK)
        self.route_ask = ask_box(ROUTE_ASK)

    def build_told(self) -> None:
        self.told = static_html("", elem_id="route")

    @property
    def outputs(self) -> list:
        return [self.list, self.adapter, self.name, self.prompts, self.problems]

    def listen(self, base: gr.Dropdown) -> None:
        fields = [base, self.adapter, self.name, self.prompts]
        self.save.click(self.save_clicked, fields, self.outputs, **QUICK)
        self.ask.change(self.asked, [self.ask, base], self.outputs, trigger_mode="multiple", **QUICK)
        self.wanted.input(self.get_ready, [self.wanted, base], None, show_progress="hidden", api_visibility="private")

    def roles(self, base: Base | None) -> list[Role]:
        return roles_of(self.services, self.bases.adapters_of(base)) if base else []

    def shown(self, base: Base | None, chosen: Role | None = None) -> dict:
        """The list for a base model, and the form: empty, or with a role to change."""
        adapters = self.bases.adapters_of(base) if base else []
        names = {run_id: name for name, run_id in adapter_names(adapters)}
        wanted = chosen.run_id if chosen else adapters[0].run_id if adapters else None
        roles = [(role, names[role.run_id]) for role in self.roles(base)]
        return {
            self.list: render("roles.html", roles=roles, target=ASK),
            self.adapter: gr.Dropdown(adapter_names(adapters), value=wanted),
            self.name: chosen.name if chosen else "",
            self.prompts: "\n".join(chosen.prompts) if chosen else "",
            self.problems: "",
        }

    # ---- events

    def save_clicked(self, key: str, run_id: str, name: str, prompts: str) -> dict:
        saved = attempt(self.saved, run_id, name, prompts)
        return {self.problems: problem_box(list(saved.problems))} if saved.problems else self.shown(self.bases.find(key))

    def saved(self, run_id: str | None, name: str, prompts: str) -> Role:
        """Keep a role; raises StudioError where something is missing."""
        name, lines = " ".join((name or "").split()), [line for line in (prompts or "").splitlines() if line.strip()]
        if not run_id or not name:
            raise StudioError(say("roles.no_name" if run_id else "roles.no_adapter"))
        if len(name) > LONGEST_NAME or len(lines) > MOST_PROMPTS:
            raise StudioError(say("roles.too_long", letters=LONGEST_NAME, prompts=MOST_PROMPTS))
        return self.services.roles.save(self.services.adapters.get(run_id).run_id, name, lines)

    def asked(self, ask: str, key: str) -> dict:
        """A button of the list: change that role, or delete it."""
        what, id = read_ask(ask)
        base = self.bases.find(key)
        if what == "delete":
            self.services.roles.delete(id)
        return self.shown(base, next((role for role in self.roles(base) if role.id == id), None))

    def get_ready(self, wanted: bool, key: str) -> None:
        """Learn the roles' words ahead of the first message, so that its answer comes sooner."""
        if wanted and (roles := self.roles(self.bases.find(key))):
            attempt(route, "", examples_of(self.services, roles))

    # ---- routing

    def arrow_pane(self, base: Base, wanted: bool) -> Answer | None:
        """A pane in which all LoRA adapters with a role answer, routed token by token. Raises StudioError for fewer than two."""
        if not wanted:
            return None
        found = {role.run_id: role.name for role in self.roles(base) if can_blend(self.services.adapters.get(role.run_id))}
        if len(found) < 2:
            raise StudioError(say("roles.arrow_few"))
        chosen = dict(list(found.items())[:MOST_ROUTED])
        folders = [self.services.settings.adapters_dir / self.services.adapters.get(run_id).folder for run_id in chosen]
        arrow = Arrow(adapter_folders=folders)
        id = f"arrow-{hashlib.sha256(arrow.model_dump_json().encode()).hexdigest()[:10]}"
        return Answer(id, " / ".join(chosen.values()), say("roles.arrow_pane"), arrow=arrow, members=tuple(chosen.values()))

    def route(self, base: Base, message: str) -> Route:
        """Whom a message is for. Raises NoRoles."""
        return route(message, examples_of(self.services, self.roles(base)))

    def adapter_of(self, base: Base, role_id: str) -> tuple[Role, Adapter]:
        """A role with its adapter. Raises StudioError for one that is gone."""
        role = next((role for role in self.roles(base) if role.id == role_id), None)
        if role is None:
            raise StudioError(say("roles.gone"))
        return role, self.services.adapters.get(role.run_id)

    def told_html(self, base: Base, found: Route, answers: str) -> str:
        """Who was picked, why, and who else there is; `answers` is the role that answers, the picked one or another."""
        roles = self.roles(base)
        return render(
            "route.html",
            found=found,
            answers=next((role for role in roles if role.id == answers), None),
            overridden=answers != found.key,
            roles=sorted(roles, key=lambda role: -found.likeness.get(role.id, 0)),
            most=max(found.likeness.values(), default=0) or 1,
            target=ROUTE_ASK,
        )
