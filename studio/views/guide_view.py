"""The guide's page, part by part: the advice, the table of all methods, and what is known of one of them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from jobs import units
from jobs.guide import Advice, Because, Choice, choices_of
from jobs.methods import METHODS, TrainingMethod
from jobs.methods.published import PublishedRow, published, source
from jobs.own_figures import OwnFigures, own_figures_of
from jobs.recipe import SMALLER_IS_BETTER, TrainingSettings
from storage.records import Run
from studio.field_values import default_of, is_shown
from studio.method_step import about_method
from studio.recipe_form import setting_title
from studio.render import render
from studio.text import say
from studio.views.run_view import SHARES

ASK = "guide-ask"
RUNS_LINKED = 5

# figures of a column: what of a published row, or of own figures, and how it is told
Figure = tuple[str, Callable[[Any], float | None], Callable[[Any], str]]
PUBLISHED: tuple[Figure, ...] = (
    ("accuracy", lambda row: row.accuracy, lambda row: units.share(row.accuracy)),
    ("memory", lambda row: row.memory_bytes, lambda row: units.size(row.memory_bytes)),
    ("size", lambda row: row.checkpoint_bytes, lambda row: units.size(row.checkpoint_bytes)),
    ("time", lambda row: row.seconds, lambda row: units.duration(round(row.seconds))),
)
OWN: tuple[Figure, ...] = (
    ("score", lambda own: own.score, lambda own: score_text(own.score_name, own.score)),
    ("memory", lambda own: own.best.peak_memory_bytes, lambda own: units.size(own.best.peak_memory_bytes)),
    ("size", lambda own: own.best.checkpoint_bytes, lambda own: units.size(own.best.checkpoint_bytes)),
    ("time", lambda own: own.best.train_seconds, lambda own: units.duration(own.best.train_seconds)),
)
KNOWN, NAME = "known", "name"
SORTS = (KNOWN, NAME, *(f"published_{name}" for name, _, _ in PUBLISHED), *(f"own_{name}" for name, _, _ in OWN))
LARGEST_FIRST = ("accuracy", "score")


@dataclass(frozen=True)
class Wanted:
    """Which methods the table shows, in which order, and whose details are open. None: no limit."""

    words: str = ""
    family: str = ""
    ability: str = ""
    sort: str = KNOWN
    least_accuracy: float | None = None  # percent
    most_memory: float | None = None     # GB
    most_size: float | None = None       # MB
    most_time: float | None = None       # minutes
    opened: str = ""
    closed: str = ""                     # whose details were closed just now: the focus goes there

    def limits(self) -> dict[str, tuple[float, float]]:
        """By published figure, the least and the most that it may be, where anything was said."""
        least = {"accuracy": self.least_accuracy and self.least_accuracy / 100}
        most = {"memory": self.most_memory and self.most_memory * 1e9, "size": self.most_size and self.most_size * 1e6,
                "time": self.most_time and self.most_time * 60}
        return {**{name: (value, math.inf) for name, value in least.items() if value},
                **{name: (0.0, value) for name, value in most.items() if value}}


# ---- the advice


def advice_card(advice: Advice, base: str) -> str:
    """The verdict, the method with its settings and reasons, and what else could be taken."""
    return render("guide_advice.html", advice=advice, instead=_sentences("instead", advice.instead),
                  choice=_choice(advice.choice, base), others=[_choice(other, base) for other in advice.others],
                  rows=say(f"guide.rows.{advice.rows.key}"))


def _choice(choice: Choice, base: str) -> dict:
    schema, given = METHODS[choice.method].settings, choice.settings
    held = {f"method_settings.{name}": default_of(schema, name) for name, field in schema.model_fields.items() if is_shown(field)}
    held |= {f"training.{name}": default_of(TrainingSettings, name) for name in ("epochs", "batch_size")}
    held = {**held, "training.learning_rate": METHODS[choice.method].learning_rate, **given}
    told = [(setting_title(name, [choice.method]), _setting_words(choice.method, name, value)) for name, value in held.items()
            if name in given or isinstance(value, (int, float)) and value]
    return {"title": METHODS[choice.method].title, "settings": told,
            "quantization": say(f"choice.{choice.quantization}") if choice.quantization != "none" else "",
            "reasons": _sentences("why", choice.reasons), "link": train_link(choice, base)}


def _setting_words(method: str, name: str, value: Any) -> str:
    if not isinstance(value, str):
        return units.setting(value)
    field = METHODS[method].settings.model_fields.get(name.partition(".")[2])
    return ((field.json_schema_extra or {}) if field else {}).get("titles", {}).get(value, value)


def _sentences(group: str, reasons: tuple[Because, ...]) -> list[str]:
    return [say(f"guide.{group}.{reason.key}", **reason.values) for reason in reasons]


def train_link(choice: Choice, base: str = "") -> str:
    """The Train page with these choices filled in."""
    return "/?" + urlencode(choices_of(choice, base))


# ---- the table


def methods_table(wanted: Wanted, own: Mapping[str, OwnFigures]) -> str:
    """The methods that fit, with what PEFT's comparison published and, where there are any, the own runs' figures."""
    names = [name for name in _found(wanted.words) if _fits(METHODS[name], wanted)]
    rows = [_row(METHODS[name], own.get(name), wanted.opened) for name in _sorted(names, wanted, own)]
    return render("guide_table.html", rows=rows, published=[name for name, _, _ in PUBLISHED],
                  own=[name for name, _, _ in OWN] if own else [], target=ASK,
                  score=_score_heading(own), count=_count(len(names)), closed=wanted.closed)


def _row(method: TrainingMethod, own: OwnFigures | None, opened: str) -> dict:
    best = next(iter(published(method.name)), None)
    return {"name": method.name, "title": method.title, "family": say(f"family.{method.family}"),
            "published": [(name, text(best) if best else "") for name, _, text in PUBLISHED],
            "own": [(name, text(own) if own and value(own) is not None else "") for name, value, text in OWN],
            "run": own.best.id if own else "", "details": method_details(method, own) if method.name == opened else ""}


def _found(words: str) -> list[str]:
    """The methods that are called so, or else those of which it is said."""
    wanted = words.lower().split()

    def having(text: Callable[[TrainingMethod], str]) -> list[str]:
        return [name for name, method in METHODS.items() if all(word in text(method).lower() for word in wanted)]

    return having(lambda method: f"{method.name} {method.title} {say(f'family.{method.family}')}") or having(
        lambda method: f"{method.summary} {method.choose_when}")


def _fits(method: TrainingMethod, wanted: Wanted) -> bool:
    if wanted.family not in ("", method.family):
        return False
    if wanted.ability and not method.can(wanted.ability):
        return False
    limits, best = wanted.limits(), next(iter(published(method.name)), None)
    figures = {name: value(best) for name, value, _ in PUBLISHED} if best else {}
    return all(name in figures and least <= figures[name] <= most for name, (least, most) in limits.items())


def _sorted(names: list[str], wanted: Wanted, own: Mapping[str, OwnFigures]) -> list[str]:
    """In the wanted order; methods without that figure come last, as the catalogue has them."""
    if wanted.sort == KNOWN:
        return names
    if wanted.sort == NAME:
        return sorted(names, key=lambda name: METHODS[name].title.lower())
    kind, _, figure = wanted.sort.partition("_")
    value = {name: of for name, of, _ in (PUBLISHED if kind == "published" else OWN)}[figure]

    def key(name: str) -> tuple[bool, float]:
        found = next(iter(published(name)), None) if kind == "published" else own.get(name)
        figures = value(found) if found else None
        if figures is None:
            return True, 0.0  # last
        falls = figure in LARGEST_FIRST and not (kind == "own" and found.score_name in SMALLER_IS_BETTER)
        return False, -figures if falls else figures

    return sorted(names, key=key)


def _score_heading(own: Mapping[str, OwnFigures]) -> str:
    return next((say(f"choice.{figures.score_name}") for figures in own.values()), "")


def _count(count: int) -> str:
    if count == len(METHODS):
        return say("guide.count_all", count=count)
    return say("guide.count", count=count, all=len(METHODS)) if count else say("guide.no_match")


def score_text(name: str, value: float | None) -> str:
    return units.share(value) if name in SHARES else units.figure(value)


# ---- one method


def method_details(method: TrainingMethod, own: OwnFigures | None = None) -> str:
    """What is known of it: words, abilities with the reasons where it lacks one, published and own figures."""
    runs = own.runs if own else ()
    return render(
        "guide_method.html", method=method, about=about_method(method.name, "", "none", guide=False), target=ASK,
        link=train_link(Choice(method.name, method.quantizations[0])),
        published=[_published(row) for row in published(method.name)],
        own=[(run, ", ".join(_own_words(run, own.score_name))) for run in runs[:RUNS_LINKED]],
        more=max(0, len(runs) - RUNS_LINKED))


def _published(row: PublishedRow) -> dict:
    settings = [f"{name} {units.setting(value) if isinstance(value, (int, float)) else _listed(value)}"
                for name, value in row.settings.items()]
    settings += [f"{setting_title('training.learning_rate').lower()} {units.setting(row.learning_rate)}"]
    return {"name": row.configuration.partition("--")[2].removeprefix("llama-3.2-3B-"), "settings": ", ".join(settings),
            "figures": [*((say(f"guide.column.{name}"), text(row)) for name, _, text in PUBLISHED),
                        (say("figure.trainable"), units.amount(row.trainable_parameters)),
                        (say("guide.column.forgetting"), units.figure(row.forgetting, 2))]}


def _listed(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _own_words(run: Run, score_name: str) -> list[str]:
    own = own_figures_of(run, score_name)
    score = f"{say(f'choice.{score_name}').lower()} {score_text(score_name, own.score)}"
    return [score if name == "score" else text(own) for name, value, text in OWN if value(own) is not None]


def about_figures() -> str:
    """What the published figures are and are not, with their source and licence."""
    return render("guide_about.html", source=source())
