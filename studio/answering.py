"""Putting prompts to panes: the request, its answers as they come, and the comparison that is kept of them."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from jobs.playground.client import PlaygroundClient
from jobs.playground.request import GenerateRequest, GenerationSettings, read_request
from jobs.services import Services
from storage.problems import StudioError
from storage.records import BASE, Comparison
from studio.playground_bases import GENERATION, Base
from studio.problems import sentences
from studio.text import say
from studio.views.panes import Panes

MOST_PANES = 9  # the base model and eight adapters


@dataclass
class Stops:
    """What a person asked to end: everything, or some panes. One for each question, shared between the page's events."""

    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    order: tuple[str, ...] = ()  # of the panes on the page
    all: bool = False
    panes: set[str] = field(default_factory=set)


def request_for(base: Base, folders: dict[str, str | None], panes: Panes, settings: GenerationSettings,
                stops: Stops) -> GenerateRequest:
    """The question of `panes` as the playground's process takes it; `folders` has the adapter folder of each that has one.

    Raises StudioError for what cannot be asked.
    """
    if len(panes.answers) > MOST_PANES:
        raise StudioError(say("playground.too_many", count=len(panes.answers) - 1, most=MOST_PANES - 1))
    if settings.raw and any(answer.thread for answer in panes.answers.values()):
        raise StudioError(say("playground.raw_chat"))
    return read_request({
        **base.choice.model_dump(),
        "id": stops.request_id,
        "panes": [{"name": id, "adapter_folder": folders.get(id), "blend": answer.blend, "arrow": answer.arrow,
                   "messages": panes.messages(id)}
                  for id, answer in panes.answers.items()],
        "prompt": panes.question,
        "settings": settings,
    })


def answers(client: PlaygroundClient, question: GenerateRequest, panes: Panes, stops: Stops) -> Iterator[Panes]:
    """The panes after each event. They end with every answer, when all were stopped, or with a problem in each pane left."""
    events = client.generate(question)
    told: set[str] = set()
    try:
        for event in events:
            panes = panes.after(event)
            if stops.all:
                panes = panes.stopped()
                break
            for id in sorted(stops.panes - told):
                told.add(id)
                if panes.answers[id].busy:
                    panes = panes.stopped(id)
                    client.stop(stops.request_id, id)
            yield panes
    except StudioError as problem:
        panes = panes.failed(" ".join(sentences(problem)))
    finally:
        events.close()  # ends the generation where the person, or the page, has gone
    yield panes.stopped()


def keep(services: Services, base: Base, panes: Panes, settings: GenerationSettings) -> Comparison | None:
    """Remember what was answered; None where nobody answered anything."""
    if not any(answer.text for answer in panes.answers.values()):
        return None
    threads = {id: answer.thread for id, answer in panes.answers.items()}
    alone = len({str(thread) for thread in threads.values()}) > 1  # each pane has a conversation of its own
    told = base.task == GENERATION and settings.system and not settings.raw
    before = [{"role": "system", "content": settings.system}] if told else []
    asked = {"role": "user", "content": panes.question}
    found = [{
        "answerer": id, "name": answer.title, "text": answer.text, "tokens": answer.tokens, "seconds": answer.seconds,
        "seconds_to_first_token": answer.seconds_to_first_token,
        **({"problem": answer.problem} if answer.problem else {}),
        **({"reading": answer.reading} if answer.reading else {}),
        **({"conversation": [*before, *threads[id], asked]} if alone else {}),
    } for id, answer in panes.answers.items()]
    shared = () if alone else next(iter(threads.values()))
    return services.comparisons.keep(base_model=base.name, task=base.task, conversation=[*before, *shared, asked],
                                     settings=settings.model_dump(mode="json"), answers=found, blind=panes.hidden)


def folders_of(services: Services, panes: Panes) -> dict[str, str]:
    """The folder of each pane that is one adapter."""
    folder = services.settings.adapters_dir
    return {id: str(folder / services.adapters.get(id).folder) for id, answer in panes.answers.items()
            if id != BASE and not answer.blend and not answer.arrow}
