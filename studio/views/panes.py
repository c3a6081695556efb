"""Answers side by side: one pane for the base model and one for each adapter."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from jobs import units
from jobs.playground.request import Arrow, Blend
from storage.records import BASE, Adapter, Comparison, Verdict
from studio.render import render
from studio.text import say
from studio.views.readings import PARTS, routed_html, shown_readings
from studio.views.run_view import method_title

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SINGLE, OWN, SHARED = CHATS = ("single", "own", "shared")  # how a prompt goes on from those before it

Thread = tuple[dict, ...]  # messages with role and content


@dataclass(frozen=True)
class Answer:
    """What one pane shows. `id` is the pane's name in requests and events; `thread` is what was said in it before."""

    id: str
    title: str
    method: str
    text: str = ""
    note: str = ""
    problem: str = ""
    busy: bool = False
    tokens: int | None = None
    seconds: float | None = None
    seconds_to_first_token: float | None = None
    rate: float | None = None  # tokens a second once the first is there
    thread: Thread = ()
    blend: Blend | None = None  # where it is several adapters as one
    arrow: Arrow | None = None  # where it is several adapters routed token by token, with the names of their roles
    members: tuple[str, ...] = ()
    routed: tuple[float, ...] = ()  # how much of each went into the answer
    reading: dict = field(default_factory=dict)  # what the answer of a model that reads is made of

    @property
    def answered(self) -> bool:
        return bool(self.text) and not self.busy and not self.problem

    @property
    def figures(self) -> list[str]:
        """Length, time to the first token and speed, as far as they were measured."""
        if self.tokens is None:
            return []
        told = [say("playground.done_one" if self.tokens == 1 else "playground.done", tokens=f"{self.tokens:,}",
                    seconds=units.duration(self.seconds))]
        if self.seconds_to_first_token is not None:
            first = self.seconds_to_first_token
            told.append(say("playground.first", seconds=f"{1000 * first:.0f} ms" if first < 0.95 else units.duration(first)))
        if self.rate:
            told.append(say("playground.rate", rate=f"{self.rate:,.0f}" if self.rate >= 10 else f"{self.rate:.1f}"))
        return told


@dataclass(frozen=True)
class Panes:
    """All panes, and what was asked of them. Every change gives a new value.

    `order` is the order on the page, `hidden` whether names wait for the verdict, `follows` the pane whose answer goes on as the
    thread of all, and `kept` the comparison that was made of the answers.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    question: str = ""
    chat: str = SINGLE
    hidden: bool = False
    follows: str = ""
    kept: Comparison | None = None

    @classmethod
    def of(cls, base_name: str, adapters: Iterable[Adapter], base: bool = True) -> "Panes":
        """The base model first, then the adapters."""
        panes = [Answer(BASE, base_name, say("playground.base_pane"))] if base else []
        panes += [Answer(adapter.run_id, adapter.name, method_title(adapter.method)) for adapter in adapters]
        return cls({pane.id: pane for pane in panes})

    def and_also(self, answer: Answer | None) -> "Panes":
        """With one pane more at the end."""
        return replace(self, answers={**self.answers, answer.id: answer}) if answer else self

    # ---- what goes on

    def going_on(self, earlier: "Panes", chat: str) -> "Panes":
        """These panes with the threads of earlier ones, the last answers of these included."""
        if SINGLE in (chat, earlier.chat):
            return self
        if chat == SHARED:
            return replace(self.with_thread(earlier.shared_thread), chat=chat)
        threads = earlier.threads
        return replace(self, chat=chat, answers={
            id: replace(answer, thread=threads.get(id, ())) for id, answer in self.answers.items()})

    def with_thread(self, thread: Thread) -> "Panes":
        """With that thread in each pane."""
        return replace(self, answers={id: replace(answer, thread=thread) for id, answer in self.answers.items()})

    @property
    def asked_thread(self) -> Thread:
        """What the last prompt went on from, in the first pane."""
        return next((answer.thread for answer in self.answers.values()), ())

    @property
    def threads(self) -> dict[str, Thread]:
        """What was said in each pane, its last answer included."""
        asked = {"role": "user", "content": self.question}
        return {id: (*answer.thread, asked, {"role": "assistant", "content": answer.text}) if answer.answered else answer.thread
                for id, answer in self.answers.items()}

    @property
    def leader(self) -> str:
        """The pane whose answer goes on: the one that was chosen, else the best one, else the first that answered."""
        wanted = [self.follows, self.kept.best if self.kept else "", *self.shown_order]
        return next((id for id in wanted if id in self.answers and self.answers[id].answered), "")

    @property
    def shared_thread(self) -> Thread:
        return self.threads[self.leader] if self.leader else self.asked_thread

    def asked(self, question: str = "", chat: str = SINGLE, blind: bool = False, shuffle=random.shuffle) -> "Panes":
        """A prompt is on its way. In a blind comparison the panes stand in a new order."""
        order = list(self.answers)
        if blind:
            shuffle(order)
        return Panes(
            {id: replace(answer, text="", problem="", note=say("playground.waiting"), busy=True, tokens=None, seconds=None,
                         seconds_to_first_token=None, rate=None, reading={}, routed=(),
                         thread=answer.thread if chat != SINGLE else ())
             for id, answer in self.answers.items()},
            tuple(order), question, chat, blind)

    def messages(self, id: str) -> list[dict]:
        """The whole conversation to answer, where there is an earlier one."""
        thread = self.answers[id].thread
        return [*thread, {"role": "user", "content": self.question}] if thread else []

    # ---- events

    def after(self, event: dict) -> "Panes":
        """With one event of the playground taken in."""
        if event.get("waiting"):
            words = say("playground.loading" if event.get("for") == "model" else "playground.waiting")
            return self._each(lambda answer: replace(answer, note=words) if answer.busy and not answer.text else answer)
        answer = self.answers.get(event.get("pane"))
        if answer is None:
            return self
        if event.get("problem"):
            answer = replace(answer, problem=event["problem"], note="", busy=False)
        elif event.get("done"):
            answer = replace(answer, text=event["text"] or say("playground.nothing"), busy=False, tokens=event["tokens"],
                             seconds=event["seconds"], seconds_to_first_token=event.get("seconds_to_first_token"),
                             rate=event.get("tokens_per_second"), reading={part: event[part] for part in PARTS if part in event},
                             routed=tuple(event.get("routed", ())),
                             note=event.get("why", "") if answer.busy else answer.note)  # one that was stopped says so
        elif event.get("text") and answer.busy:
            answer = replace(answer, text=answer.text + event["text"], note=say("playground.writing"))
        return replace(self, answers={**self.answers, answer.id: answer})

    def stopped(self, id: str = "") -> "Panes":
        """With that pane, or all of them, ended where they are."""
        return self._each(lambda answer: replace(answer, note=say("playground.stopped"), busy=False)
                          if answer.busy and id in ("", answer.id) else answer)

    def failed(self, problem: str) -> "Panes":
        """The same problem for every pane that has no answer yet."""
        return self._each(lambda answer: replace(answer, problem=problem, note="", busy=False) if answer.busy else answer)

    def judged(self, kept: Comparison) -> "Panes":
        """As a comparison was kept, or judged: names appear with the verdict."""
        follows = kept.best if kept.best != (self.kept.best if self.kept else "") else self.follows
        return replace(self, kept=kept, hidden=self.hidden and not kept.verdict, follows=follows)

    def following(self, id: str) -> "Panes":
        """With the answer of that pane as the thread of all."""
        return replace(self, follows=id)

    def _each(self, change) -> "Panes":
        return replace(self, answers={id: change(answer) for id, answer in self.answers.items()})

    # ---- on the page

    @property
    def shown_order(self) -> tuple[str, ...]:
        return self.order or tuple(self.answers)

    @property
    def busy(self) -> bool:
        return any(answer.busy for answer in self.answers.values())

    @property
    def can_judge(self) -> bool:
        """Whether there is anything to choose between."""
        return self.kept is not None and sum(answer.answered for answer in self.answers.values()) > 1

    def can_explain(self, id: str) -> bool:
        """Whether what an adapter changed in its answer can be told."""
        told = self.kept is not None and self.kept.task == "text-generation" and not self.hidden
        return told and id != BASE and not self.answers[id].arrow and self.answers[id].answered

    def title(self, id: str) -> str:
        """The pane's name, or a letter while names are hidden."""
        letter = LETTERS[self.shown_order.index(id) % len(LETTERS)]
        return say("playground.answer_letter", letter=letter) if self.hidden else self.answers[id].title

    @property
    def html(self) -> str:
        """Buttons name a pane by its place, which tells nothing of who it is."""
        readings = shown_readings({id: answer.reading for id, answer in self.answers.items()})
        shown = [{"answer": self.answers[id], "title": self.title(id), "place": place, "reading": readings.get(id),
                  "routed": "" if self.hidden else routed_html(self.answers[id].members, self.answers[id].routed),
                  "best": self.kept and self.kept.best == id, "leads": self.chat == SHARED and self.leader == id}
                 for place, id in enumerate(self.shown_order)]
        return render("panes.html", panes=shown, all=self, many=len(shown))

    @property
    def judge_html(self) -> str:
        """The verdict under the panes; empty where there is nothing to judge."""
        return render("judge.html", all=self, verdict=self.verdict) if self.can_judge else ""

    @property
    def verdict(self) -> str:
        """What was said, in words."""
        if not self.kept or not self.kept.verdict:
            return ""
        if self.kept.verdict == Verdict.BEST:
            return say("playground.said.best", name=self.title(self.kept.best))
        return say("playground.said.tie" if self.kept.verdict == Verdict.TIE else "playground.said.bad")
