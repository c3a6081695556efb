"""The ways to data besides small uploads: large files in pieces, folders that an administrator allowed, and the Hub."""

import json
from collections.abc import Callable
from pathlib import Path

import gradio as gr

from jobs import units
from jobs.data_folders import FolderView, allowed_folders, keep_from_folder, list_folder
from jobs.hub_data import keep_hub_data, read_reference
from jobs.resumable import ResumableUploads
from jobs.services import Services
from storage.problems import NotFound, StudioError
from storage.records import Dataset
from studio.asking import ask_box, read_ask
from studio.frame import on_choice, static_html
from studio.problems import attempt, problem_box
from studio.render import render
from studio.text import ENGLISH, label, say

LARGE = 200_000_000  # bytes of a file that is sent in pieces, and can go on after a break
PIECE = 8 * 1024**2  # bytes
FAILED = "failed"  # what the script of large uploads reads where they could not be kept
SAID_BY_SCRIPT = ("amount", "reading", "waiting", "cancelled", "stopped", "busy", "unreadable", "failed", "cancel",
                  "discard")


class OtherSources:
    """What stands below the upload field. studio/large_upload.js takes large files before the field does."""

    def __init__(self, services: Services):
        self.services = services
        self.uploads = ResumableUploads(services)

    def build(self) -> None:
        words = {name: ENGLISH[f"upload.large.{name}"] for name in SAID_BY_SCRIPT}
        html = render("large_upload.html", threshold=LARGE, piece=PIECE, words=json.dumps(words))
        static_html(html, elem_id="large-upload", elem_classes="st-large-slot")
        self.ask = ask_box("upload-ask")
        with gr.Accordion(label("train.data.other"), open=False, elem_id="other-sources"):
            with gr.Row(elem_classes="st-inline"):
                self.hub = gr.Textbox(label=label("train.data.hub"), info=label("train.data.hub_help"), max_lines=1,
                                      elem_id="hub-data", scale=4)
                self.get = gr.Button(label("train.data.hub_get"), elem_id="hub-get", size="md", scale=0, min_width=100)
            self.folder = self.files = self.take = None
            if self.services.settings.data_folders:
                self._build_folders()

    def _build_folders(self) -> None:
        # what can be chosen changes with the folder, and a web process that was restarted does not know how
        free = {"allow_custom_value": True}
        folders = [str(folder) for folder in allowed_folders(self.services.settings)]
        self.folder = gr.Dropdown(folders, value=None, label=label("train.data.folder"), info=label("train.data.folder_help"),
                                  elem_id="folder", **free)
        with gr.Row(elem_classes="st-inline"):
            self.files = gr.Dropdown([], multiselect=True, label=label("train.data.folder_files"), elem_id="folder-files",
                                     scale=4, **free)
            self.take = gr.Button(label("train.data.folder_take"), elem_id="folder-take", size="md", scale=0, min_width=150)

    def listen(self, choose: Callable[[Dataset], dict], problems: gr.HTML, outputs: list, progress_on: gr.HTML) -> None:
        """`choose` gives the outputs for data that is kept now; `problems` shows what kept it from being so."""

        def shown(step: Callable, *values) -> dict:
            kept = attempt(step, *values)
            return {problems: problem_box(list(kept.problems))} if kept.problems else choose(kept.value)

        def large_uploaded(ask: str) -> dict:
            words = read_ask(ask)
            if not words:  # our own answer
                return {self.ask: gr.skip()}
            _, *ids = words
            found = shown(self.uploads.keep, ids)
            return {**found, self.ask: FAILED if problems in found and len(found) == 1 else ""}

        def hub_asked(wanted: str, progress=gr.Progress()) -> dict:  # noqa: B008, Gradio looks for it there
            return shown(self._keep_hub, wanted, progress)

        def folder_chosen(folder: str) -> dict:
            listed = attempt(list_folder, self.services.settings, Path(folder or "/"))
            if listed.problems:
                return {problems: problem_box(list(listed.problems))}
            return {problems: "", **self._choices(listed.value)}

        def files_taken(folder: str, names: list[str]) -> dict:
            return shown(self._keep_folder, folder, names)

        told = {"show_progress_on": progress_on, "api_visibility": "private"}
        self.ask.change(large_uploaded, self.ask, [*outputs, self.ask], **told)
        gr.on([self.get.click, self.hub.submit], hub_asked, self.hub, outputs, **told)
        if self.folder:
            on_choice(self.folder)(folder_chosen, self.folder, [problems, self.folder, self.files], show_progress="hidden",
                              api_visibility="private")
            self.take.click(files_taken, [self.folder, self.files], outputs, **told)

    # ---- inside

    def _keep_hub(self, wanted: str, progress: gr.Progress) -> Dataset:
        reference = read_reference(wanted or "")
        if reference is None:
            raise StudioError(say("train.data.hub_form", wanted=(wanted or "").strip()))

        def tell(done: int, total: int) -> None:
            progress(done / total if total else 1, desc=say("train.data.hub_fetching", name=reference.hub_id,
                                                            done=units.size(done), total=units.size(total)))

        progress(0, desc=say("train.data.hub_looking", name=reference.hub_id))
        return keep_hub_data(self.services, reference, tell)

    def _keep_folder(self, folder: str | None, names: list[str] | None) -> Dataset:
        if not folder or not names:
            raise NotFound(say("train.data.folder_nothing"))
        return keep_from_folder(self.services, Path(folder), names)

    def _choices(self, view: FolderView) -> dict:
        up = [(say("train.data.folder_up", name=view.parent), str(view.parent))] if view.parent else []
        below = [(f"{name}/", str(view.path / name)) for name in view.folders]
        roots = [str(folder) for folder in allowed_folders(self.services.settings) if folder not in (view.path, view.parent)]
        files = [(f"{file.name} ({units.size(file.bytes)})", file.name) for file in view.files]
        return {self.folder: gr.Dropdown([(str(view.path), str(view.path)), *up, *below, *roots], value=str(view.path)),
                self.files: gr.Dropdown(files, value=[])}
