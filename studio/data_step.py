"""Step 2 of the Train page: upload data, see what it is, and correct which column plays which part."""

from pathlib import Path

import gradio as gr

from jobs.data import FORMATS, SUFFIXES
from jobs.recipe import TASKS, DatasetChoice, Recipe
from jobs.services import Services
from jobs.uploads import keep_files
from storage.records import Dataset
from studio.frame import static_html
from studio.problems import attempt, problem_box
from studio.recipe_form import read_validation, validation_choices
from studio.text import label, setting_key
from studio.views.data_view import DataView, parts_of, read_data

MOST_PARTS = max(len(entry.parts) for entry in FORMATS.values())
AUTO = "auto"


class DataStep:
    """The upload and its interpretation. `dataset` holds the id of what was kept."""

    def __init__(self, services: Services):
        self.services = services

    def build(self) -> None:
        self.dataset = gr.State("")
        self.upload = gr.File(
            file_count="multiple",
            file_types=sorted(SUFFIXES),
            label=label("train.data.upload"),
            elem_id="upload",
            height=130,
        )
        self.problems = static_html("", elem_id="data-problems")
        self.view = static_html(DataView().html, elem_id="data", elem_classes="st-data-slot")
        with gr.Row(elem_classes="st-fields"):
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
            self.validation = gr.Dropdown(
                validation_choices(),
                value="0.1",
                allow_custom_value=True,
                elem_id="validation",
                label=label(f"{setting_key(DatasetChoice, 'validation')}.title"),
                info=label(f"{setting_key(DatasetChoice, 'validation')}.help"),
            )
        with gr.Row(elem_classes="st-fields"):
            self.columns = [
                gr.Dropdown([], visible=False, filterable=False, elem_id=f"column-{number}") for number in range(MOST_PARTS)
            ]

        outputs = [self.dataset, self.upload, self.problems, self.view, self.task, self.format, *self.columns]
        self.upload.upload(
            self.files_uploaded, [self.upload, self.dataset], outputs, show_progress_on=self.view, api_visibility="private"
        )
        for trigger, handler in ((self.format.input, self.format_changed), (self.task.input, self.task_changed)):
            trigger(
                handler,
                [self.dataset, self.format, self.task],
                outputs,
                show_progress_on=self.view,
                api_visibility="private",
            )
        gr.on(
            [column.input for column in self.columns],
            self.columns_changed,
            [self.dataset, self.format, self.task, *self.columns],
            outputs,
            show_progress_on=self.view,
            api_visibility="private",
        )

    @property
    def inputs(self) -> list:
        return [self.dataset, self.format, self.task, self.validation, *self.columns]

    def read(self, values: dict) -> dict:
        """The recipe's dataset, as far as the form knows it."""
        return {
            "source": values[self.dataset],
            "format": values[self.format],
            "columns": self._chosen(values[self.format], [values[column] for column in self.columns]),
            "validation": read_validation(values[self.validation]),
        }

    def problems_of(self, plain: dict) -> tuple[str, ...]:
        """What is wrong with the data, for a recipe whose other settings keep it from being checked as a whole."""
        dataset = plain["dataset"]
        return read_data(self.services, dataset["source"], dataset["format"], dataset["columns"], plain["task"]).problems

    # ---- clicks

    def files_uploaded(self, files: list[str] | None, before: str) -> list:
        kept = attempt(self._keep, [Path(file) for file in files or []])
        if kept.problems:  # what was there before stays
            return [before, None, problem_box(list(kept.problems)), *[gr.skip()] * (3 + MOST_PARTS)]
        return self.updates(read_data(self.services, kept.value.id), TASKS[0], AUTO)

    def format_changed(self, dataset_id: str, format: str, task: str) -> list:
        # the format decides the task, so that the two cannot disagree
        task = FORMATS[format].task if format in FORMATS else None
        return self.updates(read_data(self.services, dataset_id, format, None, task), task or TASKS[0], format)

    def task_changed(self, dataset_id: str, format: str, task: str) -> list:
        return self.updates(read_data(self.services, dataset_id, AUTO, None, task), task, AUTO)

    def columns_changed(self, dataset_id: str, format: str, task: str, *columns: str | None) -> list:
        view = read_data(self.services, dataset_id, format, self._chosen(format, columns), task)
        if view.problems:  # leave the dropdowns as the person set them
            return [dataset_id, None, problem_box(list(view.problems)), view.html, *[gr.skip()] * (2 + MOST_PARTS)]
        return self.updates(view, task, format)

    # ---- inside

    def updates(self, view: DataView, task: str, format: str) -> list:
        """All outputs of this step, for a dataset as it was read."""
        data = view.data
        format = data.format if data else format
        parts = parts_of(format)
        columns = []
        for number in range(MOST_PARTS):
            if number >= len(parts) or not view.column_names:
                columns.append(gr.Dropdown(visible=False, value=None))
                continue
            name, required = parts[number]
            unused = [] if required and data else [(label("train.data.unused"), "")]
            columns.append(
                gr.Dropdown(
                    [*unused, *view.column_names],
                    value=data.columns.get(name, "") if data else "",
                    visible=True,
                    label=label(f"part.{format}.{name}.title"),
                    info=label(f"part.{format}.{name}.help"),
                )
            )
        return [
            view.dataset.id if view.dataset else "",
            None,
            problem_box(list(view.problems)),
            view.html,
            data.task if data else task,
            format,
            *columns,
        ]

    def fill(self, recipe: Recipe) -> dict:
        """Every field of this step as a recipe has it. Its data must be an upload that is still here."""
        dataset = recipe.dataset
        view = read_data(self.services, str(dataset.source), dataset.format, dataset.columns, recipe.task)
        outputs = [self.dataset, self.upload, self.problems, self.view, self.task, self.format, *self.columns]
        updates = dict(zip(outputs, self.updates(view, recipe.task, dataset.format), strict=True))
        kept = self.services.datasets.find(dataset.validation) if isinstance(dataset.validation, str) else None
        updates[self.validation] = gr.Dropdown(
            validation_choices(kept.id if kept else None, kept.name if kept else ""), value=str(dataset.validation)
        )
        return updates

    def _keep(self, paths: list[Path]) -> Dataset:
        dataset = keep_files(self.services, paths)
        for path in paths:
            path.unlink(missing_ok=True)  # the copy in the studio's home is the one that counts
        return dataset

    @staticmethod
    def _chosen(format: str, columns) -> dict[str, str]:
        return {part: column for (part, _), column in zip(parts_of(format), columns, strict=False) if column}
