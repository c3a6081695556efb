"""From a trained model to a folder and a zip that work everywhere: an adapter appears by rename, whole or not at all."""

import hashlib
import json
import re
import shutil
import uuid
import zipfile
from pathlib import Path

from jobs.model_card import model_card
from jobs.recipe import Recipe
from jobs.services import Services
from storage.problems import NotFound
from storage.records import Run

ZIP_DATE = (2020, 1, 1, 0, 0, 0)  # one date for all, so that equal adapters give equal zips


def publish_adapter(services: Services, run: Run, outcome) -> dict:
    """Save the model's adapter with all that goes into the zip; returns the values of its record.

    `outcome` is a jobs.training.train.Outcome with a PEFT model and its tokenizer.
    """
    adapters = services.settings.adapters_dir
    staged = adapters / f".staged-{uuid.uuid4().hex}"
    name = f"{run.id}-{run.fence}"
    try:
        outcome.model.save_pretrained(staged, safe_serialization=True)
        outcome.tokenizer.save_pretrained(staged)
        if run.task == "text-classification":
            outcome.model.base_model.config.save_pretrained(staged)  # the label names
        _make_portable(staged, run)
        recipe = portable_recipe(run)
        (staged / "recipe.yaml").write_text(recipe.to_yaml(), "utf-8")
        record = {"run_id": run.id, "state": outcome.state.value, **outcome.results, "base": _without_paths(run.base),
                  "data": run.data, "environment": run.environment,
                  "trainable_parameters": run.trainable_parameters, "total_parameters": run.total_parameters}
        (staged / "metrics.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
        (staged / "README.md").write_text(model_card(run, recipe, outcome.results), "utf-8")
        files = [_describe(path) for path in sorted(staged.iterdir())]
        (staged / "SHA256SUMS").write_text("".join(f"{file['sha256']}  {file['name']}\n" for file in files), "utf-8")
        files.append(_describe(staged / "SHA256SUMS"))
        staged_zip = _zip(staged)
        staged.rename(adapters / name)
        staged_zip.rename(adapters / f"{name}.zip")
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        staged.with_suffix(".zip").unlink(missing_ok=True)
        raise
    return {"name": run.name, "folder": name, "zip_name": f"{name}.zip", "files": files,
            "bytes": sum(file["bytes"] for file in files if file["name"].endswith(".safetensors")),
            "zip_bytes": (adapters / f"{name}.zip").stat().st_size, "task": run.task, "method": run.method,
            "base_model": run.base_model, "base_path": run.base["path"], "base_hash": run.base["sha256"]}


def remove_published(adapters: Path, adapter: dict) -> None:
    """Take back the files of an adapter whose record was not accepted."""
    shutil.rmtree(adapters / adapter["folder"], ignore_errors=True)
    (adapters / adapter["zip_name"]).unlink(missing_ok=True)


def portable_recipe(run: Run) -> Recipe:
    """The run's recipe with names that mean something elsewhere: file names instead of upload ids, no paths."""
    recipe = Recipe.model_validate(run.recipe)
    files = run.data["files"]
    update = {"source": files[0] if len(files) == 1 else files}
    if run.data.get("validation_file"):
        update["validation"] = run.data["validation_file"]
    base = f"{run.base['hub_id']}@{run.base['revision']}" if run.base["hub_id"] else run.base["name"]
    return recipe.model_copy(update={"dataset": recipe.dataset.model_copy(update=update), "base_model": base})


def copy_zip(services: Services, run_id: str, to: Path) -> Path:
    """Copy the zip of a run's adapter to a file or into a folder; returns where it is. Raises NotFound."""
    adapter = services.adapters.get(run_id)
    source = services.settings.adapters_dir / adapter.zip_name
    if not source.is_file():
        raise NotFound(f"The file {source} is gone. Run '{run_id}' again to make the adapter anew.")
    target = to / download_name(adapter.name) if to.is_dir() else to
    shutil.copyfile(source, target)
    return target


def download_name(name: str) -> str:
    """A file name for an adapter's zip that every system takes."""
    return (re.sub(r"[^\w\-]+", "-", name).strip("-") or "adapter") + ".zip"


def _make_portable(folder: Path, run: Run) -> None:
    """Name the base model by its Hub id or shelf name instead of this machine's path."""
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text("utf-8"))
    config["base_model_name_or_path"] = run.base["hub_id"] or run.base["name"]
    config["revision"] = run.base["revision"]
    if config.get("tokenizer_name_or_path"):
        config["tokenizer_name_or_path"] = config["base_model_name_or_path"]
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")
    config_path = folder / "config.json"
    if config_path.exists():
        values = json.loads(config_path.read_text("utf-8"))
        values.pop("_name_or_path", None)
        config_path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _without_paths(base: dict) -> dict:
    return {name: value for name, value in base.items() if name != "path"}


def _describe(path: Path) -> dict:
    with path.open("rb") as stream:
        return {"name": path.name, "bytes": path.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def _zip(folder: Path) -> Path:
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            info = zipfile.ZipInfo(path.name, ZIP_DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as entry:
                shutil.copyfileobj(source, entry, 1 << 20)
    return target
