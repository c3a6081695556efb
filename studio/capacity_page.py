"""What can I tune here: which well-known models fit this machine, or another card, with which method."""

import math

import gradio as gr

from jobs import units
from jobs.devices import DeviceFacts
from jobs.forecast.asking import device_of
from jobs.forecast.capacity import rooms
from jobs.forecast.learnt import Learnt, learn
from jobs.services import Services
from storage.problems import RecipeInvalid
from studio.frame import QUICK, on_choice, page_frame, static_html
from studio.problems import attempt, problem_box
from studio.text import label, say
from studio.views.capacity_view import capacity_table

CARDS = (8, 12, 16, 24, 40, 48, 80, 141)  # GB that GPUs are sold with
TASKS = ("text-generation", "text-classification")
GB, MOST_GB = 1e9, 100_000


class CapacityPage:
    """The table is made anew with every answer; nothing is stored."""

    def __init__(self, services: Services):
        self.services = services

    def build(self, blocks: gr.Blocks) -> None:
        page_frame("capacity", say("page.capacity"), say("capacity.lead"))
        with gr.Row(elem_classes=["st-fields", "st-capacity-fields"]):
            kind = gr.Dropdown([(label("guide.gpu.yes"), "cuda"), (label("guide.gpu.no"), "cpu")], value="cpu", filterable=False,
                               label=label("capacity.kind"), info=label("capacity.kind_help"), elem_id="capacity-kind")
            memory = gr.Dropdown([], value=None, allow_custom_value=True, label=label("capacity.memory"),
                                 info=label("capacity.memory_help"), elem_id="capacity-memory")
            task = gr.Dropdown([(label(f"choice.{task}"), task) for task in TASKS], value=TASKS[0], filterable=False,
                               label=label("capacity.task"), info=label("capacity.task_help"), elem_id="capacity-task")
        table = static_html("", elem_id="capacity-table", elem_classes="st-slot-table")
        blocks.load(self.page_loaded, None, [kind, memory, task, table], show_progress="hidden", api_visibility="private")
        gr.on([on_choice(memory), on_choice(task)], self.asked, [kind, memory, task], table, trigger_mode="always_last", **QUICK)
        on_choice(kind)(self.kind_chosen, [kind, task], [memory, table], trigger_mode="always_last", **QUICK)

    # ---- events

    def page_loaded(self, request: gr.Request) -> list:
        """This machine; with ?device=cuda&memory=24 another, and with &task= another task."""
        wanted, here = request.query_params, device_of(self.services)
        kind = wanted.get("device") if wanted.get("device") in ("cuda", "cpu") else here.kind
        memory = wanted.get("memory") or self._memory_here(kind)
        task = wanted.get("task") if wanted.get("task") in TASKS else TASKS[0]
        choices = [*dict.fromkeys([*filter(None, [self._memory_here(kind)]), *map(str, CARDS)])]
        return [kind, gr.Dropdown(choices, value=memory), task, self.asked(kind, memory, task)]

    def kind_chosen(self, kind: str, task: str) -> list:
        """Of a kind of device that this machine has, its own memory; else a usual one."""
        memory = self._memory_here(kind) or str(CARDS[3])
        choices = [*dict.fromkeys([memory, *map(str, CARDS)])]
        return [gr.Dropdown(choices, value=memory), self.asked(kind, memory, task)]

    def asked(self, kind: str, memory: str | None, task: str) -> str:
        made = attempt(self._table, kind, memory, task)
        return problem_box(list(made.problems)) or made.value

    # ---- inside

    def _table(self, kind: str, memory: str | None, task: str) -> str:
        here = self._here(kind)
        own = here is not None and (memory or "") == self._memory_here(kind)
        if own and not memory:
            return problem_box([say("capacity.unknown")])
        size = here.memory_bytes if own else round(gigabytes(memory) * GB)
        learnt = learn(self.services.runs.forecast_runs(kind, here.name)) if own and here.name else Learnt()
        found = [room for room in rooms(kind, size, learnt.correction) if room.model.task == task]
        if not found:
            return f"<p>{say('capacity.none')}</p>"
        told = say("capacity.learnt", runs=learnt.runs) if learnt.runs else ""
        return capacity_table(found, sentence(kind, size, here if own else None), told)

    def _here(self, kind: str) -> DeviceFacts | None:
        """This machine's device, where it is of that kind."""
        here = device_of(self.services)
        return here if here.kind == kind else device_of(self.services, "cpu") if kind == "cpu" else None

    def _memory_here(self, kind: str) -> str:
        """In GB, as the field has it; empty where there is none, or where it is not known."""
        here = self._here(kind)
        return f"{here.memory_bytes / GB:.1f}" if here and here.memory_bytes else ""


def gigabytes(text: str | None) -> float:
    """A number of GB as a person types it; raises RecipeInvalid with what is wrong with it."""
    try:
        number = float((text or "").lower().replace(",", ".").removesuffix("gb").strip())
    except ValueError:
        number = math.nan
    if not 0 < number <= MOST_GB:
        raise RecipeInvalid([say("capacity.wrong_memory", value=text or "")])
    return number


def sentence(kind: str, memory_bytes: int, here: DeviceFacts | None) -> str:
    """For which device the table is."""
    place, what = ("here" if here else "for"), ("gpu" if kind == "cuda" else "cpu")
    name = here.name if here and here.name else say("capacity.nameless")
    return say(f"capacity.{place}_{what}", name=name, memory=units.size(memory_bytes))
