"""Reads recipes: plain values or a YAML file in, a whole recipe or every problem at once out."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from jobs.methods import find_method
from jobs.recipe import Recipe, explain
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
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise RecipeInvalid([f"There is no file '{path}'. Give the path of a recipe in YAML."]) from error
    except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        raise RecipeInvalid([f"'{path}' is not a YAML file: {error}. Mend it and try again."]) from error
    recipe = read_recipe(values)
    here = path.resolve().parent

    def locate(name: str) -> str:
        beside = here / name
        return str(beside) if not Path(name).exists() and beside.exists() else name

    sources = [recipe.dataset.source] if isinstance(recipe.dataset.source, str) else recipe.dataset.source
    located = [locate(source) for source in sources]
    validation = recipe.dataset.validation
    dataset = recipe.dataset.model_copy(update={
        "source": located[0] if isinstance(recipe.dataset.source, str) else located,
        "validation": locate(validation) if isinstance(validation, str) else validation})
    return recipe.model_copy(update={"dataset": dataset, "base_model": locate(recipe.base_model),
                                     "name": recipe.name or path.stem})
