"""Where the data of a recipe comes from: kept data, files and folders, datasets on the Hub, and several of these mixed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jobs.data import SUFFIXES, Examples, LoadedData, split_data
from jobs.data.mixing import MixedData, mix, refuse_to_mix, split_mixed, weigh
from jobs.hub_data import HubReference, keep_hub_data, pinned_reference, read_reference
from jobs.imports import read_dataset, read_validation
from jobs.recipe import DatasetChoice, Recipe
from jobs.services import Services
from jobs.uploads import checked_paths, find_dataset, keep_files
from storage.problems import RecipeInvalid, StudioError
from storage.records import Dataset


@dataclass(frozen=True)
class Mixture:
    """Several datasets with their weights, in the place of one."""

    datasets: tuple[Dataset, ...]
    weights: tuple[float, ...]

    version = 1
    validation_id = ""

    @property
    def id(self) -> list[str]:
        return [dataset.id for dataset in self.datasets]

    @property
    def name(self) -> str:
        return " + ".join(dataset.name for dataset in self.datasets)

    @property
    def files(self) -> list[dict]:
        return [file for dataset in self.datasets for file in dataset.files]


def keep_data(services: Services, choice: DatasetChoice) -> Dataset | Mixture:
    """The data that a recipe names, kept in the studio. Several plain files without weights are one dataset.

    Raises RecipeInvalid with what is wrong with any of the sources.
    """
    sources = [choice.source] if isinstance(choice.source, str) else choice.source
    if not sources:
        raise RecipeInvalid(["dataset.source is empty. Name a file, a folder, an upload's id or a dataset on the Hub."])
    if choice.weights and len(choice.weights) != len(sources):
        raise RecipeInvalid([f"dataset.weights has {_count(len(choice.weights), 'weight')} for {_count(len(sources), 'source')}. "
                             "Give one for each source, or none."])
    if not choice.weights and len(sources) == 1:
        return keep_source(services, sources[0])
    if not choice.weights and all(_is_path(services, source) for source in sources):
        return keep_files(services, [Path(source).expanduser() for source in sources])
    kept, problems = [], []
    for source in sources:
        try:
            kept.append(keep_source(services, source))
        except StudioError as problem:
            problems.append(str(problem))
    if problems:
        raise RecipeInvalid(problems)
    return Mixture(tuple(kept), tuple(choice.weights) or (1,) * len(kept))


def keep_source(services: Services, source: str) -> Dataset:
    """The dataset of an id, or of files or a dataset on the Hub, which are kept first."""
    if known := find_dataset(services, source):
        return known
    if reference := _hub_reference(source):
        return keep_hub_data(services, reference)
    return keep_files(services, [Path(source).expanduser()])


def load_data(services: Services, recipe: Recipe, kept: Dataset | Mixture) -> LoadedData:
    """Everything read as the recipe says; each source of a mixture on its own. Raises ArtefactCorrupt, DataInvalid."""
    if isinstance(kept, Dataset):
        return _read(services, recipe, kept)
    parts, problems = [], []
    for dataset in kept.datasets:
        try:
            parts.append(_read(services, recipe, dataset))
        except StudioError as problem:
            if len(kept.datasets) == 1:
                raise
            problems.append(f"{dataset.name}: {problem}")
    if problems:
        raise RecipeInvalid(problems)
    return mix(parts, [dataset.name for dataset in kept.datasets], kept.weights)


def read_alike(services: Services, kept: Dataset, data: LoadedData) -> LoadedData:
    """Data to measure with, read as the training data was, or on its own where that is a mixture of several formats."""
    if not isinstance(data, MixedData) or len({part.format for part in data.parts}) == 1:
        return read_validation(services, kept, data)
    own = read_validation(services, kept, replace(data, format="auto", columns={}))
    refuse_to_mix([(kept.name, own), (data.names[0], data.parts[0])])
    return own


def split_rows(data: LoadedData, validation: float | int | str | None, seed: int) -> tuple[Examples, Examples]:
    """Training and validation rows; those of a mixture from each source in proportion, and the training rows by their weights."""
    return (split_mixed if isinstance(data, MixedData) else split_data)(data, validation, seed)


def all_rows(data: LoadedData, seed: int) -> Examples:
    """The training rows where none are kept back."""
    return weigh(data.examples, data.weights, seed) if isinstance(data, MixedData) else data.examples


def sources_record(kept: Dataset | Mixture, data: LoadedData, train: Sequence) -> list[dict]:
    """What a run's record says of each source: which it is, how it was read, and how many of its rows an epoch uses."""
    datasets, parts, weights = ((kept.datasets, data.parts, kept.weights) if isinstance(data, MixedData) else ([kept], [data], [1]))
    used = Counter(train.sources()) if isinstance(data, MixedData) else {0: len(train)}
    return [{"dataset_id": dataset.id, "name": dataset.name, "hub": pinned_reference(dataset), "sha256": dataset.sha256,
             "files": [file["name"] for file in dataset.files], "format": part.format, "columns": part.columns, "rows": part.rows,
             "kept": part.kept, "weight": weight, "train_rows": used[number]}
            for number, (dataset, part, weight) in enumerate(zip(datasets, parts, weights, strict=True))]


def refuse_paths(services: Services, choice: dict) -> list[str]:
    """What is wrong with data that a page or a client names: only kept data may be named there, not any file of this machine."""
    source, validation = choice.get("source") or [], choice.get("validation")
    named = [*([source] if isinstance(source, str) else source), *([validation] if isinstance(validation, str) else [])]
    return [f"'{name}' is no data of this studio. Upload the file, or choose data that is here."
            for name in named if name != "none" and services.trash.find("dataset", name) is None]


def _read(services: Services, recipe: Recipe, dataset: Dataset) -> LoadedData:
    checked_paths(services, dataset)
    chosen = recipe.dataset
    return read_dataset(services, dataset, chosen.format, chosen.columns, recipe.task, chosen.group_by)


def _is_path(services: Services, source: str) -> bool:
    return find_dataset(services, source) is None and _hub_reference(source) is None


def _hub_reference(source: str) -> HubReference | None:
    """What a source asks of the Hub; None for what is here, or would be a file by its name."""
    if Path(source).expanduser().exists() or source.lower().endswith(tuple(SUFFIXES)):
        return None
    return read_reference(source)



def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
