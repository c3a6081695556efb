"""Blends of adapters kept in the library: a folder and a zip like those of a run, with the parents recorded."""

import json
import shutil
import uuid
from pathlib import Path

from jobs.export import publish_made
from jobs.playground.client import PlaygroundClient
from jobs.playground.request import BaseChoice, Blend, BlendPart, BlendRequest
from jobs.services import Services
from storage.made import keep_made
from storage.problems import NotFound
from storage.records import Adapter, Run
from storage.runs import new_run_id

METHOD = "lora"
NO_DATA = {"name": "", "dataset_id": "", "rows": 0, "train_rows": 0, "validation_rows": 0, "files": [], "columns": {}, "format": ""}


def blend_of(services: Services, weights: list[tuple[Adapter, float]], combination: str, density: float) -> Blend:
    folder = services.settings.adapters_dir
    parts = [BlendPart(adapter_folder=folder / adapter.folder, weight=weight) for adapter, weight in weights]
    return Blend(parts=tuple(parts), combination=combination, density=density)


def save_blend(services: Services, client: PlaygroundClient, base: BaseChoice, name: str, weights: list[tuple[Adapter, float]],
               blend: Blend) -> Run:
    """Have the playground write a blend, and put it into the library. Raises what the playground refuses it for."""
    if not name.strip():
        raise NotFound("The blend has no name. Write one, so that you find it again.")
    record = {**blend.model_dump(mode="json", exclude={"parts"}), "parents": parents_of(weights)}
    first, run_id = weights[0][0], new_run_id()
    written = services.settings.temporary_dir / f"blend-{uuid.uuid4().hex}"
    try:
        client.save_blend(BlendRequest(**base.model_dump(), blend=blend, target=written))
        files = publish_made(services.settings.adapters_dir, written, f"{run_id}-0",
                             lambda folder: _describe(folder, name, first, record))
    finally:
        shutil.rmtree(written, ignore_errors=True)
    about = {"name": name.strip(), "task": first.task, "method": METHOD, "base_model": first.base_model}
    adapter = {**about, **files, "base_path": first.base_path, "base_hash": first.base_hash, "blend": record}
    base_facts = {"name": first.base_model, "path": first.base_path, "sha256": first.base_hash, "hub_id": "", "revision": ""}
    return keep_made(services.runs, run_id, {**about, "recipe": {}, "base": base_facts, "data": NO_DATA}, adapter)


def _describe(folder: Path, name: str, first: Adapter, record: dict) -> None:
    """What a person reads beside the weights: the parents with their weights."""
    config = folder / "adapter_config.json"
    values = json.loads(config.read_text("utf-8"))
    config.write_text(json.dumps({**values, "base_model_name_or_path": first.base_model}, indent=2) + "\n", "utf-8")
    (folder / "blend.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
    (folder / "README.md").write_text(
        f"---\nlibrary_name: peft\ntags: [lora, blend]\n---\n\n# {plain(name)}\n\n"
        f"A blend of LoRA adapters on {plain(first.base_model)}, combined as `{record['combination']}`, without any training "
        f"of its own:\n\n{listed(record['parents'])}\n", "utf-8")


def parents_of(weights: list[tuple[Adapter, float]]) -> list[dict]:
    """What a record says of the adapters that something was made of."""
    return [{"run_id": adapter.run_id, "name": adapter.name, "weight": weight} for adapter, weight in weights]


def listed(parents: list[dict]) -> str:
    """The same in Markdown."""
    return "\n".join(f"- {parent['weight']:g} × {plain(parent['name'])} (run {parent['run_id']})" for parent in parents)


def plain(text: str) -> str:
    """A name inside Markdown, on one line and without marks."""
    return "".join(character for character in " ".join(text.split()) if character not in "<>[]`*_#|")
