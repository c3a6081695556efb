"""Answers side by side: one pane for the base model and one for each adapter."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from jobs import units
from storage.records import Adapter
from studio.render import render
from studio.text import say
from studio.views.run_view import method_title


@dataclass(frozen=True)
class Answer:
    """What one pane shows. `id` is the pane's name in requests and events."""

    id: str
    title: str
    method: str
    text: str = ""
    note: str = ""
    problem: str = ""
    busy: bool = False


@dataclass(frozen=True)
class Panes:
    """All panes, in their order. Every change gives a new value."""

    answers: dict[str, Answer] = field(default_factory=dict)

    @classmethod
    def of(cls, base_name: str, adapters: Iterable[Adapter]) -> "Panes":
        """The base model first, then the adapters."""
        panes = [Answer("base", base_name, say("playground.base_pane"))]
        panes += [Answer(adapter.run_id, adapter.name, method_title(adapter.method)) for adapter in adapters]
        return cls({pane.id: pane for pane in panes})

    def asked(self) -> "Panes":
        """A prompt is on its way."""
        return Panes(
            {
                id: replace(answer, text="", problem="", note=say("playground.waiting"), busy=True)
                for id, answer in self.answers.items()
            }
        )

    def after(self, event: dict) -> "Panes":
        """With one event of the playground taken in."""
        if event.get("waiting"):
            words = say("playground.loading" if event.get("for") == "model" else "playground.waiting")
            return Panes(
                {
                    id: replace(answer, note=words) if answer.busy and not answer.text else answer
                    for id, answer in self.answers.items()
                }
            )
        answer = self.answers.get(event.get("pane"))
        if answer is None:
            return self
        if event.get("problem"):
            answer = replace(answer, problem=event["problem"], note="", busy=False)
        elif event.get("done"):
            tokens = event["tokens"]
            note = say(
                "playground.done_one" if tokens == 1 else "playground.done",
                tokens=f"{tokens:,}",
                seconds=units.duration(event["seconds"]),
            )
            answer = replace(answer, text=event["text"] or say("playground.nothing"), note=note, busy=False)
        elif event.get("text"):
            answer = replace(answer, text=answer.text + event["text"], note=say("playground.writing"))
        return Panes({**self.answers, answer.id: answer})

    def stopped(self) -> "Panes":
        return Panes(
            {
                id: replace(answer, note=say("playground.stopped"), busy=False) if answer.busy else answer
                for id, answer in self.answers.items()
            }
        )

    def failed(self, problem: str) -> "Panes":
        """The same problem for every pane that has no answer yet."""
        return Panes(
            {
                id: replace(answer, problem=problem, note="", busy=False) if answer.busy else answer
                for id, answer in self.answers.items()
            }
        )

    @property
    def html(self) -> str:
        return render("panes.html", answers=list(self.answers.values()))
