"""Data: one version of a dataset, what is wrong with it, and what the model will see of it."""

from collections.abc import Iterator

import gradio as gr

from jobs.mends import mend
from jobs.preparing.reader import Reader
from jobs.preparing.templates import BUILT_IN
from jobs.recipe import TrainingSettings
from jobs.services import Services
from jobs.uploads import find_dataset
from storage.problems import NotFound
from storage.records import DataCheck, Dataset
from studio.asking import ask_box, read_ask
from studio.frame import QUICK, on_choice, page_frame, static_html
from studio.problems import attempt, explain_problems, problem_box
from studio.read_fields import ReadFields, read_as_noted
from studio.render import render
from studio.report_part import ReportPart
from studio.row_part import TO_THE_ROW, RowPart
from studio.split_part import SplitPart
from studio.text import label, say, setting_key
from studio.views import dataset_view, report_view
from studio.views.data_view import DataView

MEND, ASK = "data-mend", "data-ask"  # what the buttons in this page's HTML speak to
LIMIT = TrainingSettings.model_fields["max_length"].default
GO_THERE = "(address) => { if (address) window.location.assign(address); }"


class DataPage:
    """The page reads the data as it was read last; what is changed here is remembered."""

    def __init__(self, services: Services):
        self.services = services
        self.fields = ReadFields(services)
        self.report = ReportPart(services, self.report_shown)
        self.row = RowPart(services, Reader(services.settings))
        self.split = SplitPart(services)

    def build(self, blocks: gr.Blocks) -> None:
        self.title = page_frame("library", say("page.data"))
        self.notice = static_html("", elem_id="data-notice")
        self.links = static_html("", elem_id="data-links", elem_classes="st-slot-links")
        self.about = static_html("", elem_id="data-about", elem_classes="st-slot-about")
        with gr.Column(elem_classes="st-step", elem_id="data-reading") as reading:
            static_html(render("card_title.html", title=say("data.reading"), lead=""))
            with gr.Row(elem_classes="st-fields"):
                self.fields.build_kind()
            with gr.Row(elem_classes="st-fields"):
                self.fields.build_columns()
            with gr.Row(elem_classes="st-fields"):
                self.base = gr.Dropdown([], label=label("train.base.title"), info=label("data.for_base"), elem_id="data-base")
                key = setting_key(TrainingSettings, "max_length")
                self.limit = gr.Number(
                    LIMIT, precision=0, label=label(f"{key}.title"), info=label(f"{key}.help"), elem_id="data-limit"
                )
            self.problems = static_html("", elem_id="data-problems")
        self.progress = static_html("", elem_id="data-progress")
        self.findings = static_html("", elem_id="data-report")
        with gr.Column(elem_classes="st-step", elem_id="data-row") as row:
            static_html(render("card_title.html", title=say("data.row.title"), lead=say("data.row.help")))
            self.row.build()
        with gr.Column(elem_classes="st-step", elem_id="data-split") as split:
            static_html(render("card_title.html", title=say("data.split"), lead=say("data.split.help")))
            self.split.build()
        self.cards = [reading, row, split]
        self.dataset = gr.Textbox(visible="hidden", elem_id="dataset")
        self.address = gr.Textbox(visible="hidden", elem_id="address")
        self.mending, self.asking = ask_box(MEND), ask_box(ASK)
        self.report.build()
        self._wire(blocks)

    def _wire(self, blocks: gr.Blocks) -> None:
        private = {"api_visibility": "private"}
        seen = [self.links, self.about, self.progress, self.findings, self.row.number, self.problems]
        loaded = blocks.load(
            self.page_loaded,
            None,
            [self.title, self.notice, self.dataset, *self.cards, *self.fields.components, self.base, self.limit, self.split.group,
             *self.report.components, *seen],
            show_progress="hidden",
            **private,
        )
        also = [self.base, self.limit, self.row.number]
        self.report.listen(seen, also)
        read = self.fields.listen(self.dataset, self.read_otherwise, [*self.report.components, *seen], self.problems, also)
        on_choice(self.base)(
            self.base_changed, [self.dataset, *also], [*self.report.components, *seen], show_progress_on=self.progress, **private
        )
        self.limit.change(
            self.limit_changed, [self.dataset, self.report.check_id, *also], seen, trigger_mode="always_last", **QUICK
        )
        self.row.listen(self.dataset, self.base, self.limit, also=[loaded, *read])
        self.row.template.change(
            self.template_changed, [self.dataset, self.base, self.limit, self.row.template], self.links, **QUICK
        )
        self.asking.change(
            self.asked, self.asking, [self.row.number, self.limit], trigger_mode="multiple", **QUICK
        ).then(None, self.asking, None, js=TO_THE_ROW, **private)
        self.mending.change(
            self.mend_asked, [self.mending, self.dataset], [self.notice, self.address], show_progress="hidden", **private
        ).then(None, self.address, None, js=GO_THERE, **private)
        self.split.button.click(
            self.split_clicked, [self.dataset, *self.split.inputs], [self.split.problems, self.address],
            show_progress_on=self.split.problems, **private
        ).then(None, self.address, None, js=GO_THERE, **private)

    # ---- events

    def page_loaded(self, request: gr.Request) -> dict:
        """?id=DATASET, and optionally base=, max_length=, row= and from=VERSION, of which it was just made."""
        wanted = request.query_params
        found = attempt(find_dataset, self.services, wanted.get("id", ""))
        if found.problems or found.value is None:
            return self._not_there(wanted.get("id", ""), found.problems)
        dataset: Dataset = found.value
        view = read_as_noted(self.services, dataset.id)
        base, bases = self._bases(dataset, wanted.get("base", ""))
        limit = _number(wanted.get("max_length")) or LIMIT
        parent = self.services.datasets.find(wanted.get("from", ""))
        versions = self.services.datasets.versions(dataset.family)
        return {
            self.title: dataset_view.title(dataset, versions),
            self.notice: dataset_view.notice(dataset, parent) if parent and parent.family == dataset.family else "",
            self.dataset: dataset.id,
            self.base: gr.Dropdown(bases, value=base or None),
            self.limit: limit,
            **self.fields.show(view, dataset.task or "text-generation", dataset.format or "auto"),
            **self.split.choices(view.column_names),
            **self._read(view, base, limit, None),
            self.row.number: self.row.first(view, _number(wanted.get("row"))),
        }

    def read_otherwise(self, view: DataView, base: str | None, limit: float | None, number: float | None) -> dict:
        """A dropdown of how it is read was changed."""
        return self._read(view, base, limit, number)

    def base_changed(self, dataset_id: str, base: str | None, limit: float | None, number: float | None) -> dict:
        return self._read(read_as_noted(self.services, dataset_id), base, limit, number)

    def limit_changed(self, dataset_id: str, check_id: str, base: str | None, limit: float | None, number: float | None) -> dict:
        dataset, check = self.services.datasets.find(dataset_id), self.services.checks.find(check_id)
        if dataset is None:
            return {}
        return {self.links: dataset_view.links(dataset, base or "", int(limit or LIMIT)), **self._findings(check, limit)}

    def template_changed(self, dataset_id: str, base: str | None, limit: float | None, template: str) -> str:
        """Training takes a built-in template by its name; one that was written here is pasted there."""
        dataset = self.services.datasets.find(dataset_id)
        if dataset is None:
            return ""
        return dataset_view.links(dataset, base or "", int(limit or LIMIT), template if template in BUILT_IN else "")

    def report_shown(self, check: DataCheck | None, base: str | None, limit: float | None, number: float | None) -> dict:
        """How far the report is, or the report; with it come the figures that only reading all rows tells."""
        updates = {
            self.progress: report_view.progress(check, bool(self.services.workers.alive())),
            **self._findings(check, limit),
        }
        if check and check.state == "finished" and number is None:
            view = read_as_noted(self.services, check.dataset_id)
            updates |= {self.about: self._about(view), self.row.number: self.row.first(view)}
        return updates

    @explain_problems
    def asked(self, ask: str) -> dict:
        """A button of the report wants a row to be shown, or another length."""
        match read_ask(ask):
            case ["row", index]:
                return {self.row.number: int(index) + 1}
            case ["length", tokens]:
                return {self.limit: int(tokens)}
        return {}

    def mend_asked(self, ask: str, dataset_id: str) -> Iterator[dict]:
        """A button of a finding mends the data; the page of the new version comes next."""
        words = read_ask(ask)
        if len(words) != 4:
            return
        yield {self.notice: render("data_working.html", text=say("data.mending")), self.address: ""}
        done = attempt(self._mend, dataset_id, *words[1:])
        if done.problems:
            yield {self.notice: problem_box(list(done.problems)), self.address: ""}
        else:
            yield {self.notice: "", self.address: _page_of(done.value.id, dataset_id)}

    def split_clicked(self, dataset_id: str, kept: str, group: str | None, seed: float | None) -> tuple[str, str]:
        problems, made = self.split.clicked(dataset_id, kept, group, seed)
        return problems, _page_of(made, dataset_id) if made else ""

    # ---- inside

    def _read(self, view: DataView, base: str | None, limit: float | None, number: float | None) -> dict:
        """Everything that depends on how the data is read."""
        return {
            self.problems: problem_box(list(view.problems)),
            self.links: dataset_view.links(view.dataset, base or "", int(limit or LIMIT)),
            self.about: self._about(view),
            **self.report.ask(view, base or "", base, limit, number),
        }

    def _about(self, view: DataView) -> str:
        dataset, datasets = view.dataset, self.services.datasets
        return dataset_view.about(
            dataset,
            view.data,
            view.column_names,
            datasets.versions(dataset.family),
            datasets.find(dataset.validation_id) if dataset.validation_id else None,
            self.services.trash.dependents("dataset", dataset.id),
        )

    def _findings(self, check: DataCheck | None, limit: float | None) -> dict:
        if check is None or check.state != "finished":
            return {self.findings: ""}
        return {self.findings: report_view.whole_report(check, max(1, int(limit or LIMIT)), MEND, ASK)}

    def _mend(self, dataset_id: str, check_id: str, kind: str, name: str) -> Dataset:
        dataset = find_dataset(self.services, dataset_id)
        if dataset is None:
            raise NotFound(say("data.deleted"))
        return mend(self.services, dataset, self.services.checks.find(check_id), kind, name)

    def _bases(self, dataset: Dataset, wanted: str) -> tuple[str, list[str]]:
        """The base model to look through, and all that could be chosen: the wanted, the last one, or the first that is usable."""
        entries = [entry for entry in self.services.shelf.list() if entry.facts]
        by_path = {str(entry.path): entry.name for entry in entries}
        names = list(by_path.values())
        last = next((by_path[path] for check in self.services.checks.of_dataset(dataset.id)
                     if (path := check.wanted.get("base_path", "")) in by_path), "")
        chosen = wanted if wanted in names else last or (names[0] if names else "")
        return chosen, names

    def _not_there(self, dataset_id: str, problems: tuple[str, ...]) -> dict:
        links = [(say("data.open_library"), "/library"), (say("data.open_train"), "/")]
        why = problems[0] if problems else say("data.unknown", id=dataset_id) if dataset_id else say("data.none_help")
        return {
            self.about: render("empty.html", what=say("data.none"), next=why, links=links),
            **{card: gr.Column(visible=False) for card in self.cards},
        }


def _page_of(dataset_id: str, made_of: str) -> str:
    return f"/data?id={dataset_id}&from={made_of}"


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and int(text) else None
