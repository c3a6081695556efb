"""A studio in a folder of its own, with tiny base models and rows to learn by heart: methods are tried there for real."""

import contextlib
import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoConfig

from jobs import checkpoints, tiny_models
from jobs.continuing import check_same_base
from jobs.export import checked_zip
from jobs.methods import find_method
from jobs.methods.base import TrainingMethod
from jobs.playground.models import AUTO_CLASSES, LoadedBase
from jobs.playground.request import BaseChoice
from jobs.preparing.prepare import prepare
from jobs.recipe import LABELLED, Recipe
from jobs.services import open_services
from jobs.submit import check_recipe, run_record
from jobs.training.base import keep_layout, quantization_config
from jobs.training.context import TrainingContext
from jobs.training.process import finish
from jobs.training.report import Report
from jobs.training.tasks import load_task
from jobs.training.train import Outcome, attempt_folder, train
from jobs.training.watch import load_weights
from storage.records import Run, RunState
from storage.settings import StudioSettings

STEPS, ROWS = 8, 8
ANSWER_TOKENS = 3
STILL = {"positions": 512, "spread": 0.1, "dropout": 0.0}  # room for the longest learned prompt, layers with a say, no chance
FAMILIES: dict[str, Callable[[Path], Path]] = {
    "llama": partial(tiny_models.make_tiny_llama, key_value_heads=4, **STILL),
    "bert": partial(tiny_models.make_tiny_bert, **STILL), "gpt2": partial(tiny_models.make_tiny_gpt2, **STILL)}
WORDS = ["apple", "river", "stone", "cloud", "lamp", "bread", "train", "glass"]
FORMATS = {"text-generation": "messages", "text-classification": "classification", "token-classification": "tokens",
           "sentence-similarity": "pairs"}


@dataclass
class Trained:
    """What one training left: the model in memory, the adapter on the disk, and some rows to ask both."""

    recipe: Recipe
    family: str
    run: Run
    outcome: Outcome
    batch: dict[str, torch.Tensor]
    losses: list[float]  # of every step, over all rows
    checkpoint: Path

    @property
    def model(self):
        return self.outcome.model

    @cached_property
    def answers(self) -> torch.Tensor:
        """What the model in memory makes of the batch, as it was when this was asked first."""
        return Workshop.answers(self.model, self.batch)


class Workshop:
    def __init__(self, home: Path):
        self.home = home
        self.services = open_services(StudioSettings.from_env({"STUDIO_HOME": str(home / "studio")}))
        self._known: dict = {}
        self._playgrounds: dict[BaseChoice, LoadedBase] = {}

    def base(self, family: str) -> Path:
        folder = self.home / "bases" / family
        return folder if folder.is_dir() else FAMILIES[family](folder)

    def rows(self, task: str) -> Path:
        path = self.home / f"{task}.jsonl"
        if not path.is_file():
            path.write_text("".join(json.dumps(row) + "\n" for row in rows_for(task)), "utf-8")
        return path

    def settings_for(self, method: TrainingMethod) -> dict:
        """Where those that a method has by itself do not suffice."""
        match method.peft_type:
            case "TRAINABLE_TOKENS":
                return {"token_indices": list(range(len(tiny_models.SPECIAL), 100))}
            case "XLORA":
                return {"experts": self.experts}
            case "CPT":  # whose shifts are kept very small by themselves
                return {"opt_projection_epsilon": 50, "opt_projection_format_epsilon": 50}
        return {}

    @cached_property
    def experts(self) -> list[str]:
        """Two finished LoRA runs on the tiny Llama."""
        return [self.train(find_method("lora"), max_steps=steps).run.id for steps in (2, 4)]

    def train(self, method: TrainingMethod, task: str = "text-generation", family: str = "llama", quantization: str = "none",
              **training) -> Trained:
        """Train by a recipe as the studio does, to the adapter and its zip. What goes wrong is raised as it comes."""
        recipe = replace(method, tried={}).complete(Recipe.model_validate({
            "name": f"{method.name} {task}", "base_model": str(self.base(family)), "task": task, "method": method.name,
            "dataset": {"source": str(self.rows(task)), "format": FORMATS[task], "validation": "none"},
            "method_settings": self.settings_for(method), "quantization": quantization, "seed": 1,
            "training": {"max_steps": STEPS, "batch_size": ROWS, "schedule": "constant", "warmup": 0, "max_length": 64,
                         "eval_steps": 1000, "keep_best": False, **training}}))
        checked = check_recipe(self.services, recipe, self._known)
        run = self.services.runs.submit(**run_record(checked))
        run = self.services.leases.claim(run.id, "workshop")
        run_dir = self.services.settings.runs_dir / run.id
        run_dir.mkdir(parents=True)
        report = Report(self.services, run, run_dir, memory=dict)
        report.start()
        try:
            base_path, base_hash = check_same_base(self.services, run)
            report.change(base={**run.base, "sha256": base_hash})
            context = TrainingContext(
                recipe=checked.recipe, task=load_task(task), format=checked.data.format, device="cpu", precision="fp32",
                base_path=base_path, attempt_dir=attempt_folder(run_dir, run.fence), report=report, labels=checked.data.labels,
                prepared_dir=self.services.settings.prepared_dir, sample_tokens=ANSWER_TOKENS)
            with (run_dir / "log.txt").open("w") as log, contextlib.redirect_stdout(log):
                outcome = train(context, checked.train, checked.train, time.monotonic())
                finish(self.services, run, run_dir, outcome, report)
        except BaseException as error:
            report.stop()
            self.services.leases.end(run.id, run.fence, RunState.FAILED, problem=str(error))
            raise
        rows, _ = prepare(checked.train, context)
        batch = context.task.collator(context)([rows[number] for number in range(4)])
        batch.pop("labels", None)
        losses = [point.value for point in self.services.runs.metrics(run.id, ["loss"])]
        return Trained(checked.recipe, family, self.services.runs.get(run.id), outcome, batch, losses,
                       checkpoints.newest(run_dir / "checkpoints"))

    def unpacked(self, trained: Trained) -> Path:
        """The folder that the zip of the adapter gives, once every file in it was found to be what its record says."""
        folder = self.home / "unpacked" / trained.run.id
        if not folder.is_dir():
            with zipfile.ZipFile(checked_zip(self.services, self.services.adapters.get(trained.run.id))) as archive:
                archive.extractall(folder)
        return folder

    def saved_otherwise(self, trained: Trained) -> Path:
        """A second adapter of the same kind: the first one with noise in what was learned. It stays in the model."""
        folder = self.home / "second" / trained.run.id
        noise = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for weight in trained.model.parameters():
                if weight.requires_grad:
                    spread = float(weight.std()) if weight.numel() > 1 else 0.0
                    weight.add_(torch.randn(weight.shape, generator=noise) * (0.3 * spread + 0.03))
        trained.model.save_pretrained(folder)
        return folder

    def plain_base(self, trained: Trained, folder: Path):
        """The base model as somebody without the studio loads it for the adapter in a folder."""
        recipe = trained.recipe
        head = {"config": AutoConfig.from_pretrained(folder)} if recipe.task in LABELLED else {}
        few_bits = quantization_config(recipe.quantization, torch.float32, recipe.task)
        base = AUTO_CLASSES[recipe.task].from_pretrained(
            self.base(trained.family), quantization_config=few_bits, device_map={"": "cpu"} if few_bits else None, **head)
        keep_layout(base)  # bitsandbytes' own kernels for some processors round to bf16
        if find_method(recipe.method).peft_type == "XLORA":
            base.config.use_cache = False  # PEFT insists on it
        return base

    def plain(self, trained: Trained, folder: Path) -> PeftModel:
        """The adapter on it, opened from its own folder: some have others beside them."""
        with contextlib.chdir(folder):
            return PeftModel.from_pretrained(self.plain_base(trained, folder), ".").eval()

    def plain_batch(self, trained: Trained) -> dict[str, torch.Tensor]:
        """The batch with what PEFT wants to be told beside it, where the studio tells it by itself: the tasks of the rows."""
        if not find_method(trained.recipe.method).special.by_task:
            return trained.batch
        return {**trained.batch, "task_ids": torch.zeros(len(trained.batch["input_ids"]), dtype=torch.long)}

    def in_playground(self, trained: Trained, folder: Path):
        """The model that the playground asks, on weights that all adapters of that base share."""
        return self.playground(trained).answerer(folder).model

    def playground(self, trained: Trained) -> LoadedBase:
        """The base model as the playground holds it, one for all adapters of that base."""
        choice = BaseChoice(base_path=self.base(trained.family), base_name=trained.family, task=trained.recipe.task,
                            quantization=trained.recipe.quantization)
        if choice not in self._playgrounds:
            self._playgrounds[choice] = LoadedBase(choice, "cpu")
        return self._playgrounds[choice]

    @staticmethod
    def load_checkpoint(trained: Trained) -> None:
        """Into the model in memory."""
        load_weights(trained.model, trained.checkpoint)

    @staticmethod
    @torch.no_grad()
    def answers(model, batch: dict[str, torch.Tensor], **options) -> torch.Tensor:
        """What a model makes of a batch: its logits, or its vectors where it has no head."""
        was_training = model.training
        model.eval()
        output = model(**batch, **options)
        model.train(was_training)
        return (output.logits if "logits" in output else output.last_hidden_state).float()

    @staticmethod
    def difference(some: torch.Tensor, others: torch.Tensor) -> float:
        """The largest one; infinite where the shapes differ."""
        return float((some - others).abs().max()) if some.shape == others.shape else float("inf")


def rows_for(task: str) -> list[dict]:
    """A few short rows, which hold nothing that is not learned within some steps."""
    match task:
        case "text-generation":
            return [{"messages": [{"role": "user", "content": f"Say {word}"}, {"role": "assistant", "content": f"{word}!"}]}
                    for word in WORDS]
        case "text-classification":
            return [{"text": f"{'good' if number % 2 else 'bad'} {word}", "label": "up" if number % 2 else "down"}
                    for number, word in enumerate(WORDS)]
        case "token-classification":
            return [{"tokens": ["a", word], "tags": ["O", "B-thing" if number % 2 else "B-other"]}
                    for number, word in enumerate(WORDS)]
        case _:
            return [{"anchor": f"what is a {word}?", "positive": f"a {word}"} for word in WORDS]
