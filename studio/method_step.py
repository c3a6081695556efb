"""Step 3 of the Train page: a few methods as cards, all of them in a list beside, and what is known of the chosen one."""

import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any

import gradio as gr
from gradio.components import Component

from jobs.methods import METHODS, TrainingMethod
from jobs.methods.notes.base import FAMILIES
from jobs.methods.tried import ABILITIES
from jobs.recipe import TASKS
from studio.frame import static_html
from studio.render import render
from studio.text import label, say

CARDS = tuple(name for name in ("lora", "qlora", "ia3", "prompt-tuning", "oft", "full") if name in METHODS)
PAPERS = {"arXiv": "https://arxiv.org/abs/", "OpenReview": "https://openreview.net/forum?id="}


class MethodStep:
    """The cards and the list stay in step. The list always names the method; no card is chosen for one that has none."""

    def build(self, method: str) -> None:
        self.cards = gr.Radio(
            [(label(f"method.{name}.card"), name) for name in CARDS],
            value=method,
            label=label("train.method.title"),
            show_label=False,
            container=False,
            elem_id="method",
            elem_classes="st-cards",
        )
        with gr.Row(elem_classes="st-fields"):
            self.all = gr.Dropdown(
                listed_methods(),
                value=method,
                label=label("train.method.all"),
                info=say("train.method.all_help", count=len(METHODS)),
                elem_id="all-methods",
            )
        self.about = static_html(about_method(method, TASKS[0], "none"), elem_id="about-method", elem_classes="st-about-slot")

    @property
    def inputs(self) -> list[Component]:
        return [self.cards, self.all]

    def chosen(self, values: Mapping[Component, Any], before: str) -> str:
        """The method that was chosen: the one of card and list that is not the `before`, where the two are not in step yet."""
        card, listed = values[self.cards], values[self.all]
        return listed if listed and listed != before else card or before

    def choose(self, method: str, task: str, quantization: str) -> dict:
        return {self.cards: method if method in CARDS else None, self.all: method,
                self.about: about_method(method, task, quantization)}

    def follow(self, values: Mapping[Component, Any], method: str, task: str, quantization: str) -> dict:
        """What is said of the chosen method, and the other of card and list in step with the one that was used.

        Only the other: where a person is quicker than the answer, the next choice stays.
        """
        told = {self.about: about_method(method, task, quantization)}
        if values[self.all] != method:
            return {**told, self.all: method}
        card = method if method in CARDS else None
        return {**told, self.cards: card} if values[self.cards] != card else told


def listed_methods() -> list[tuple[str, str]]:
    """Every method with its family, the families one after the other."""
    places = {family: place for place, family in enumerate(FAMILIES)}
    by_family = sorted(METHODS.values(), key=lambda method: places.get(method.family, len(places)))
    return [(say("method.listed", title=method.title, family=say(f"family.{method.family}").lower()), method.name)
            for method in by_family]


def about_method(name: str, task: str, quantization: str, guide: bool = True) -> str:
    """What a method is good for and what it can, and why it cannot serve this task or base model where that is so.

    With `guide`, a way to the guide stands below.
    """
    method = METHODS[name]
    abilities, (paper, url) = _abilities(method), _paper(method.paper)
    untried = [ability for ability in abilities if method.can(ability) is None]
    return render("method.html", method=method, refusals=_refusals(method, task, quantization), paper=paper, url=url, guide=guide,
                  can=[_ability(ability) for ability in abilities if method.can(ability)], cannot=_cannot(method),
                  untried=[say("method.untried_all")] if untried == abilities else list(map(_ability, untried)),
                  summary=not guide or name not in CARDS)


def _abilities(method: TrainingMethod) -> list[str]:
    own = [*(f"task {task}" for task in TASKS), *ABILITIES]
    return [ability for ability in own if ability not in ("int8", "nf4", "fp4") or ability in method.quantizations]


def _ability(ability: str) -> str:
    kind, _, task = ability.partition(" ")
    return say(f"choice.{task}") if task else say(f"ability.{kind}")


def _cannot(method: TrainingMethod) -> list[tuple[str, str]]:
    """What it cannot do with the reason; what has the same reason stands together."""
    refused = sorted((method.reason(ability), place) for place, ability in enumerate(_abilities(method)) if method.reason(ability))
    found = [([place for _, place in same], why) for why, same in groupby(refused, key=lambda pair: pair[0])]
    return [(", ".join(_ability(_abilities(method)[place]) for place in places), why) for places, why in sorted(found)]


def _refusals(method: TrainingMethod, task: str, quantization: str) -> list[str]:
    told = []
    if why := method.reason(f"task {task}"):
        told.append(say("method.not_for_task", title=method.title, task=say(f"choice.{task}"), why=why))
    if quantization != "none" and quantization not in method.quantizations:
        told.append(say("method.only_quantized", title=method.title,
                        choices=", ".join(say(f"choice.{choice}") for choice in method.quantizations)))
    elif quantization != "none" and (why := method.reason(quantization)):
        told.append(say("method.not_quantized", title=method.title, quantization=say(f"choice.{quantization}"), why=why))
    return told


def _paper(paper: str) -> tuple[str, str]:
    """The paper in words, and where it is to be found."""
    found = re.search(rf"({'|'.join(PAPERS)}) (\S+)", paper)
    return paper, PAPERS[found[1]] + found[2] if found else ""
