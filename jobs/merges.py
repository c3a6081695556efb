"""Adapters put into their base model's weights: a whole model in the library, and on the shelf to be used as a base model."""

import json
import shutil
import uuid
from pathlib import Path

from jobs.blends import NO_DATA, listed, parents_of, plain
from jobs.export import linked_weights, publish_made, remove_published
from jobs.methods import METHODS
from jobs.methods.full import FULL
from jobs.models.inspect import inspect_base_model
from jobs.models.model_files import weight_files
from jobs.models.shelf import HUB
from jobs.playground.client import PlaygroundClient
from jobs.playground.problems import MergeRefused
from jobs.playground.request import BaseChoice, Blend, MergeRequest
from jobs.services import Services
from jobs.uploads import check_free_space, safe_name
from storage.made import keep_made
from storage.problems import NotFound
from storage.records import Adapter, Run
from storage.runs import new_run_id

RECORD = "merge.json"


def merged_bytes(base_path: Path) -> int:
    """How large the weights of a merged model will be: as large as its base model's."""
    return sum((base_path / name).stat().st_size for name in weight_files(base_path))


def why_not(adapter: Adapter) -> str:
    """Why an adapter cannot be merged, as far as its method tells; empty where it may."""
    if adapter.method == FULL:
        return "It is a whole model already."
    return METHODS[adapter.method].reason("merge") if adapter.method in METHODS else ""


def merge(services: Services, client: PlaygroundClient, base: BaseChoice, name: str, weights: list[tuple[Adapter, float]],
          blend: Blend | None = None) -> Run:
    """Have the playground write the base model with one adapter, or with a `blend`, in its weights.

    The whole model is in the library, as a finished run with its zip, and under its name on the shelf, where the same files have
    a second name. Raises MergeRefused, NotFound, DiskFull, or what else the playground refuses it for.
    """
    name, shelf = name.strip(), services.settings.models_dir / safe_name(name.strip())
    if not name:
        raise NotFound("The merged model has no name. Write one, so that you find it again.")
    if shelf.exists() or shelf.name == HUB or any(entry.name == shelf.name for entry in services.shelf.list()):
        raise NotFound(f"There is a base model called '{shelf.name}' already. Choose another name.")
    if why := next((f"'{adapter.name}': {why}" for adapter, _ in weights if (why := why_not(adapter))), ""):
        raise MergeRefused(why.rstrip("."))
    check_free_space(services, 2 * merged_bytes(base.base_path))  # the model, and its zip
    first, run_id, written = weights[0][0], new_run_id(), services.settings.temporary_dir / f"merge-{uuid.uuid4().hex}"
    record = {**(blend.model_dump(mode="json", exclude={"parts"}) if blend else {}), "merged": True, "parents": parents_of(weights)}
    files, on_shelf = {}, False
    try:
        client.merge(MergeRequest(**base.model_dump(), blend=blend, target=written, adapter_folder=None if blend else
                                  services.settings.adapters_dir / first.folder))
        files = publish_made(services.settings.adapters_dir, written, f"{run_id}-0",
                             lambda folder: _describe(folder, name, base, record))
        _put_on_shelf(services.settings.adapters_dir / files["folder"], shelf)
        on_shelf = True
        about = {"name": name, "task": first.task, "method": FULL, "base_model": first.base_model}
        adapter = {**about, **files, "base_path": first.base_path, "base_hash": first.base_hash, "blend": record}
        base_facts = {"name": first.base_model, "path": first.base_path, "sha256": first.base_hash, "hub_id": "", "revision": ""}
        return keep_made(services.runs, run_id, {**about, "recipe": {}, "base": base_facts, "data": NO_DATA}, adapter)
    except BaseException:
        if files:
            remove_published(services.settings.adapters_dir, files)
        if on_shelf:  # else what has that name is somebody else's, who was quicker
            shutil.rmtree(shelf, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(written, ignore_errors=True)


def _put_on_shelf(folder: Path, shelf: Path) -> None:
    """By second names for the weights, so that they take no room; one of the two can be deleted without the other."""
    staged = shelf.with_name(f".{shelf.name}.part")
    shutil.rmtree(staged, ignore_errors=True)
    try:
        shutil.copytree(folder, staged, copy_function=linked_weights)
        staged.rename(shelf)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _describe(folder: Path, name: str, base: BaseChoice, record: dict) -> None:
    """What a person reads beside the weights, and the licence, which stays the base model's."""
    (folder / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
    licence = inspect_base_model(base.base_path).licence
    for path in base.base_path.glob("LICEN[CS]E*"):
        if path.is_file():
            shutil.copy2(path, folder / path.name)
    how = f" combined as `{record['combination']}`," if "combination" in record else ""
    (folder / "README.md").write_text(
        f"---\nlibrary_name: transformers\n{f'license: {licence}{chr(10)}' if licence else ''}tags: [merged]\n---\n\n"
        f"# {plain(name)}\n\nThe whole model {plain(base.base_name)} with these adapters in its weights,{how} without any training "
        f"of its own:\n\n{listed(record['parents'])}\n", "utf-8")
