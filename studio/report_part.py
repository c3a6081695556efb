"""The health report on a page: asked for when data was read, looked at once a second until it is there."""

from collections.abc import Callable, Iterable

import gradio as gr

from jobs.checks import ReadAs, ask_check
from jobs.services import Services
from storage.problems import StudioError
from storage.records import DataCheck
from studio.frame import QUICK
from studio.views.data_view import DataView

Shown = Callable[..., dict]  # is given the check (None: there is none) and the values of `also`; returns the page's updates


class ReportPart:
    """`check_id` holds what is waited for."""

    def __init__(self, services: Services, shown: Shown):
        self.services, self.shown = services, shown

    def build(self) -> None:
        self.check_id = gr.State("")
        self.timer = gr.Timer(1, active=False)

    @property
    def components(self) -> list:
        return [self.check_id, self.timer]

    def listen(self, outputs: Iterable, also: Iterable = ()) -> None:
        self.timer.tick(self.ticked, [self.check_id, *also], [*self.components, *outputs], **QUICK)

    def ask(self, view: DataView, base: str, *also) -> dict:
        """Ask for the report of data as it was read, with the tokens of a base model (empty: without); nothing for bad data."""
        check = None
        if view.dataset and view.found and not view.problems:
            way = ReadAs(view.found.task, view.found.format, view.found.columns)
            check = ask_check(self.services, view.dataset, way, self._base_path(base), validation_id=view.dataset.validation_id)
        return {self.check_id: check.id if check else "", **self._told(check, *also)}

    def ticked(self, check_id: str, *also) -> dict:
        return self._told(self.services.checks.find(check_id) if check_id else None, *also)

    def _told(self, check: DataCheck | None, *also) -> dict:
        open_still = check is not None and check.state in ("queued", "running")
        return {self.timer: gr.Timer(active=open_still), **self.shown(check, *also)}

    def _base_path(self, base: str) -> str:
        if not base:
            return ""
        try:
            return str(self.services.shelf.resolve(base).path)
        except StudioError:
            return ""  # the page says beside the base model what is wrong with it
