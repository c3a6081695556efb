"""Step 2 of the Train page: upload data, see what it is, and correct which column plays which part."""

from pathlib import Path
from urllib.parse import urlencode

import gradio as gr

from jobs.data import SUFFIXES
from jobs.recipe import TASKS, DatasetChoice, Recipe
from jobs.services import Services
from jobs.sources import refuse_paths
from jobs.uploads import keep_files
from storage.records import DataCheck, Dataset
from studio.base_step import BaseStep
from studio.frame import on_choice, static_html
from studio.other_sources import OtherSources
from studio.problems import attempt, problem_box
from studio.read_fields import AUTO, ReadFields, read_and_note, read_as_noted
from studio.recipe_form import read_validation, validation_choices
from studio.report_part import ReportPart
from studio.text import label, say, setting_key
from studio.views import report_view
from studio.views.data_view import DataView, read_data

VALIDATION = "0.1"


class DataStep:
    """The upload and its interpretation. `dataset` holds the id of what was kept."""

    def __init__(self, services: Services, base: BaseStep):
        self.services, self.base = services, base
        self.fields = ReadFields(services)
        self.report = ReportPart(services, self.report_shown)
        self.sources = OtherSources(services)

    def build(self) -> None:
        self.dataset = gr.Textbox(visible="hidden", elem_id="dataset")  # in the page, so that it outlives the server
        self.upload = gr.File(
            file_count="multiple",
            file_types=sorted(SUFFIXES),
            label=label("train.data.upload"),
            elem_id="upload",
            height=130,
        )
        self.sources.build()
        self.problems = static_html("", elem_id="data-problems")
        self.view = static_html(DataView().html, elem_id="data", elem_classes="st-data-slot")
        self.findings = static_html("", elem_id="data-report")
        with gr.Row(elem_classes="st-fields"):
            self.fields.build_kind()
            self.validation = gr.Dropdown(
                validation_choices(),
                value=VALIDATION,
                allow_custom_value=True,
                elem_id="validation",
                label=label(f"{setting_key(DatasetChoice, 'validation')}.title"),
                info=label(f"{setting_key(DatasetChoice, 'validation')}.help"),
            )
        with gr.Row(elem_classes="st-fields"):
            self.fields.build_columns()

        with gr.Accordion(label("train.data.more"), open=False, elem_id="data-more"):
            key = setting_key(DatasetChoice, "group_by")
            self.group = gr.Dropdown(
                [(label("data.split.nothing"), "")],
                value="",
                allow_custom_value=True,
                label=label(f"{key}.title"),
                info=label(f"{key}.help"),
                elem_id="group-by",
            )
        self.report.build()

        private, asked = {"api_visibility": "private"}, [*self.report.components, self.findings, self.view]
        around = [self.dataset, self.upload, self.problems, self.view, self.group]
        everything = [*around, *self.fields.components, self.validation]
        self.upload.upload(
            self.files_uploaded, [self.upload, self.dataset], everything, show_progress_on=self.view, **private
        )
        self.sources.listen(self.choose, self.problems, everything, self.view)
        self.fields.listen(
            self.dataset, self.read_otherwise, [*around, *asked], progress_on=self.view, also=[self.base.chosen, self.group]
        )
        gr.on(
            [self.dataset.change, on_choice(self.base.chosen)],
            self.report_wanted,
            [self.dataset, self.base.chosen],
            asked,
            show_progress="hidden",
            trigger_mode="always_last",
            **private,
        )
        self.report.listen([self.findings, self.view], [self.base.chosen])

    @property
    def inputs(self) -> list:
        return [self.dataset, self.fields.format, self.fields.task, self.validation, self.group, *self.fields.columns]

    def read(self, values: dict) -> dict:
        """The recipe's dataset, as far as the form knows it."""
        return {
            "source": values[self.dataset],
            "format": values[self.fields.format],
            "columns": self.fields.chosen(
                values[self.fields.format], [values[column] for column in self.fields.columns]
            ),
            "validation": read_validation(values[self.validation]),
            "group_by": (values[self.group] or "").strip(),
        }

    def problems_of(self, plain: dict) -> tuple[str, ...]:
        """What is wrong with the data, for a recipe whose other settings keep it from being checked as a whole."""
        dataset = plain["dataset"]
        return read_data(self.services, dataset["source"], dataset["format"], dataset["columns"], plain["task"]).problems

    def missing(self, plain: dict) -> list[str]:
        """What keeps the data from being used at all: nothing was chosen, or something that is not in the studio."""
        return refuse_paths(self.services, plain["dataset"]) if plain["dataset"]["source"] else [say("train.data.missing")]

    # ---- clicks

    def files_uploaded(self, files: list[str] | None, before: str) -> dict:
        kept = attempt(self._keep, [Path(file) for file in files or []])
        if kept.problems:  # what was there before stays
            return {self.dataset: before, self.upload: None, self.problems: problem_box(list(kept.problems))}
        return self.choose(kept.value)

    def read_otherwise(self, view: DataView, base: str | None, group: str | None) -> dict:
        """A dropdown of how it is read was changed."""
        return {**self.shown(view, group or ""), **self.report.ask(view, base or "", base)}

    def report_wanted(self, dataset_id: str, base: str | None) -> dict:
        """Other data was chosen, or another base model, whose tokens are counted."""
        view = read_as_noted(self.services, dataset_id) if dataset_id else DataView()
        return self.report.ask(view, base or "", base)

    def report_shown(self, check: DataCheck | None, base: str | None) -> dict:
        """How far the report is, then its short form."""
        if check and check.state == "finished":
            address = f"/data?{urlencode({'id': check.dataset_id, **({'base': base} if base else {})})}"
            read = read_as_noted(self.services, check.dataset_id)  # of large data, the counts are known now
            return {self.findings: report_view.short_report(check, address), self.view: read.html}
        return {self.findings: report_view.progress(check, bool(self.services.workers.alive()))}

    # ---- inside

    def choose(self, dataset: Dataset) -> dict:
        """This step with other data: read as it was read the last time, and measured with its validation part if it has one."""
        view = read_as_noted(self.services, dataset.id)
        kept = self.services.datasets.find(dataset.validation_id) if dataset.validation_id else None
        return {**self._read(view), self.validation: self._validation(kept, kept.id if kept else VALIDATION)}

    def shown(self, view: DataView, group: str = "") -> dict:
        """What stands around the dropdowns."""
        return {
            self.dataset: view.dataset.id if view.dataset else "",
            self.upload: None,
            self.problems: problem_box(list(view.problems)),
            self.view: view.html,
            self.group: gr.Dropdown(
                [(label("data.split.nothing"), ""), *view.column_names], value=group if group in view.column_names else ""
            ),
        }

    def fill(self, recipe: Recipe) -> dict:
        """Every field of this step as a recipe has it. Its data must be an upload that is still here."""
        dataset = recipe.dataset
        if not isinstance(dataset.source, str):
            view = DataView(problems=(say("train.data.mixed"),))
        else:
            view = read_and_note(self.services, dataset.source, dataset.format, dataset.columns, recipe.task)
        updates = {**self._read(view, recipe.task, dataset.format), **self.shown(view, dataset.group_by)}
        kept = self.services.datasets.find(dataset.validation) if isinstance(dataset.validation, str) else None
        return {**updates, self.validation: self._validation(kept, str(dataset.validation))}

    def _read(self, view: DataView, task: str = TASKS[0], format: str = AUTO) -> dict:
        return {**self.fields.show(view, task, format), **self.shown(view)}

    @staticmethod
    def _validation(kept: Dataset | None, value: str) -> gr.Dropdown:
        return gr.Dropdown(validation_choices(kept.id if kept else None, kept.name if kept else ""), value=value)

    def _keep(self, paths: list[Path]) -> Dataset:
        dataset = keep_files(self.services, paths, own=True)
        for path in paths:
            path.unlink(missing_ok=True)  # it has another name in the studio's home
        return dataset
