"""From a recipe to a waiting run: everything is checked first, and every problem is told at once."""

from dataclasses import dataclass
from pathlib import Path

from jobs.data import LoadedData, files_in, load_dataset, load_validation, split
from jobs.models.inspect import BaseModelFacts, inspect_base_model
from jobs.models.shelf import ResolvedBase
from jobs.recipe import Recipe
from jobs.services import Services
from jobs.uploads import check_free_space, dataset_paths, keep_files
from storage.problems import RecipeInvalid, StudioError
from storage.records import Dataset, Run


@dataclass(frozen=True)
class CheckedRecipe:
    """A recipe of which every part was found and fits together."""

    recipe: Recipe
    base: ResolvedBase
    facts: BaseModelFacts
    dataset: Dataset
    data: LoadedData
    train: list[dict]
    validation: list[dict]
    validation_dataset: Dataset | None


def check_recipe(services: Services, recipe: Recipe) -> CheckedRecipe:
    """Find everything that a recipe names and try it without training; raises RecipeInvalid with every problem."""
    problems: list[str] = []

    def attempt(step, *values):
        try:
            return step(*values)
        except RecipeInvalid as problem:
            problems.extend(problem.problems)
        except StudioError as problem:
            problems.append(str(problem))

    base = attempt(services.shelf.resolve, recipe.base_model)
    facts = attempt(inspect_base_model, base.path) if base else None
    if facts and recipe.task not in facts.tasks:
        serves = f"It serves {' and '.join(facts.tasks)}." if facts.tasks else "Choose another base model."
        problems.append(f"base_model '{recipe.base_model}' ({facts.architecture}) does not serve the task '{recipe.task}'. "
                        f"{serves}")
    if facts and facts.context_length and recipe.training.max_length > facts.context_length:
        # a longer setting than the model can take means "as long as possible"
        recipe = recipe.model_copy(update={"training": recipe.training.model_copy(
            update={"max_length": facts.context_length})})
    if recipe.training.packing and recipe.task != "text-generation":
        problems.append("training.packing is on, and it serves text generation only. Switch it off.")
    dataset = attempt(_keep_source, services, recipe.dataset.source)
    data = attempt(_load, services, recipe, dataset) if dataset else None
    parts = attempt(_split, services, recipe, data) if data else None
    attempt(check_free_space, services, facts.bytes_on_disk if facts else 0)
    if problems:
        raise RecipeInvalid(problems)
    train, validation, validation_dataset = parts
    return CheckedRecipe(recipe, base, facts, dataset, data, train, validation, validation_dataset)


def submit(services: Services, recipe: Recipe, submission_key: str | None = None) -> Run:
    """Check a recipe, accept it as a waiting run, and ring for the worker; raises RecipeInvalid, and nothing is queued.

    The same `submission_key` twice (a double click) gives the same run.
    """
    checked = check_recipe(services, recipe)
    run = services.runs.submit(
        name=recipe.name or f"{checked.base.name} {recipe.method}",
        task=recipe.task, method=recipe.method, base_model=checked.base.name, submission_key=submission_key,
        recipe=_as_stored(checked).model_dump(mode="json"), base=_base_record(checked), data=_data_record(checked))
    services.bell.ring_for_run(run.id)
    return run


def load_examples(services: Services, recipe: Recipe) -> tuple[LoadedData, list[dict], list[dict]]:
    """The data of a stored recipe again: everything read, the training and the validation examples."""
    dataset = _keep_source(services, recipe.dataset.source)
    data = _load(services, recipe, dataset)
    train, validation, _ = _split(services, recipe, data)
    return data, train, validation


def _keep_source(services: Services, source: str | list[str]) -> Dataset:
    if isinstance(source, str) and (known := services.datasets.find(source)):
        return known
    paths: list[Path] = []
    for name in [source] if isinstance(source, str) else source:
        path = Path(name).expanduser()
        paths.extend(files_in(path)[0] if path.is_dir() else [path])
    return keep_files(services, paths)


def _load(services: Services, recipe: Recipe, dataset: Dataset) -> LoadedData:
    return load_dataset(dataset_paths(services, dataset), format=recipe.dataset.format,
                        columns=recipe.dataset.columns or None, task=recipe.task)


def _split(services: Services, recipe: Recipe, data: LoadedData) -> tuple[list[dict], list[dict], Dataset | None]:
    validation = recipe.dataset.validation
    if isinstance(validation, str) and validation != "none":
        kept = _keep_source(services, validation)
        return data.examples, load_validation(dataset_paths(services, kept), like=data).examples, kept
    labels = [example["label"] for example in data.examples] if data.labels else None
    train, held_out = split(data.examples, validation, recipe.seed, labels=labels)
    return train, held_out, None


def _as_stored(checked: CheckedRecipe) -> Recipe:
    """The recipe with what was found out written in: the upload's id, the format, the columns."""
    update = {"source": checked.dataset.id, "format": checked.data.format, "columns": checked.data.columns}
    if checked.validation_dataset:
        update["validation"] = checked.validation_dataset.id
    return checked.recipe.model_copy(update={"dataset": checked.recipe.dataset.model_copy(update=update)})


def _base_record(checked: CheckedRecipe) -> dict:
    base, facts = checked.base, checked.facts
    return {"name": base.name, "path": str(base.path), "source": base.source, "hub_id": base.hub_id,
            "revision": base.revision, "parameters": facts.parameters, "architecture": facts.architecture,
            "layers": facts.layers, "context_length": facts.context_length, "licence": facts.licence}


def _data_record(checked: CheckedRecipe) -> dict:
    data = checked.data
    return {"dataset_id": checked.dataset.id, "name": checked.dataset.name,
            "files": [file["name"] for file in checked.dataset.files], "sha256": data.sha256, "format": data.format,
            "columns": data.columns, "rows": data.rows, "kept": data.kept, "left_out": len(data.left_out),
            "train_rows": len(checked.train), "validation_rows": len(checked.validation),
            "validation_file": checked.validation_dataset.name if checked.validation_dataset else None,
            "labels": data.labels, "findings": data.findings}
