"""What can be asked in the playground: base models, and the adapters that belong to each."""

from collections.abc import Iterable
from dataclasses import dataclass

import gradio as gr

from jobs.playground.request import BaseChoice
from jobs.services import Services
from storage.records import Adapter
from studio.text import say

GENERATION = "text-generation"


@dataclass(frozen=True)
class Base:
    """A base model that can be asked, for one task. `key` is its value in the dropdown."""

    key: str
    title: str
    name: str
    path: str
    task: str

    @property
    def choice(self) -> BaseChoice:
        return BaseChoice(base_path=self.path, base_name=self.name, task=self.task)

    def has(self, adapter: Adapter) -> bool:
        return adapter.task == self.task and (adapter.base_path == self.path or adapter.base_model == self.name)


class Bases:
    """Read anew with every question, so that a new adapter is there at once."""

    def __init__(self, services: Services):
        self.services = services

    def all(self) -> list[Base]:
        """The shelf's models that write, and every base that an adapter was trained on."""
        bases = {}
        for entry in self.services.shelf.list():
            if entry.facts and GENERATION in entry.facts.tasks:
                _add(bases, entry.name, str(entry.path), GENERATION)
        for adapter in self.services.adapters.all():
            if not any(base.has(adapter) for base in bases.values()):
                _add(bases, adapter.base_model, adapter.base_path, adapter.task)
        return list(bases.values())

    def find(self, key: str | None) -> Base | None:
        return next((base for base in self.all() if base.key == key), None)

    def adapters_of(self, base: Base) -> list[Adapter]:
        return [adapter for adapter in self.services.adapters.all() if base.has(adapter)]

    def chosen(self, base: Base, run_ids: Iterable[str]) -> list[Adapter]:
        of_base = {adapter.run_id: adapter for adapter in self.adapters_of(base)}
        return [of_base[run_id] for run_id in run_ids if run_id in of_base]

    def opened(self, run: str) -> tuple[Base | None, list[Adapter], list[str]]:
        """For ?run=ID or ?run=ID,ID: the base model, its adapters among those, and the ids that have none.

        Without any, the first base model with its newest adapter.
        """
        run_ids = [run_id for run_id in run.split(",") if run_id]
        wanted = [adapter for run_id in run_ids if (adapter := self.services.adapters.find(run_id))]
        missing = [run_id for run_id in run_ids if run_id not in [adapter.run_id for adapter in wanted]]
        bases = self.all()
        base = next((base for base in bases if wanted and base.has(wanted[0])), bases[0] if bases else None)
        if base is None:
            return None, [], missing
        return base, [adapter for adapter in wanted if base.has(adapter)] or self.adapters_of(base)[:1], missing


def _add(bases: dict[str, Base], name: str, path: str, task: str) -> None:
    key = f"{task} {path}"
    title = name if task == GENERATION else f"{name} ({say(f'choice.{task}')})"
    bases[key] = Base(key, title, name, path, task)


def adapter_names(adapters: list[Adapter]) -> list[tuple[str, str]]:
    """Name and run id of each; runs may share a name, and the id tells them apart."""
    names = [adapter.name for adapter in adapters]
    return [(adapter.name if names.count(adapter.name) == 1 else f"{adapter.name} ({adapter.run_id[:6]})", adapter.run_id)
            for adapter in adapters]


def adapter_choice(adapters: list[Adapter], chosen: list[Adapter]) -> gr.Dropdown:
    return gr.Dropdown(adapter_names(adapters), value=[adapter.run_id for adapter in chosen])
