"""From a recipe to a waiting run: everything is checked first, and every problem is told at once."""

from dataclasses import dataclass

from jobs.data import Examples, LoadedData
from jobs.forecast.keeping import keep_at_hand
from jobs.methods import TrainingMethod, find_method
from jobs.models.inspect import BaseModelFacts, inspect_base_model
from jobs.models.shelf import ResolvedBase
from jobs.preparing.problems import packing_problem
from jobs.preparing.templates import check_template
from jobs.recipe import FORMAT_SCORES, IN_BATCH, Recipe, scores_of
from jobs.services import Services
from jobs.sources import Mixture, all_rows, keep_data, keep_source, load_data, read_alike, sources_record, split_rows
from jobs.starting import StartingAdapter, check_start
from jobs.training_problems import disk_needed, training_problems
from jobs.turn import Turn, check_turn
from jobs.uploads import check_free_space, checked_paths
from storage.faults import fault_point
from storage.problems import RecipeInvalid, StudioError
from storage.records import Dataset, Run

MIN_LENGTH = 8  # of a row, in tokens


@dataclass(frozen=True)
class CheckedRecipe:
    """A recipe of which every part was found and fits together."""

    recipe: Recipe
    base: ResolvedBase
    facts: BaseModelFacts
    dataset: Dataset | Mixture
    data: LoadedData
    train: Examples
    validation: Examples
    validation_dataset: Dataset | None
    adapter: StartingAdapter | None = None  # that the training starts from


def check_recipe(services: Services, recipe: Recipe, known: dict | None = None) -> CheckedRecipe:
    """Find everything that a recipe names and try it without training; raises RecipeInvalid with every problem.

    Recipes that are checked with the same `known` read the data and the base model that they share only once.
    """
    problems: list[str] = []
    known = {} if known is None else known

    def attempt(step, *values, of: tuple = ()):
        key = f"{step.__name__} {of}"
        if not of or key not in known:
            known[key] = _outcome(step, *values)
        result, found = known[key]
        problems.extend(found)
        return result

    base = attempt(services.shelf.resolve, recipe.base_model, of=(recipe.base_model,))
    facts = attempt(inspect_base_model, base.path, of=(base.path,)) if base else None
    if facts and recipe.task not in facts.tasks:
        serves = f"It serves {' and '.join(facts.tasks)}." if facts.tasks else "Choose another base model."
        problems.append(f"base_model '{recipe.base_model}' ({facts.architecture}) does not serve the task '{recipe.task}'. "
                        f"{serves}")
    method = find_method(recipe.method)
    settings = method.read_settings(recipe.method_settings)
    room = facts.context_length - method.special.taken(settings) if facts and facts.context_length else None
    if room and recipe.training.max_length > room:
        # a longer setting than the model can take means "as long as possible"
        recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"max_length": max(MIN_LENGTH, room)})})
    if base and (settled := attempt(method.special.settled, services, settings, recipe, base)):
        recipe = recipe.model_copy(update={"method_settings": settled.model_dump(mode="json")})
    if recipe.training.packing and recipe.task != "text-generation":
        problems.append("training.packing is on, and it serves text generation only. Switch it off.")
    attempt(check_template, recipe.chat_template, of=(recipe.chat_template,))
    chosen = recipe.dataset
    dataset = attempt(keep_data, services, chosen, of=(chosen.source, chosen.weights))
    if dataset and dataset.validation_id and "validation" not in chosen.model_fields_set:
        # the other part of its split, where nobody said otherwise
        chosen = chosen.model_copy(update={"validation": dataset.validation_id})
        recipe = recipe.model_copy(update={"dataset": chosen})
    read = (dataset.id, chosen.weights, chosen.format, chosen.columns, chosen.group_by, recipe.task) if dataset else ()
    data = attempt(load_data, services, recipe, dataset, of=read) if dataset else None
    if facts:
        as_read = chosen.model_copy(update={"format": data.format}) if data else chosen
        problems += method.special.refuse(settings, recipe.model_copy(update={"dataset": as_read}), facts)
        problems += family_problems(method, recipe, facts)
    scores = scores_of(recipe.task, data.format if data else chosen.format)
    if recipe.training.best_by not in scores:
        problems.append(f"training.best_by is '{recipe.training.best_by}', and an evaluation of {recipe.task} has no such score"
                        f"{f' for data in the format {data.format}' if data and data.format in FORMAT_SCORES else ''}. "
                        f"Choose {' or '.join(scores)}.")
    if recipe.training.packing and (refusal := packing_problem(find_method(recipe.method), data.format if data else chosen.format)):
        problems.append(refusal)
    problems += training_problems(recipe, find_method(recipe.method), data.format if data else chosen.format)
    if data and data.format in IN_BATCH and recipe.training.batch_size < 2:
        problems.append(f"training.batch_size is 1, and rows in the format {data.format} are learnt by comparing those of a batch. "
                        "Set it to 2 or more; 16 and above learn better.")
    parts = attempt(_split, services, recipe, data, of=(*read, chosen.validation, recipe.seed)) if data else None
    adapter = None
    if recipe.start_from and base and data and (started := attempt(check_start, services, recipe, base, data.labels)):
        recipe, adapter = started
    attempt(check_free_space, services, disk_needed(recipe, facts) if facts else 0)
    if problems:
        raise RecipeInvalid(problems)
    train, validation, validation_dataset = parts
    return CheckedRecipe(recipe, base, facts, dataset, data, train, validation, validation_dataset, adapter)


def family_problems(method: TrainingMethod, recipe: Recipe, facts: BaseModelFacts) -> list[str]:
    """Why a method that serves the task does not do so with that family of base models, as far as it was tried."""
    why = method.reason(f"task {recipe.task} on {facts.model_type}")
    if not why or method.reason(f"task {recipe.task}"):
        return []
    return [f"base_model '{recipe.base_model}' is of the family {facts.model_type}, with which {method.title} does not serve the "
            f"task '{recipe.task}'. {why} Choose another method, or another base model."]


def submit(services: Services, recipe: Recipe, submission_key: str | None = None, turn: Turn = Turn()) -> Run:
    """Check a recipe, accept it as a waiting run, and ring for the worker; raises RecipeInvalid, and nothing is queued.

    The same `submission_key` twice (a double click) gives the same run.
    """
    try:
        wish = check_turn(services, turn)
    except RecipeInvalid as problem:
        try:
            check_recipe(services, recipe)
        except RecipeInvalid as also:
            raise RecipeInvalid([*also.problems, *problem.problems]) from problem
        raise
    checked = check_recipe(services, recipe)
    run = services.runs.submit(submission_key=submission_key, **run_record(checked), **vars(wish))
    fault_point("submit.accepted")
    services.bell.ring_for_run(run.id)
    keep_at_hand(services, run)
    return run


def run_record(checked: CheckedRecipe) -> dict:
    """What the lab book keeps of a recipe that was checked."""
    recipe = checked.recipe
    return {"name": recipe.name or f"{checked.base.name} {recipe.method}", "task": recipe.task, "method": recipe.method,
            "base_model": checked.base.name, "recipe": _as_stored(checked).model_dump(mode="json"),
            "base": _base_record(checked), "data": _data_record(checked)}


def load_examples(services: Services, recipe: Recipe) -> tuple[LoadedData, Examples, Examples]:
    """The data of a stored recipe again: everything read, the training and the validation examples."""
    data = load_data(services, recipe, keep_data(services, recipe.dataset))
    train, validation, _ = _split(services, recipe, data)
    return data, train, validation


def _outcome(step, *values) -> tuple:
    """What a step gives, and the problems that it has."""
    try:
        return step(*values), []
    except RecipeInvalid as problem:
        return None, problem.problems
    except StudioError as problem:
        return None, [str(problem)]


def _split(services: Services, recipe: Recipe, data: LoadedData) -> tuple[Examples, Examples, Dataset | None]:
    validation = recipe.dataset.validation
    if isinstance(validation, str) and validation != "none":
        kept = keep_source(services, validation)
        checked_paths(services, kept)
        return all_rows(data, recipe.seed), read_alike(services, kept, data).examples, kept
    train, held_out = split_rows(data, validation, recipe.seed)
    return train, held_out, None


def _as_stored(checked: CheckedRecipe) -> Recipe:
    """The recipe with what was found out written in: the upload's id, the format, the columns."""
    update = {"source": checked.dataset.id}
    if isinstance(checked.dataset, Mixture):  # whose sources may differ in format and columns
        update["weights"] = list(checked.dataset.weights)
    else:
        update |= {"format": checked.data.format, "columns": checked.data.columns}
    if checked.validation_dataset:
        update["validation"] = checked.validation_dataset.id
    return checked.recipe.model_copy(update={"dataset": checked.recipe.dataset.model_copy(update=update)})


def _base_record(checked: CheckedRecipe) -> dict:
    base, facts = checked.base, checked.facts
    return {"name": base.name, "path": str(base.path), "source": base.source, "hub_id": base.hub_id,
            "revision": base.revision, "parameters": facts.parameters, "architecture": facts.architecture,
            "layers": facts.layers, "context_length": facts.context_length, "licence": facts.licence,
            **({"adapter": checked.adapter.record()} if checked.adapter else {})}


def _data_record(checked: CheckedRecipe) -> dict:
    data = checked.data
    sources = sources_record(checked.dataset, data, checked.train)
    return {"dataset_id": sources[0]["dataset_id"], "name": checked.dataset.name, "sources": sources,
            "files": [file["name"] for file in checked.dataset.files], "sha256": data.sha256, "format": data.format,
            "columns": data.columns, "rows": data.rows, "kept": data.kept, "left_out": data.left_out_count,
            "version": checked.dataset.version, "group_by": data.group_by,
            "train_rows": len(checked.train), "validation_rows": len(checked.validation),
            "validation_file": checked.validation_dataset.name if checked.validation_dataset else None,
            "labels": data.labels, "findings": data.findings}
