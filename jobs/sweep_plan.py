"""From a recipe with lists of values to a recipe for each combination of them."""

import math
import types
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import PurePath
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from jobs import units
from jobs.methods import METHODS
from jobs.recipe import NAME_LENGTH, Recipe
from jobs.recipe_reader import read_recipe
from storage.problems import RecipeInvalid

MOST_RUNS = 64
NAMES_SHOWN = 3
SHORT = {"training.learning_rate": "lr"}
SPEAK_FOR_THEMSELVES = ("method", "base_model", "dataset.source")

Values = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One combination: what it tries, by setting, and the recipe that this makes."""

    tried: Values
    recipe: Recipe


@dataclass(frozen=True)
class SweepPlan:
    """The runs of a sweep, before any is queued."""

    name: str
    varied: list[str]  # the settings that the runs differ in, such as training.learning_rate
    trials: list[Trial]


# ---- from lists to combinations


def is_sweep(values: Any) -> bool:
    """Whether a list stands where the recipe has one value."""
    return isinstance(values, dict) and (isinstance(values.get("method"), list) or any(
        True for method in _methods(values) for _ in _lists(_for_method(values, method), _schema(method))))


def expand(values: Values) -> SweepPlan:
    """All combinations of the lists in a recipe; raises RecipeInvalid with every problem of every one of them.

    A setting that only other methods of the sweep have is left out for a method that lacks it, and combinations that come to
    the same recipe are one.
    """
    if isinstance(values.get("name"), list):  # lists of names would mean runs that differ in nothing else
        raise RecipeInvalid(["name is a list. Give the sweep one name; each run's own tells what it tries."])
    choices = {method: dict(sorted(_lists(_for_method(values, method), _schema(method)), key=lambda found: _place(found[0])))
               for method in _methods(values)}
    empty = dict.fromkeys(_name(path) for lists in choices.values() for path, choice in lists.items() if not choice)
    if empty or not choices:
        raise RecipeInvalid([f"{name} is an empty list. Give it at least one value, or leave it out."
                             for name in empty or ["method"]])
    count = sum(math.prod(map(len, lists.values())) for lists in choices.values())
    if count > MOST_RUNS:
        raise RecipeInvalid([f"This sweep makes {count:,} runs, and {MOST_RUNS} are the most. Take out some of the values."])
    named = [("method",)] if isinstance(values.get("method"), list) else []
    combinations = [
        (sorted([*named, *lists], key=_place), _with(_for_method(values, method), dict(zip(lists, chosen, strict=True))))
        for method, lists in choices.items() for chosen in product(*lists.values())]
    trials = _distinct(_read(combinations))
    varied = dict.fromkeys(path for paths, _ in combinations for path in paths)
    return SweepPlan(values.get("name") or f"{value_text(trials[0].recipe.base_model)} sweep",
                     list(map(_name, sorted(varied, key=_place))), trials)


def _methods(values: Values) -> list[str]:
    method = values.get("method", Recipe.model_fields["method"].default)
    return list(dict.fromkeys(map(str, method))) if isinstance(method, list) else [str(method)]


def _schema(method: str) -> type[BaseModel] | None:
    return METHODS[method].settings if method in METHODS else None


def _for_method(values: Values, method: str) -> Values:
    """The recipe of one method: with the settings under its own name, and without those that only others of the sweep have."""
    settings = values.get("method_settings")
    if not isinstance(values.get("method"), list) or not isinstance(settings, dict):
        return {**values, "method": method}
    tried = _methods(values)
    schemas = {name: schema.model_fields for name in tried if (schema := _schema(name))}
    common = {name: value for name, value in settings.items() if name not in tried and (
        name in schemas.get(method, {}) or not any(name in fields for fields in schemas.values()))}
    own = settings.get(method)
    return {**values, "method": method, "method_settings": {**common, **(own if isinstance(own, dict) else {})}}


def _lists(values: Any, settings: type[BaseModel] | None, annotation: Any = Recipe,
           path: tuple = ()) -> Iterator[tuple[tuple, list]]:
    """Where a list stands for one value by the schema's own types, with its distinct values."""
    if isinstance(values, list):
        if not _takes_list(annotation) or any(isinstance(part, list) for part in values):
            yield path, list({repr(part): part for part in values}.values())
    elif isinstance(values, dict):
        if path == ("method_settings",):
            annotation = settings or Any
        for name, part in values.items():
            yield from _lists(part, settings, _annotation(annotation, name), (*path, name))


def _annotation(annotation: Any, name: Any) -> Any:
    """The type of a part of a schema or of a dictionary; Any where nothing is known of it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(name)
        return field.annotation if field else Any
    return get_args(annotation)[1] if get_origin(annotation) is dict else Any


def _takes_list(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, types.UnionType):
        return any(_takes_list(part) for part in get_args(annotation))
    return (get_origin(annotation) or annotation) is list


def _name(path: tuple) -> str:
    return ".".join(map(str, path))


def _place(path: tuple) -> int:
    """Where a recipe has the setting, so that names and columns have one order, however the recipe was written."""
    fields = list(Recipe.model_fields)
    return fields.index(path[0]) if path[0] in fields else len(fields)


def _at(values: Any, path: tuple) -> Any:
    for part in path:
        values = values[part]
    return values


def _with(values: Values, chosen: dict[tuple, Any]) -> Values:
    """A copy with one value at each of those places."""
    for (first, *rest), value in chosen.items():
        values = {**values, first: _with(values[first], {tuple(rest): value}) if rest else value}
    return values


def _read(combinations: list[tuple[list[tuple], Values]]) -> list[Trial]:
    """Every combination as a checked recipe; what it tries is told as the recipe has it then (text that is a number as one)."""
    trials, problems = [], Problems()
    for paths, values in combinations:
        written = {path: _at(values, path) for path in paths}
        try:
            recipe = read_recipe(values)
        except RecipeInvalid as problem:
            problems.add({_name(path): value for path, value in written.items()}, problem)
            continue
        plain = recipe.model_dump(mode="json")
        trials.append(Trial({_name(path): value if isinstance(value, dict) else _at(plain, path)
                             for path, value in written.items()}, recipe))
    problems.complain([{_name(path): _at(values, path) for path in paths} for paths, values in combinations])
    return trials


def _distinct(trials: list[Trial]) -> list[Trial]:
    kept: list[Trial] = []
    for trial in trials:
        if all(trial.recipe != other.recipe for other in kept):
            kept.append(trial)
    return kept


class Problems:
    """What is wrong with which combinations: the same sentence is told once."""

    def __init__(self):
        self.found: dict[str, list[Values]] = {}

    def add(self, tried: Values, problem: RecipeInvalid) -> None:
        for sentence in problem.problems:
            self.found.setdefault(sentence, []).append(tried)

    def complain(self, everything: list[Values]) -> None:
        """Raise RecipeInvalid if there were any, each with the combinations that it belongs to."""
        if self.found:
            raise RecipeInvalid([sentence + self._where(concerned, everything) for sentence, concerned in self.found.items()])

    @staticmethod
    def _where(concerned: list[Values], everything: list[Values]) -> str:
        if len(concerned) == len(everything):
            return ""
        common = {name: value for name, value in concerned[0].items()
                  if all(name in tried and tried[name] == value for tried in concerned)}
        matching = [tried for tried in everything if all(name in tried and tried[name] == common[name] for name in common)]
        if len(matching) == len(concerned):
            return f" (Where it tries {tried_text(common)}.)"
        more = len(concerned) - NAMES_SHOWN
        return f" (Where it tries {'; '.join(map(tried_text, concerned[:NAMES_SHOWN]))}{f'; and {more} more' if more > 0 else ''}.)"


# ---- in words


def tried_text(tried: Values) -> str:
    """What a run tries, in short: "r 8 · lr 3e-4"."""
    return " · ".join(value_text(value) if name in SPEAK_FOR_THEMSELVES else f"{setting_name(name)} {value_text(value)}"
                      for name, value in tried.items())


def setting_name(name: str) -> str:
    """A setting's name in short."""
    return SHORT.get(name) or name.rpartition(".")[2].replace("_", " ")


def value_text(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(value_text, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {value_text(part)}" for name, part in value.items())
    return PurePath(value).name or value if isinstance(value, str) else units.setting(value)


def run_name(name: str, tried: Values) -> str:
    """The sweep's name and what the run tries, within the length that names have."""
    text = tried_text(tried)
    room = NAME_LENGTH - len(text) - 3
    return f"{name[:room].rstrip()} · {text}" if room > 0 else text[:NAME_LENGTH]
