"""Step 1 of the Train page: choose a base model from the shelf, or get another one."""

from pathlib import Path

import gradio as gr

from jobs.services import Services
from storage.records import Download
from studio.frame import static_html
from studio.problems import Explained, attempt, explain_problems, problem_box
from studio.render import render
from studio.text import label, say
from studio.views.base_facts import download_line, facts_line


class BaseStep:
    """The model chooser. `chosen` holds the name that goes into the recipe."""

    def __init__(self, services: Services):
        self.services = services

    def build(self) -> None:
        self.chosen = gr.Dropdown([], label=label("train.base.choose"), elem_id="base", filterable=True)
        self.facts = static_html("", elem_id="base-facts", elem_classes="st-facts-slot")
        with gr.Accordion(label("train.base.add"), open=False, elem_id="base-add"):
            with gr.Row(elem_classes="st-inline"):
                self.wanted = gr.Textbox(
                    label=label("train.base.add"),
                    info=label("train.base.add_help"),
                    max_lines=1,
                    show_label=False,
                    elem_id="base-wanted",
                    scale=4,
                )
                self.get = gr.Button(label("train.base.get"), elem_id="base-get", size="md", scale=0, min_width=100)
        static_html(render("capacity_link.html"))
        with gr.Row(elem_classes="st-inline"):  # beside the fold, so that a reloaded page shows it
            self.progress = static_html("", elem_id="base-progress")
            self.cancel = gr.Button(
                label("train.download.cancel"), elem_id="base-cancel", size="md", scale=0, min_width=100, visible=False
            )
        self.download = gr.State("")
        self.timer = gr.Timer(1, active=False)
        self.following = [self.progress, self.cancel, self.download, self.timer]

        self.chosen.change(
            self.chosen_changed, self.chosen, self.facts, show_progress="hidden", queue=False, api_visibility="private"
        )
        outputs = [self.chosen, self.facts, *self.following]
        gr.on([self.get.click, self.wanted.submit], self.get_clicked, self.wanted, outputs, api_visibility="private")
        self.cancel.click(
            self.cancel_clicked, self.download, outputs, queue=False, show_progress="hidden", api_visibility="private"
        )
        self.timer.tick(
            self.download_ticked, self.download, outputs, queue=False, show_progress="hidden", api_visibility="private"
        )

    # ---- clicks

    def chosen_changed(self, name: str | None) -> str:
        return facts_line(next((entry for entry in self.services.shelf.list() if entry.name == name), None))

    def get_clicked(self, wanted: str) -> dict:
        wanted = (wanted or "").strip()
        done = attempt(self._get, wanted) if wanted else Explained(problems=(say("train.base.nothing_typed"),))
        if done.problems:
            return {self.progress: problem_box(list(done.problems)), self.download: "", self.cancel: gr.Button(visible=False),
                    self.timer: gr.Timer(active=False)}
        return done.value

    @explain_problems
    def cancel_clicked(self, hub_id: str) -> dict:
        return self._shown(self.services.downloads.cancel(hub_id))

    def download_ticked(self, hub_id: str) -> dict:
        download = self.services.downloads.get(hub_id)
        return self._shown(download) | (self.choose(hub_id) if download.state == "finished" else {})

    def go_on(self) -> dict:
        """A download that was under way when the page was left shows its progress again."""
        active = self.services.downloads.active()
        return self._follow(active[0]) if active else {}

    # ---- inside

    def choose(self, wanted: str | None = None) -> dict:
        """The dropdown with what is on the shelf now, one of it chosen (the wanted, else the first usable), and its facts."""
        entries = self.services.shelf.list()
        names = [entry.name for entry in entries]
        # a recipe may name a folder that is not on the shelf: it stays a choice, so that the run can be repeated
        extra = [wanted] if wanted and wanted not in names else []
        chosen = wanted or self.first()
        return {
            self.chosen: gr.Dropdown([*names, *extra], value=chosen),
            self.facts: facts_line(next((entry for entry in entries if entry.name == chosen), None)),
        }

    def first(self) -> str | None:
        """The first on the shelf that can be used, else the first; None where the shelf is empty."""
        entries = self.services.shelf.list()
        return next((entry.name for entry in [*(entry for entry in entries if entry.facts), *entries]), None)

    def _get(self, wanted: str) -> dict:
        if wanted.startswith(("/", ".", "~")) or Path(wanted).is_dir():
            entry = self.services.shelf.add_folder(wanted)
            return {
                **self.choose(entry.name),
                self.progress: render(
                    "download.html",
                    problems=[],
                    done=True,
                    hint="",
                    amount="",
                    text=say("train.base.added", name=entry.name),
                ),
            }
        download = self.services.downloads.ask(wanted)
        self.services.bell.ring_for_download(wanted)
        return self._follow(download)

    def _follow(self, download: Download) -> dict:
        return {self.download: download.hub_id, **self._shown(download)}

    def _shown(self, download: Download) -> dict:
        """How far the download is, looked at again as long as it goes on."""
        going_on = download.state in ("queued", "running")
        return {
            self.progress: download_line(download, bool(self.services.workers.alive())),
            self.cancel: gr.Button(visible=going_on),
            self.timer: gr.Timer(active=going_on),
        }
