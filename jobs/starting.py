"""Starting from an adapter that is there already: found, checked against the recipe, and found again by the trainer."""

import json
from dataclasses import dataclass
from pathlib import Path

from jobs import checkpoints
from jobs.checksums import check_adapter, first_damaged, written_sums
from jobs.methods import find_method
from jobs.methods.full import FULL
from jobs.models.hashing import base_model_hash, file_sha256
from jobs.models.shelf import ResolvedBase
from jobs.recipe import PEFT_TASKS, Recipe
from jobs.services import Services
from jobs.whole_models import is_whole_model, weights_sha256
from storage.problems import ArtefactCorrupt, NotFound, RecipeInvalid
from storage.records import Run

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@dataclass(frozen=True)
class StartingAdapter:
    """An adapter to train on from, whole as far as its own records say."""

    wanted: str  # as the recipe keeps it: a run's id or a folder
    name: str
    folder: Path
    base_hash: str  # of the base model that it was trained on; empty: nothing says
    config: dict    # of an adapter; empty: it is a whole model

    def record(self) -> dict:
        """What a run remembers of it."""
        sha256 = file_sha256(self.folder / WEIGHTS) if self.config else weights_sha256(self.folder)
        return {"start_from": self.wanted, "name": self.name, "sha256": sha256}


def find_adapter(services: Services, wanted: str) -> StartingAdapter:
    """The adapter that a run's id or a folder means; raises NotFound or ArtefactCorrupt."""
    known = services.adapters.find(wanted)
    folder = services.settings.adapters_dir / known.folder if known else Path(wanted).expanduser()
    whole = is_whole_model(folder)
    if not whole and (not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file()):
        raise NotFound(f"start_from is '{wanted}', which is neither the id of a run with an adapter nor a folder with {CONFIG} "
                       f"and {WEIGHTS}. The Library page, or python app.py runs, lists what there is.")
    if known:
        check_adapter(services.settings.adapters_dir, known)
    elif damaged := first_damaged(folder, written_sums(folder)):
        raise ArtefactCorrupt(f"start_from is '{wanted}', and its file '{damaged}' is not what its SHA256SUMS says. Get it anew.")
    try:
        config = {} if whole else json.loads((folder / CONFIG).read_text("utf-8"))
        base_hash = known.base_hash if known else _written_base_hash(folder)
    except ValueError as error:
        raise ArtefactCorrupt(f"start_from is '{wanted}', and its {CONFIG} or metrics.json cannot be read: {error}. Get it "
                              "anew.") from error
    if not known:
        wanted = str(folder.resolve())
    return StartingAdapter(wanted, known.name if known else folder.name, folder, base_hash, config)


def check_start(services: Services, recipe: Recipe, base: ResolvedBase, labels: list[str]) -> tuple[Recipe, StartingAdapter]:
    """The recipe with the adapter's own settings in it; raises RecipeInvalid with all that does not fit."""
    adapter = find_adapter(services, recipe.start_from)
    method, problems = find_method(recipe.method), []
    if (method.name == FULL) == bool(adapter.config):
        what = "an adapter" if adapter.config else "a whole model"
        raise RecipeInvalid([f"start_from is '{adapter.name}', which is {what}, and method is '{recipe.method}'. Choose "
                             f"{'another method, or a whole model' if adapter.config else f'{FULL}, or an adapter'}."])
    if adapter.config and (kind := adapter.config.get("peft_type")) != method.peft_type:
        problems.append(f"start_from is the adapter '{adapter.name}', which is {kind}, and method is '{recipe.method}' "
                        f"({method.peft_type}). Choose the adapter's method, or another adapter.")
    elif adapter.config and (why := method.special.refuse_start(adapter.config)):
        problems.append(f"start_from is the adapter '{adapter.name}'. {why} Start afresh, or choose another adapter.")
    if (task := adapter.config.get("task_type")) not in (PEFT_TASKS[recipe.task], None):
        problems.append(f"start_from is the adapter '{adapter.name}', which was trained for {task}, and task is '{recipe.task}'. "
                        "Choose the adapter's task, or another adapter.")
    if other_base(services, adapter, base):
        problems.append(f"start_from is the adapter '{adapter.name}', which was trained on another base model "
                        f"({adapter.config.get('base_model_name_or_path')}) than '{base.name}'. Choose that one, or another "
                        "adapter.")
    if labels and (known := _labels(adapter.folder)) != labels:
        problems.append(f"start_from is the adapter '{adapter.name}', which knows the labels {', '.join(known) or '(none)'}, and "
                        f"the data has {', '.join(labels)}. Use data with the same labels, or start afresh.")
    if problems:
        raise RecipeInvalid(problems)
    if not adapter.config:
        return recipe.model_copy(update={"start_from": adapter.wanted}), adapter
    own = {name: value for name, value in adapter.config.items() if name in method.settings.model_fields}
    own |= method.special.own_settings(adapter.config, adapter.folder)
    own |= method.special.kept_settings(method.read_settings(recipe.method_settings))
    return recipe.model_copy(update={"start_from": adapter.wanted,
                                     "method_settings": method.read_settings(own).model_dump(mode="json")}), adapter


def adapter_to_train_on(services: Services, run: Run, run_dir: Path) -> Path | None:
    """The folder whose settings and weights a trainer puts in first; None for a fresh adapter. Raises ArtefactCorrupt."""
    known = run.base.get("adapter")
    if not known:
        return None
    if checkpoint := checkpoints.newest(run_dir / "checkpoints"):
        return checkpoint  # it has come further, and needs the first adapter no more
    adapter = find_adapter(services, known["start_from"])
    if adapter.record()["sha256"] != known["sha256"]:
        raise ArtefactCorrupt(f"The adapter '{adapter.name}' was changed since this run was accepted. Put it back as it was, or "
                              "start a new run from it.")
    return adapter.folder


def other_base(services: Services, adapter: StartingAdapter, base: ResolvedBase) -> bool:
    """By the hash where one is known; by the Hub's names where both come from there. Else loading the weights will tell."""
    if adapter.base_hash:
        return adapter.base_hash != base_model_hash(base.path, services.settings.models_dir / "hashes.json")
    named = adapter.config.get("base_model_name_or_path") or ""
    return bool(base.hub_id and named.count("/") == 1 and not named.startswith(("/", ".", "~")) and named != base.hub_id)


def _written_base_hash(folder: Path) -> str:
    """As an unpacked zip of the studio tells it."""
    path = folder / "metrics.json"
    return json.loads(path.read_text("utf-8")).get("base", {}).get("sha256", "") if path.is_file() else ""


def _labels(folder: Path) -> list[str]:
    path = folder / "config.json"
    names = json.loads(path.read_text("utf-8")).get("id2label", {}) if path.is_file() else {}
    return [names[str(number)] for number in range(len(names)) if str(number) in names]
