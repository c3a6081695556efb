"""Guide: a few questions, a method with its reasons, and all methods side by side."""

import json
from typing import Any

import gradio as gr

from jobs import units
from jobs.expected import Pace, paces_of
from jobs.guide import CHANGES, GOALS, PROMPTS, WISHES, Answers, advise
from jobs.machine import Machine, this_machine
from jobs.methods import METHODS
from jobs.methods.notes import FAMILIES
from jobs.methods.tried import ABILITIES
from jobs.models.shelf import ShelfEntry
from jobs.own_figures import OwnFigures, own_figures
from jobs.services import Services
from storage.records import RunGroup
from studio.asking import ask_box, read_ask
from studio.frame import QUICK, on_choice, page_frame, static_html, step_title
from studio.problems import explain_problems
from studio.render import render
from studio.text import label, say
from studio.views.guide_view import ASK, SORTS, Wanted, about_figures, advice_card, methods_table

SIZES = (0.1e9, 0.5e9, 1e9, 3e9, 8e9, 14e9, 32e9, 70e9)  # of base models that are not here, in parameters
HOURS = {"any": 0, "quarter": 0.25, "hour": 1, "night": 8}  # 0: as long as it takes
LIMITS = {  # of published figures: what can be chosen, with the unit that views.guide_view.Wanted takes
    "least_accuracy": ((30, 40, 45, 50), "%"), "most_memory": ((21, 22, 23, 24), " GB"), "most_size": ((1, 10, 50, 100), " MB"),
    "most_time": ((15, 20, 30), " min")}
FILTERS = ("words", "family", "sort", "ability", *LIMITS)  # as views.guide_view.Wanted has them
ROWS = 500  # at first
GB = 1e9


class GuidePage:
    """The advice and the table are made anew with every answer; nothing is stored."""

    def __init__(self, services: Services):
        self.services = services

    def build(self, blocks: gr.Blocks) -> None:
        page_frame("guide", say("page.guide"), say("guide.lead"))
        questions = self._build_questions()
        advice = static_html("", elem_id="guide-advice", elem_classes="st-slot-advice")
        static_html(about_figures())
        filters = self._build_filters()
        table = static_html("", elem_id="guide-table", elem_classes="st-slot-table")
        opened, ask = gr.State(""), ask_box(ASK)

        answers, wanted = list(questions.values()), [*(filters[name] for name in FILTERS), filters["group"], opened]
        private = {"show_progress": "hidden", "api_visibility": "private"}
        blocks.load(self.page_loaded, None,
                    [questions["base"], questions["gpu"], questions["memory"], advice, filters["group"], table, opened], **private)
        gr.on([on_choice(question) for question in answers], self.answered, answers, [advice, questions["changes"]],
              trigger_mode="always_last", **QUICK)
        gr.on([on_choice(field) for field in filters.values()], self.searched, wanted, table, trigger_mode="always_last", **QUICK)
        ask.change(self.asked, [ask, *wanted], [table, opened], trigger_mode="multiple", **QUICK)

    def _build_questions(self) -> dict[str, Any]:
        """The fields by the names that `answered` takes them by, in that order."""
        found: dict[str, Any] = {}
        with gr.Column(elem_classes="st-step"):
            step_title(1, "guide.goal")
            found["goal"] = gr.Radio(
                [(label(f"guide.goal.{goal}"), goal) for goal in GOALS], value=GOALS[0], label=label("guide.goal"),
                show_label=False, container=False, elem_id="guide-goal", elem_classes="st-cards")
        with gr.Column(elem_classes="st-step"):
            step_title(2, "guide.got")
            with gr.Row(elem_classes="st-fields"):
                found["rows"] = gr.Number(ROWS, precision=0, label=label("guide.rows"), info=label("guide.rows_help"),
                                          elem_id="guide-rows")
                found["base"] = gr.Dropdown([], label=label("guide.base"), info=label("guide.base_help"), elem_id="guide-base")
                found["gpu"] = gr.Dropdown(
                    [(label("guide.gpu.yes"), "gpu"), (label("guide.gpu.no"), "cpu")], value="cpu", filterable=False,
                    label=label("guide.gpu"), info=label("guide.gpu_help"), elem_id="guide-gpu")
                found["memory"] = gr.Number(None, label=label("guide.memory"), info=label("guide.memory_help"),
                                            elem_id="guide-memory")
                found["hours"] = gr.Dropdown([(label(f"guide.hours.{name}"), hours) for name, hours in HOURS.items()], value=0,
                                             filterable=False, label=label("guide.hours"), elem_id="guide-hours")
                found["wish"] = gr.Dropdown([(label(f"guide.wish.{wish}"), wish) for wish in WISHES], value=WISHES[0],
                                            filterable=False, label=label("guide.wish"), elem_id="guide-wish")
            static_html(render("capacity_link.html"))
        with gr.Column(elem_classes="st-step"):
            step_title(3, "guide.simpler")
            static_html(f'<p class="st-soft">{say("guide.simpler_help")}</p>')
            found["prompt"] = gr.Radio([(label(f"guide.prompt.{prompt}"), prompt) for prompt in PROMPTS], value=PROMPTS[0],
                                       label=label("guide.prompt"), elem_id="guide-prompt")
            found["changes"] = gr.Radio([(label(f"guide.changes.{change}"), change) for change in CHANGES], value=CHANGES[0],
                                        label=label("guide.changes"), elem_id="guide-changes", visible=False)
        return found

    def _build_filters(self) -> dict[str, Any]:
        """The fields by the names of what they decide."""
        found: dict[str, Any] = {}
        with gr.Row(elem_classes="st-filters"):
            found["words"] = gr.Textbox(label=label("runs.search"), placeholder=label("guide.search_help"), max_lines=1,
                                        elem_id="guide-search")
            used = {method.family for method in METHODS.values()}
            families = [*(family for family in FAMILIES if family in used), *sorted(used - set(FAMILIES))]
            found["family"] = gr.Dropdown(
                [(label("guide.families_all"), ""), *((label(f"family.{family}"), family) for family in families)], value="",
                filterable=False, label=label("guide.family"), elem_id="guide-family")
            found["sort"] = gr.Dropdown([(label(f"guide.sort.{sort}"), sort) for sort in SORTS], value=SORTS[0],
                                        filterable=False, label=label("runs.sort"), elem_id="guide-sort")
        with gr.Accordion(label("guide.more_filters"), open=False, elem_id="guide-more"):
            with gr.Row(elem_classes=["st-fields", "st-narrow-fields"]):
                found["ability"] = gr.Dropdown(
                    [(label("guide.any"), ""), *((label(f"ability.{ability}"), ability) for ability in ABILITIES)],
                    value="", filterable=False, label=label("guide.can"), elem_id="guide-ability")
                for limit, (numbers, unit) in LIMITS.items():
                    bound, _, figure = limit.partition("_")
                    choices = [(say(f"guide.{bound}", amount=f"{number}{unit}"), number) for number in numbers]
                    found[limit] = gr.Dropdown(
                        [(label("guide.any"), 0), *choices], value=0, filterable=False,
                        label=label(f"guide.column.{figure}"), elem_id=f"guide-{limit}")
        found["group"] = gr.Dropdown([], label=label("guide.own"), info=label("guide.own_help"), visible=False,
                                     filterable=False, elem_id="guide-group")
        return found

    # ---- events

    @explain_problems
    def page_loaded(self, request: gr.Request) -> list:
        """The shelf, the machine and the lab book as they are now; with ?method=NAME that method's details are open."""
        entries, machine, groups = self._shelf(), this_machine(self.services), self.services.runs.comparable()
        base = next(iter(entries), "")
        memory = round(machine.memory_bytes / GB, 1) or None
        group = _group_value(groups[0]) if groups else None
        opened, place = request.query_params.get("method", ""), "gpu" if machine.gpu else "cpu"
        advice, _ = self.answered(GOALS[0], ROWS, base, place, memory, HOURS["any"], WISHES[0], PROMPTS[0], CHANGES[0])
        bases = [(f"{name} ({units.amount(entry.facts.parameters)})", name) for name, entry in entries.items()]
        sizes = [(say("guide.size", amount=units.amount(int(size))), str(int(size))) for size in SIZES]
        choices = [(say("guide.own_of_group", base=each.base_model, data=each.dataset_name or each.dataset_id, runs=each.runs),
                    _group_value(each)) for each in groups]
        return [gr.Dropdown([*bases, *sizes], value=base or str(int(SIZES[0]))), place,
                gr.Number(value=memory, info=_machine_words(machine)), advice,
                gr.Dropdown(choices, value=group, visible=bool(groups)),
                methods_table(Wanted(opened=opened), self._own(group)), opened]

    @explain_problems
    def answered(self, goal: str, rows: float | None, base: str | None, gpu: str, memory: float | None, hours: float | None,
                 wish: str, prompt: str, changes: str) -> tuple:
        """The advice for these answers, and the question about facts only where there are any."""
        entry = self._shelf().get(base or "")
        parameters = entry.facts.parameters if entry else int(base) if (base or "").isdecimal() else 0
        answers = Answers(
            goal=goal, rows=None if rows is None else max(0, int(rows)), base=entry.name if entry else "", parameters=parameters,
            base_tasks=entry.facts.tasks if entry else None, gpu=gpu == "gpu", memory_bytes=int(max(0, memory or 0) * GB),
            hours=float(hours or 0), prompt=prompt, changes=changes, wish=wish)
        advice = advise(answers, lambda method: self._pace(answers, method))
        return advice_card(advice, answers.base), gr.Radio(visible=goal == "facts")

    @explain_problems
    def searched(self, *values) -> str:
        *filters, group, opened = values
        return methods_table(_wanted(filters, opened=opened), self._own(group))

    @explain_problems
    def asked(self, ask: str, *values) -> tuple[str, str]:
        """A method's details were opened or closed."""
        *filters, group, _ = values
        what, name = read_ask(ask) or ("", "")
        opened, closed = (name, "") if what == "open" else ("", name)
        return methods_table(_wanted(filters, opened=opened, closed=closed), self._own(group)), opened

    # ---- inside

    def _shelf(self) -> dict[str, ShelfEntry]:
        """The base models that can be used."""
        return {entry.name: entry for entry in self.services.shelf.list() if entry.facts}

    def _pace(self, answers: Answers, method: str) -> Pace | None:
        """What earlier runs of that method took on that base model, on such a device."""
        measured = self.services.runs.measured(answers.base, method) if answers.base else []
        return paces_of(measured).get((answers.base, method, "cuda" if answers.gpu else "cpu"))

    def _own(self, group: str | None) -> dict[str, OwnFigures]:
        """The figures of that group's runs, by method."""
        return own_figures(self.services.runs.of_group(*json.loads(group))) if group else {}


def _wanted(filters: list, **more) -> Wanted:
    """What was said; an emptied field says nothing."""
    return Wanted(**{name: value for name, value in zip(FILTERS, filters, strict=True) if value}, **more)


def _group_value(group: RunGroup) -> str:
    """A group as its dropdown holds it."""
    return json.dumps([group.base_model, group.task, group.dataset_id])


def _machine_words(machine: Machine) -> str:
    if not machine.memory_bytes:
        return say("guide.memory_silent")
    return say("guide.memory_gpu", name=machine.gpu) if machine.gpu else say("guide.memory_main")
