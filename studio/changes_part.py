"""What an adapter changed in its answer, told below the panes."""

from jobs.playground.client import PlaygroundClient
from jobs.playground.request import ChangesRequest, GenerationSettings
from storage.records import BASE
from studio.frame import static_html
from studio.playground_bases import Base
from studio.problems import attempt, problem_box
from studio.views.changes_view import changes
from studio.views.panes import Panes


class ChangesPart:
    """Asks the playground's process, which has both models."""

    def __init__(self, client: PlaygroundClient):
        self.client = client

    def build(self) -> None:
        self.shown = static_html("", elem_id="changes")

    def tell(self, base: Base, panes: Panes, id: str, folder: str | None) -> str:
        """The card about the answer of one pane, or what keeps it from being told."""
        told = attempt(self._told, request_about(base, panes, id, folder))
        return problem_box(list(told.problems)) if told.problems else changes(panes.title(id), *told.value)

    def _told(self, request: ChangesRequest) -> tuple[list[dict], dict]:
        return self.client.changes(request), self.client.change_map(request)


def request_about(base: Base, panes: Panes, id: str, folder: str | None) -> ChangesRequest:
    """The answer of a pane with what was asked, under the settings that it was given with."""
    assert id != BASE, "the base model is what is compared with"
    answer, settings = panes.answers[id], GenerationSettings.model_validate(panes.kept.settings)
    asked = {"role": "user", "content": panes.question}
    system = [{"role": "system", "content": settings.system}] if settings.system else []
    said = {"prompt": panes.question} if settings.raw else {"messages": [*system, *answer.thread, asked]}
    return ChangesRequest(**base.choice.model_dump(), adapter_folder=folder, blend=answer.blend, text=answer.text,
                          settings=settings, **said)
