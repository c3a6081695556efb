"""Reads recipes: plain values or a YAML file in, a whole recipe or every problem at once out."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from jobs.methods import find_method
from jobs.recipe import NAME_LENGTH, Recipe, explain
from storage.problems import RecipeInvalid


def read_recipe(values: Any) -> Recipe:
    """A recipe from plain values; raises RecipeInvalid with every problem at once.

    The method's name and settings are checked against the catalogue here too, and the method's defaults filled in.
    """
    if not isinstance(values, dict):
        raise RecipeInvalid(["The recipe is not a list of settings. It starts with lines such as 'base_model: demo-base'."])
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeInvalid(explain(error, Recipe)) from error
    method = find_method(recipe.method)
    return method.complete(recipe)


def read_recipe_file(path: Path) -> Recipe:
    """A recipe from a YAML file; relative data and model paths in it are taken from the file's own folder if they are there."""
    return read_recipe(read_values_file(path))


def read_values_file(path: Path) -> Any:
    """What a YAML file holds, its paths found and its name filled in, before it is known to be a recipe or a sweep."""
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise RecipeInvalid([f"There is no file '{path}'. Give the path of a recipe in YAML."]) from error
    except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        raise RecipeInvalid([f"'{path}' is not a YAML file: {error}. Mend it and try again."]) from error
    if not isinstance(values, dict):
        return values
    here = path.resolve().parent

    def locate(name: Any) -> Any:
        if isinstance(name, list):
            return [locate(part) for part in name]
        if not isinstance(name, str) or Path(name).exists():
            return name
        return str(here / name) if (here / name).exists() else name

    values = {**values, "name": values.get("name") or path.stem[:NAME_LENGTH]}
    if "base_model" in values:
        values["base_model"] = locate(values["base_model"])
    if isinstance(values.get("dataset"), dict):
        values["dataset"] = {name: locate(value) if name in ("source", "validation") else value
                             for name, value in values["dataset"].items()}
    return values
