"""A recipe's model as its training has it, of fake tensors: the base in its number format or bits, and the method on it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from jobs.forecast.place import kind, while_recomputing
from jobs.forecast.pretend import base_model, filled
from jobs.forecast.result import Known
from jobs.forecast.stacks import depth_of
from jobs.forecast.step import REFERENCE
from jobs.methods import find_method
from jobs.methods.building import build_config
from jobs.methods.full import FULL
from jobs.methods.special.base import PREFERENCES
from jobs.recipe import LABELLED, PEFT_TASKS, Recipe
from storage.problems import TrainingStopped

AUTO = {"text-generation": "AutoModelForCausalLM", "text-classification": "AutoModelForSequenceClassification",
        "token-classification": "AutoModelForTokenClassification", "sentence-similarity": "AutoModel"}
HEADS, POOLERS = {"classifier", "score"}, {"pooler"}
STEPS = 1000  # of a training, where a method's schedule asks: what it holds does not depend on them
SPECIAL, ROW, ROWS = 2, 32, 8  # special tokens, and rows of so many tokens, that stand for those of the data
NUMBERED = ("layers_to_transform", "rank_pattern", "alpha_pattern", "layer_replication", "train_last", "train_layers",
            "adapter_layers")  # settings that may treat one layer otherwise than the next


def config_for(recipe: Recipe, config, known: Known):
    """The base model's config, as the task's training changes it."""
    if recipe.task in LABELLED:
        config.num_labels = 1 if known.format == "regression" else known.labels
        if recipe.task == "text-classification":
            config.problem_type = "regression" if known.format == "regression" else "single_label_classification"
    if config.pad_token_id is None:
        config.pad_token_id = 0  # the tokenizer's; a head for labels looks for it
    config.use_cache = False
    return config


def model_of(recipe: Recipe, config, dtype: torch.dtype, context) -> torch.nn.Module:
    """The model of a step, ready for it; call it while pretending."""
    from jobs.training.base import TRAINED_WHOLE
    from jobs.training.lora.products import merge_products
    from jobs.training.weights import train_in_fp32

    base = base_model(config, AUTO[recipe.task], dtype, recipe.quantization, TRAINED_WHOLE if recipe.task in LABELLED else None)
    name_layers(base, recipe, context)
    model = whole(base, recipe, context) if recipe.method == FULL else with_adapter(base, recipe, context)
    if recipe.method == FULL and context.format in PREFERENCES:
        setattr(model, REFERENCE, [base_model(config, AUTO[recipe.task], dtype, "none", None).requires_grad_(False)])
    if recipe.method != FULL:
        train_in_fp32(model)
    if kind() == "cpu":
        merge_products(model)
    if recipe.training.gradient_checkpointing:
        model.gradient_checkpointing_enable(
            gradient_checkpointing_kwargs={"use_reentrant": False, "context_fn": while_recomputing})
    return model.train()


def name_layers(base, recipe: Recipe, context) -> None:
    """What the task trains whole beside the adapter, as the tasks' modules say it when weights are loaded."""
    if recipe.task not in LABELLED:
        return
    prefix = base.base_model_prefix
    added = {name.split(".")[0] for name, _ in base.named_parameters() if not name.startswith(f"{prefix}.")}
    context.new_modules = sorted(added - HEADS)
    inside = {name for name, _ in base.base_model.named_children()}
    context.modules_to_save = sorted(added | HEADS & {name for name, _ in base.named_children()}
                                     if recipe.task == "token-classification" else set(context.new_modules) | inside & POOLERS)


def whole(base, recipe: Recipe, context):
    from jobs.training.weights import choose_weights

    return choose_weights(base, find_method(FULL).read_settings(recipe.method_settings), context)


def with_adapter(base, recipe: Recipe, context):
    """As jobs.training.train.add_adapter; what a method does with rows changes values, and sizes seldom."""
    from peft import get_peft_model

    from jobs.training.lora.layers import freeze_first
    from jobs.training.weights import freeze_in_bits

    method, training = find_method(recipe.method), recipe.training
    context.model_type = base.config.model_type
    if recipe.quantization != "none":
        freeze_in_bits(base, training.gradient_checkpointing)
    elif training.gradient_checkpointing:
        base.enable_input_require_grads()
    settings = method.read_settings(recipe.method_settings)
    try:
        peft_config = build_config(method, settings, context, base)
        for name in ("num_layers", "adapter_layers"):
            if getattr(peft_config, name, None):
                setattr(peft_config, name, min(getattr(peft_config, name), depth_of(base.config)))
        if method.peft_type == "XLORA":
            base = method.special.before(base, peft_config, settings, context, context.rows)
        model = filled(get_peft_model(base, peft_config))
        method.special.opened(model)
        if getattr(settings, "variant", "") == "lora-fa":
            freeze_first(model)
    except (ValueError, TypeError, AttributeError, IndexError, KeyError, NotImplementedError, StopIteration) as error:
        raise TrainingStopped(f"{method.title} does not go with this base model and these settings: {error} Change method_settings "
                              "and run it again.") from error
    return model


def context_of(recipe: Recipe, known: Known, folder: Path | None) -> Any:
    """What a jobs.training.context.TrainingContext has, as far as a method's config needs it."""
    return SimpleNamespace(
        recipe=recipe, peft_task=PEFT_TASKS[recipe.task], base_path=folder, format=known.format, steps=STEPS, modules_to_save=[],
        new_modules=[], labels=[str(number) for number in range(known.labels)], model_type="", used_rows=set(), tokenizer=Words(),
        rows=Rows(), report=SimpleNamespace(say=lambda *words: None), device="cpu", checkpoint=None)


class Words:
    """A tokenizer for methods that name tokens: every text is as many as there are special ones."""

    all_special_ids = list(range(SPECIAL))
    added_tokens_decoder: dict = {}

    def __call__(self, text: str, **options) -> dict:
        return {"input_ids": self.all_special_ids}

    def decode(self, tokens) -> str:
        return ""

    def get_vocab(self) -> dict[str, int]:
        return {}


class Rows(list):
    """Rows for methods that look at some: the second half of each is its answer."""

    column_names = ("input_ids", "trained")

    def __init__(self):
        super().__init__([{"input_ids": list(range(ROW)), "trained": [ROW // 2, ROW]}] * ROWS)

    def select(self, numbers) -> list[dict]:
        return [self[number] for number in numbers]


def by_number(recipe: Recipe) -> bool:
    """Whether some layers of the stack are treated otherwise than the next, so that a few cannot stand for all."""
    settings = recipe.method_settings
    named = [settings.get(name) or [] for name in ("target_modules", "exclude_modules", "modules_to_save", "target_parameters")]
    names = [name for part in named for name in ([part] if isinstance(part, str) else part)]
    return any(settings.get(name) for name in NUMBERED) or any(piece.isdigit() for name in names for piece in name.split("."))
