"""Going on from where a run is: the same base model, the same data, its newest whole checkpoint, or not at all."""

import json
import os
import shutil
from pathlib import Path

from pydantic import ValidationError

from jobs import checkpoints
from jobs.models.hashing import base_model_hash
from jobs.recipe import Recipe, TrainingSettings, explain
from jobs.services import Services
from jobs.uploads import checked_paths, find_dataset
from storage.problems import ArtefactCorrupt, CannotContinue, RecipeInvalid
from storage.records import Run, RunState
from storage.runs import new_run_id

FIRST = "attempt-0"  # where a run finds the checkpoint that it begins with


def continue_run(services: Services, run_id: str, epochs: float | None = None, max_steps: int | None = None,
                 submission_key: str | None = None) -> Run:
    """A new waiting run that goes on from an ended run's newest checkpoint, by its recipe, or for more epochs or steps.

    Raises CannotContinue with the reason, or ArtefactCorrupt where the base model or the data is not what it was.
    """
    run = services.runs.get(run_id)
    if run.deleted_at is not None:
        raise CannotContinue(f"The run '{run.name}' is deleted. Restore it first, on the Library page.")
    if not run.state.is_end:
        raise CannotContinue(f"The run '{run.name}' is {run.state.value}. Stop it first, or let it come to its end.")
    folder = checkpoints.newest(services.settings.runs_dir / run.id / "checkpoints")
    if folder is None:
        thrown = "it was cancelled, and its checkpoints were thrown away" if run.state == RunState.CANCELLED else \
            "it has no whole checkpoint"
        raise CannotContinue(f"The run '{run.name}' cannot be continued: {thrown}. Run it again from its recipe.")
    recipe = _longer(run, folder, epochs, max_steps)
    check_same_base(services, run)
    check_same_data(services, recipe)

    step, new_id = checkpoints.step_of(folder), new_run_id()
    new_dir = services.settings.runs_dir / new_id
    try:
        for source in dict.fromkeys((folder, checkpoints.for_adapter(folder))):
            shutil.copytree(source, new_dir / "checkpoints" / FIRST / source.name, copy_function=linked)
        new = services.runs.submit(
            run_id=new_id, name=run.name, task=run.task, method=run.method, base_model=run.base_model,
            recipe=recipe.model_dump(mode="json"), base=run.base, data=run.data, submission_key=submission_key, owner=run.owner,
            priority=run.priority, wanted_device=run.wanted_device, continues=run.id, adjustments=run.adjustments, step=step,
            checkpoint_step=step, best_step=run.best_step, eval_loss_before=run.eval_loss_before,
            trainable_parameters=run.trainable_parameters, total_parameters=run.total_parameters, environment=run.environment)
    except BaseException:
        shutil.rmtree(new_dir, ignore_errors=True)
        raise
    if new.id != new_id:  # asked for twice
        shutil.rmtree(new_dir)
        return new
    services.runs.copy_metrics(run.id, new.id, up_to_step=step)
    services.runs.log(new.id, f"Continues the run '{run.name}' ({run.id}) from step {step}.")
    services.bell.ring_for_run(new.id)
    return new


def can_continue(services: Services, run: Run) -> bool:
    """Whether an ended run left something to go on from; whether that is whole is found when it is asked for."""
    folder = services.settings.runs_dir / run.id / "checkpoints"
    return run.state.is_end and run.deleted_at is None and any(folder.glob(f"attempt-*/checkpoint-*/{checkpoints.MANIFEST}"))


def check_same_base(services: Services, run: Run) -> tuple[Path, str]:
    """Folder and hash of a run's base model; raises ArtefactCorrupt where it changed since the run began."""
    base = services.shelf.resolve(run.base["path"])
    found, known = base_model_hash(base.path, services.settings.models_dir / "hashes.json"), run.base.get("sha256", "")
    if known and found != known:
        raise ArtefactCorrupt(f"The base model '{run.base['name']}' was changed since this run began: its SHA-256 was {known[:16]}…"
                              f" and is {found[:16]}… now. Put its files back as they were, or start a new run.")
    return base.path, found


def check_same_data(services: Services, recipe: Recipe) -> None:
    """Raise ArtefactCorrupt where an uploaded file of a stored recipe is not what it was, and where it is gone, what to do."""
    chosen = recipe.dataset
    for source in [*([chosen.source] if isinstance(chosen.source, str) else chosen.source), chosen.validation]:
        if not isinstance(source, str) or source == "none":
            continue
        dataset = find_dataset(services, source)
        if dataset is None:
            raise CannotContinue(f"The data of this run ({source}) is not in the studio any more. Upload it and start a new run.")
        checked_paths(services, dataset)


def _longer(run: Run, folder: Path, epochs: float | None, max_steps: int | None) -> Recipe:
    """The recipe, made longer as asked; refused where it would end where it is."""
    recipe = Recipe.model_validate(run.recipe)
    training, step = recipe.training, checkpoints.step_of(folder)
    reached = json.loads((folder / "trainer_state.json").read_text())["epoch"]
    how = f"python app.py runs resume {run.id}"
    if epochs is None and max_steps is None:
        if run.state == RunState.FINISHED:
            raise CannotContinue(f"The run '{run.name}' has finished, at step {step} after {reached:g} epochs. Say how far it "
                                 f"shall go, for example: {how} --epochs {max(training.epochs, reached) + 1:g}")
        return recipe
    if max_steps is not None and max_steps <= step:
        raise CannotContinue(f"The run '{run.name}' is at step {step}, so it cannot go on to step {max_steps}. Give more steps, "
                             f"for example: {how} --max-steps {2 * step}")
    if max_steps is None and epochs <= reached:
        raise CannotContinue(f"The run '{run.name}' has seen {reached:g} epochs, so it cannot go on to {epochs:g}. Give more "
                             f"epochs, for example: {how} --epochs {int(reached) + 1}")
    changed = {"max_steps": max_steps or 0, **({} if epochs is None else {"epochs": epochs})}
    try:
        return recipe.model_copy(update={"training": TrainingSettings.model_validate({**training.model_dump(), **changed})})
    except ValidationError as error:
        raise RecipeInvalid(explain(error, TrainingSettings, "training.")) from error


def linked(source: str, target: str) -> None:
    """A second name for the same bytes, which nobody ever changes; a copy where the file system cannot do that."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
