"""What a recipe's forecast is asked with: its base model's folder, its data as far as they are there, a device. Without torch."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from jobs.devices import DeviceFacts, cpu_facts, gpu_facts
from jobs.forecast.learnt import Learnt, basis, learn
from jobs.forecast.result import Forecast, Known
from jobs.forecast.rows import Rows, rows_of
from jobs.forecast.time import with_time
from jobs.machine import facts_of, main_memory
from jobs.methods import find_method
from jobs.models.model_files import read_config
from jobs.recipe import LABELLED, Recipe, TrainingSettings
from jobs.services import Services
from jobs.sources import keep_data, load_data
from storage.problems import StudioError
from storage.records import Run

HAS_GPU = os.path.exists("/dev/nvidiactl")
WITHOUT_MEMORY = ("epochs", "max_steps", "learning_rate", "schedule", "cycles", "power", "lowest_rate", "decay", "warmup",
                  "weight_decay", "eval_steps", "save_steps", "best_by", "patience")  # of the training: what takes none


def folder_of(services: Services, recipe: Recipe) -> Path:
    """The base model's folder, with a config that can be read; raises a BaseModelRefused."""
    folder = services.shelf.resolve(recipe.base_model).path
    read_config(folder)
    return folder


def known_of(services: Services, recipe: Recipe) -> Known:
    """What the data say, where they are there: their format, and how many labels. A recipe that says its format is believed."""
    chosen = recipe.dataset
    format = "" if chosen.format == "auto" else chosen.format
    evaluates = chosen.validation != "none"
    if format and recipe.task not in LABELLED:
        return Known(format=format, evaluates=evaluates)
    try:
        data = load_data(services, recipe, keep_data(services, chosen))
    except StudioError:
        return Known(format=format, evaluates=evaluates)  # a forecast needs no data; submitting will say what is wrong with them
    return Known(format=data.format, labels=len(data.labels) or 2, evaluates=evaluates)


def known_of_run(run: Run) -> Known:
    """The same of a run, from its record."""
    return Known(format=run.data.get("format", ""), labels=len(run.data.get("labels") or []) or 2,
                 longest_row=run.data.get("longest_row") or 0, evaluates=run.recipe["dataset"].get("validation") != "none")


def device_asked(device: str, memory: int) -> DeviceFacts:
    """A kind of device, by default this machine's, with its memory: as told, else as this machine has it, 0 where it has none."""
    kind = device or ("cuda" if HAS_GPU else "cpu")
    here = cpu_facts() if kind == "cpu" else gpu_facts(0) if HAS_GPU else DeviceFacts(kind, bf16=True)
    found = memory or here.memory_bytes or (psutil.virtual_memory().total if kind == "cpu" else 0)
    return replace(here, name="" if memory else here.name, memory_bytes=found)


def devices_of(services: Services, place: str = "") -> list[DeviceFacts]:
    """What a recipe may be forecast for, with its memory: a place of the workers such as cuda:0, or each kind that they offer,
    the best first."""
    limit = main_memory(services.settings)
    found = [facts if facts.kind == "cuda" else replace(facts, memory_bytes=limit) for facts in facts_of(services, place)]
    return sorted(found, key=lambda facts: facts.kind != "cuda") or [DeviceFacts("cpu", memory_bytes=limit, bf16=True)]


def device_of(services: Services, place: str = "") -> DeviceFacts:
    """The best of these."""
    return devices_of(services, place)[0]


@dataclass(frozen=True)
class Question:
    """Everything that a forecast is made of: what the forecaster is asked, and what its answer is completed with."""

    recipe: Recipe
    folder: Path
    device: DeviceFacts
    known: Known
    learnt: Learnt
    rows: Rows
    ran: Sequence[Run]  # of this device

    @property
    def asked(self) -> tuple:
        return essence(self.recipe, self.known), self.folder, replace(self.device, name=""), self.known, self.learnt.correction

    def completed(self, found: Forecast) -> Forecast:
        found = replace(found, device_name=self.device.name, learnt_from=self.learnt.runs, basis=basis())
        return with_time(found, self.recipe, self.rows, self.ran)


def question_for(services: Services, recipe: Recipe, device: DeviceFacts, known: Known | None = None) -> Question:
    """What a forecast is made of; `known` where the data were read already. Raises a StudioError as forecast_for."""
    recipe = find_method(recipe.method).complete(recipe)
    folder = folder_of(services, recipe)
    known, rows = known or known_of(services, recipe), rows_of(services, recipe, folder)
    ran = services.runs.forecast_runs(device.kind, device.name) if device.name else []
    return Question(recipe, folder, device, replace(known, longest_row=known.longest_row or rows.longest), learn(ran), rows, ran)


def essence(recipe: Recipe, known: Known) -> Recipe:
    """The recipe without what changes nothing in a forecast, so that one that is written otherwise has the same answer."""
    chosen = recipe.dataset
    sources = ["-"] * len(chosen.source) if chosen.weights and not isinstance(chosen.source, str) else "-"
    chosen = chosen.model_copy(update={"source": sources, "format": known.format or chosen.format, "columns": {}, "group_by": "",
                                       "validation": 0.1 if known.evaluates else "none"})
    usual = {name: TrainingSettings.model_fields[name].default for name in WITHOUT_MEMORY}
    return recipe.model_copy(update={"name": "", "seed": 0, "dataset": chosen,
                                     "training": recipe.training.model_copy(update=usual)})


def forecast_for(services: Services, recipe: Recipe, place: str = "", device: DeviceFacts | None = None,
                 ask: Callable[..., Forecast] | None = None, known: Known | None = None) -> Forecast:
    """What a recipe takes at a place, with what its device's own runs have taught: all doors ask here.

    `ask` forecasts where torch is at hand in this process; else the forecaster does. Raises a StudioError where the base model
    cannot be read, or the method does not go with it.
    """
    question = question_for(services, recipe, device or device_of(services, place), known)
    return question.completed((ask or services.forecaster.ask)(*question.asked))
