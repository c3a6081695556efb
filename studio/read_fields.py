"""The dropdowns that say how data is read: task, format, and which column plays which part."""

from collections.abc import Callable, Iterable

import gradio as gr

from jobs.data import FORMATS
from jobs.imports import first_look
from jobs.recipe import TASKS, DatasetChoice, Recipe
from jobs.services import Services
from storage.problems import StudioError
from storage.records import Dataset
from studio.frame import on_choice
from studio.text import label, setting_key
from studio.views.data_view import DataView, parts_of, read_data

MOST_PARTS = max(len(entry.parts) for entry in FORMATS.values())
AUTO = "auto"


class ReadFields:
    """Filled in with what was recognised; whoever changes one sees the data read anew."""

    def __init__(self, services: Services):
        self.services = services

    def build_kind(self) -> None:
        """Task and format, in the row that the caller has opened."""
        self.task = gr.Dropdown(
            [(label(f"choice.{task}"), task) for task in TASKS],
            value=TASKS[0],
            filterable=False,
            label=label(f"{setting_key(Recipe, 'task')}.title"),
            info=label(f"{setting_key(Recipe, 'task')}.help"),
            elem_id="task",
        )
        self.format = gr.Dropdown(
            [(label("choice.auto"), AUTO), *((label(f"format.{name}"), name) for name in FORMATS)],
            value=AUTO,
            filterable=False,
            elem_id="format",
            label=label(f"{setting_key(DatasetChoice, 'format')}.title"),
            info=label(f"{setting_key(DatasetChoice, 'format')}.help"),
        )

    def build_columns(self) -> None:
        """A dropdown for each part that a format can have."""
        self.columns = [
            gr.Dropdown([], visible=False, filterable=False, elem_id=f"column-{number}") for number in range(MOST_PARTS)
        ]

    @property
    def components(self) -> list:
        return [self.task, self.format, *self.columns]

    def listen(self, dataset, shown: Callable[..., dict], outputs: Iterable, progress_on, also: Iterable = ()) -> list:
        """Read the dataset (a component with its id) anew when a dropdown changes; returns the events.

        `shown` is given the view and the values of the components `also`, and returns the updates of the caller's `outputs`.
        """
        outputs, also = list(dict.fromkeys([*self.components, *outputs])), list(also)

        def format_changed(dataset_id: str, format: str, task: str, *more) -> dict:
            # the format decides the task, so that the two cannot disagree
            task = FORMATS[format].task if format in FORMATS else None
            view = read_and_note(self.services, dataset_id, format, None, task)
            return {**self.show(view, task or TASKS[0], format), **shown(view, *more)}

        def task_changed(dataset_id: str, format: str, task: str, *more) -> dict:
            view = read_and_note(self.services, dataset_id, AUTO, None, task)
            return {**self.show(view, task, AUTO), **shown(view, *more)}

        def columns_changed(dataset_id: str, format: str, task: str, *values) -> dict:
            view = read_and_note(self.services, dataset_id, format, self.chosen(format, values[:MOST_PARTS]), task)
            # where it cannot be read, the dropdowns stay as the person set them
            fields = {} if view.problems else self.show(view, task, format)
            return {**fields, **shown(view, *values[MOST_PARTS:])}

        kind, quiet = [dataset, self.format, self.task], {"show_progress_on": progress_on, "api_visibility": "private"}
        columns = [on_choice(column) for column in self.columns]
        return [
            on_choice(self.format)(format_changed, [*kind, *also], outputs, **quiet),
            on_choice(self.task)(task_changed, [*kind, *also], outputs, **quiet),
            gr.on(columns, columns_changed, [*kind, *self.columns, *also], outputs, **quiet),
        ]

    def show(self, view: DataView, task: str, format: str) -> dict:
        """Every dropdown as the data was read; `task` and `format` where it could not be."""
        found = view.found
        format = found.format if found else format
        parts = parts_of(format)
        updates = {self.task: found.task if found else task, self.format: format}
        for number, column in enumerate(self.columns):
            if number >= len(parts) or not view.column_names:
                updates[column] = gr.Dropdown(visible=False, value=None)
                continue
            name, required = parts[number]
            unused = [] if required and found else [(label("train.data.unused"), "")]
            updates[column] = gr.Dropdown(
                [*unused, *view.column_names],
                value=found.columns.get(name, "") if found else "",
                visible=True,
                label=label(f"part.{format}.{name}.title"),
                info=label(f"part.{format}.{name}.help"),
            )
        return updates

    @staticmethod
    def chosen(format: str, columns: Iterable[str | None]) -> dict[str, str]:
        """From part to column, of what the dropdowns hold."""
        return {part: column for (part, _), column in zip(parts_of(format), columns, strict=False) if column}


def read_and_note(services: Services, dataset_id: str, format: str = AUTO, columns: dict | None = None, task: str | None = None,
                  ) -> DataView:
    """Read data as a person wants it read, and remember that for the next time, if it can be read so."""
    view = read_data(services, dataset_id, format, columns, task)
    if view.dataset and view.found:
        rows = {"rows": view.data.rows} if view.data else {}
        services.datasets.note(view.dataset.id, task=view.found.task, format=view.found.format, columns=view.found.columns, **rows)
    return view


def read_as_noted(services: Services, dataset_id: str) -> DataView:
    """Read data as it was read the last time; the first time, or where that no longer works, as it is recognised."""
    dataset = services.datasets.find(dataset_id)
    if dataset and dataset.format:
        noted = () if _is_recognised(services, dataset) else (dataset.format, dataset.columns, dataset.task)
        view = read_data(services, dataset_id, *noted)
        if not view.problems:
            return view
    return read_and_note(services, dataset_id)


def _is_recognised(services: Services, dataset: Dataset) -> bool:
    """Whether it would be read as it is noted without being told: then there is a reason to be shown."""
    try:
        found = first_look(services, dataset).found
    except StudioError:
        return False
    return (found.task, found.format, found.columns) == (dataset.task, dataset.format, dataset.columns)
