"""From a trained model to a folder and a zip that work everywhere: an adapter appears by rename, whole or not at all."""

import hashlib
import json
import re
import shutil
import time
import uuid
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from jobs.checkpoints import step_of
from jobs.checksums import SUMS, check_adapter
from jobs.continuing import linked
from jobs.methods import find_method
from jobs.methods.full import FULL
from jobs.model_card import model_card
from jobs.recipe import LABELLED, Recipe
from jobs.services import Services
from storage.faults import fault_point
from storage.problems import ArtefactCorrupt, NotFound
from storage.records import Adapter, Run, RunState

# of a checkpoint: the optimizer, the schedule, the random states and the studio's own notes
NOT_IN_AN_ADAPTER = ("optimizer*", "scheduler*", "rng_state*", "trainer_state.json", "training_args.bin", "scaler*", "studio-*")
LARGE = 500_000_000  # bytes of a file of weights from which on pressing it takes longer than it saves
ZIP_DATE = (2020, 1, 1, 0, 0, 0)  # one date for all, so that equal adapters give equal zips


def publish_adapter(services: Services, run: Run, outcome) -> dict:
    """Save the model's adapter, or the whole model, with all that goes into the zip; returns the values of its record.

    `outcome` is a jobs.training.train.Outcome with a model and its tokenizer.
    """
    def save(folder: Path) -> None:
        outcome.model.save_pretrained(folder)
        outcome.tokenizer.save_pretrained(folder)
        if run.task in LABELLED and run.method != FULL:
            outcome.model.base_model.config.save_pretrained(folder)  # the label names

    return _publish(services, run, save, outcome.state, outcome.results)


def publish_checkpoint(services: Services, run: Run, checkpoint: Path) -> dict:
    """The same from a checkpoint's files, without the model; for a stopped run whose trainer is gone."""
    def save(folder: Path) -> None:
        shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns(*NOT_IN_AN_ADAPTER))

    return _publish(services, run, save, RunState.STOPPED, {"step": step_of(checkpoint)})


def _publish(services: Services, run: Run, save: Callable[[Path], None], state: RunState, results: dict) -> dict:
    adapters = services.settings.adapters_dir
    staged = adapters / f".staged-{uuid.uuid4().hex}"
    name = f"{run.id}-{run.fence}"
    try:
        save(staged)
        fault_point("finish.saved")
        _make_portable(staged, run)
        recipe = portable_recipe(run)
        (staged / "recipe.yaml").write_text(recipe.to_yaml(), "utf-8")
        record = {"run_id": run.id, "state": state.value, **results, "base": _without_paths(run.base),
                  "data": run.data, "environment": run.environment,
                  "trainable_parameters": run.trainable_parameters, "total_parameters": run.total_parameters}
        (staged / "metrics.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
        (staged / "README.md").write_text(model_card(run, recipe, results), "utf-8")
        files = _add_sums(staged)
        fault_point("finish.hashed")
        staged_zip = _zip(staged)
        fault_point("finish.zipped")
        staged.rename(adapters / name)
        fault_point("finish.folder")
        staged_zip.rename(adapters / f"{name}.zip")
        fault_point("finish.published")
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        staged.with_suffix(".zip").unlink(missing_ok=True)
        raise
    return {"name": run.name, "folder": name, "zip_name": f"{name}.zip", "files": files,
            "bytes": sum(file["bytes"] for file in files if file["name"].endswith(".safetensors")),
            "zip_bytes": (adapters / f"{name}.zip").stat().st_size, "task": run.task, "method": run.method,
            "base_model": run.base_model, "base_path": run.base["path"], "base_hash": run.base["sha256"]}


def publish_made(adapters: Path, written: Path, name: str, describe: Callable[[Path], None]) -> dict:
    """A folder and a zip of an adapter that no run trained, from the files in `written`; returns its record's values.

    `describe` is given the folder before its hashes are taken; it must not touch the weights.
    """
    def fill(folder: Path) -> None:
        shutil.copytree(written, folder, copy_function=linked_weights)
        describe(folder)

    return _place(adapters, name, fill)


def republish(adapters: Path, adapter: Adapter, change: Callable[[Path], None]) -> dict:
    """A second folder and zip of a published adapter, with files that `change` has changed or added; returns its record's values.

    `change` is given the folder with everything but SHA256SUMS in it. The weights in it are the same bytes as before, by a second
    name; it must not touch them.
    """
    before = check_adapter(adapters, adapter)

    def fill(folder: Path) -> None:
        shutil.copytree(before, folder, ignore=shutil.ignore_patterns(SUMS), copy_function=linked_weights)
        change(folder)

    return _place(adapters, f"{adapter.run_id}-{time.time_ns()}", fill)


def linked_weights(source: str, target: str) -> None:
    """For shutil.copytree: weights by a second name for the same bytes, all other files as copies."""
    (linked if source.endswith(".safetensors") else shutil.copy2)(source, target)


def _place(adapters: Path, name: str, fill: Callable[[Path], None]) -> dict:
    """A folder that `fill` makes, with its sums, and its zip; nothing is left where something goes wrong."""
    staged = adapters / f".staged-{uuid.uuid4().hex}"
    try:
        fill(staged)
        files = _add_sums(staged)
        staged_zip = _zip(staged)
        fault_point("republish.zipped")
        staged.rename(adapters / name)
        fault_point("republish.folder")
        staged_zip.rename(adapters / f"{name}.zip")
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        staged.with_suffix(".zip").unlink(missing_ok=True)
        shutil.rmtree(adapters / name, ignore_errors=True)
        raise
    return {"folder": name, "zip_name": f"{name}.zip", "files": files,
            "bytes": sum(file["bytes"] for file in files if file["name"].endswith(".safetensors")),
            "zip_bytes": (adapters / f"{name}.zip").stat().st_size}


def _add_sums(folder: Path) -> list[dict]:
    """Write SHA256SUMS; returns what a record says of each file."""
    files = [_describe(folder, name) for name in _names(folder)]
    (folder / SUMS).write_text("".join(f"{file['sha256']}  {file['name']}\n" for file in files), "utf-8")
    return [*files, _describe(folder, SUMS)]


def remove_published(adapters: Path, adapter: dict) -> None:
    """Take back the files of an adapter whose record was not accepted."""
    shutil.rmtree(adapters / adapter["folder"], ignore_errors=True)
    (adapters / adapter["zip_name"]).unlink(missing_ok=True)


def portable_recipe(run: Run) -> Recipe:
    """The run's recipe with names that mean something elsewhere: file names or Hub ids instead of upload ids, no paths."""
    recipe = Recipe.model_validate(run.recipe)
    files, sources = run.data["files"], run.data.get("sources") or [{"hub": ""}]
    update = {"source": sources[0]["hub"] or (files[0] if len(files) == 1 else files)}
    if recipe.dataset.weights:
        update = {"source": [source["hub"] or source["name"] for source in sources]}
    if run.data.get("validation_file"):
        update["validation"] = run.data["validation_file"]
    base = f"{run.base['hub_id']}@{run.base['revision']}" if run.base["hub_id"] else run.base["name"]
    settings = find_method(run.method).special.portable(recipe.method_settings)
    return recipe.model_copy(update={"dataset": recipe.dataset.model_copy(update=update), "base_model": base,
                                     "method_settings": settings, "start_from": run.base.get("adapter", {}).get("name", "")})


def copy_zip(services: Services, run_id: str, to: Path) -> Path:
    """Copy the zip of a run's adapter to a file or into a folder; returns where it is. Raises as checked_zip does."""
    adapter = services.adapters.get(run_id)
    source = checked_zip(services, adapter)
    target = to / download_name(adapter.name) if to.is_dir() else to
    shutil.copyfile(source, target)
    return target


def checked_zip(services: Services, adapter: Adapter) -> Path:
    """The zip of an adapter, once everything in it is what its record says; raises NotFound or ArtefactCorrupt."""
    path = services.settings.adapters_dir / adapter.zip_name
    if not path.is_file():
        raise NotFound(f"The file {path} is gone. Run '{adapter.run_id}' again to make the adapter anew.")
    try:
        with zipfile.ZipFile(path) as archive:
            for file in adapter.files:
                with archive.open(file["name"]) as stream:
                    if hashlib.file_digest(stream, "sha256").hexdigest() != file["sha256"]:
                        raise zipfile.BadZipFile(f"{file['name']} is not what was written")
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, NotImplementedError) as error:
        raise ArtefactCorrupt(f"The zip of the adapter '{adapter.name}' is damaged ({error}). Put it back from a copy, or run it "
                              "again.") from error
    return path


def download_name(name: str) -> str:
    """A file name for an adapter's zip that every system takes."""
    return (re.sub(r"[^\w\-]+", "-", name).strip("-") or "adapter") + ".zip"


def _make_portable(folder: Path, run: Run) -> None:
    """Name the base model by its Hub id or shelf name, not by this machine's path, and leave no setting of the training in it."""
    def name_base(config: dict) -> None:
        config["base_model_name_or_path"] = run.base["hub_id"] or run.base["name"]
        config["revision"] = run.base["revision"]
        if config.get("tokenizer_name_or_path"):
            config["tokenizer_name_or_path"] = config["base_model_name_or_path"]

    def as_before(config: dict) -> None:
        config.pop("_name_or_path", None)
        if run.method == FULL:  # training switched it off
            config["use_cache"] = json.loads((Path(run.base["path"]) / "config.json").read_text("utf-8")).get("use_cache", True)

    for config in folder.rglob("adapter_config.json"):  # of adapters that it is made of, too
        _change(config, name_base)
    _change(folder / "config.json", as_before)
    # at what length texts were cut and filled up while training stays in a tokenizer, and others would cut theirs there too
    _change(folder / "tokenizer.json", lambda tokenizer: tokenizer.update(truncation=None, padding=None))


def _change(path: Path, change: Callable[[dict], object]) -> None:
    """Change a JSON file, where it is there."""
    if path.exists():
        values = json.loads(path.read_text("utf-8"))
        change(values)
        path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _without_paths(base: dict) -> dict:
    return {name: value for name, value in base.items() if name != "path"}


def _names(folder: Path) -> list[str]:
    """All files of a folder and of those in it, by their paths from there."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _describe(folder: Path, name: str) -> dict:
    path = folder / name
    with path.open("rb") as stream:
        return {"name": name, "bytes": path.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def _zip(folder: Path) -> Path:
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in _names(folder):
            path, info = folder / name, zipfile.ZipInfo(name, ZIP_DATE)
            info.compress_type = zipfile.ZIP_DEFLATED if path.stat().st_size < LARGE else zipfile.ZIP_STORED
            info.external_attr = 0o644 << 16
            with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as entry:
                shutil.copyfileobj(source, entry, 1 << 20)
    return target
