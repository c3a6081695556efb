"""LoRA's variants: which settings go together, where they can be used, and what they need before and between the steps.

jobs.methods.lora_variants has what is said of each. What needs torch is in jobs.training.lora, imported where it is used.
"""

import importlib.util
from collections.abc import Iterator
from typing import Any

from jobs.methods.base import MethodSettings
from jobs.methods.lora_knobs import KNOBS
from jobs.methods.lora_variants import ANY, BITS, ONLY_FOR, VARIANTS, Variant, chosen, misfits, of_part
from jobs.methods.special.base import Special, put_back
from jobs.models.inspect import BaseModelFacts
from jobs.recipe import Recipe

TRANSPOSED = ("GPT2", "OpenAIGPT")  # families whose layers are Conv1D, which hold their weight turned over
UNTURNED = ("kasa", "bdlora", "olora")  # which cannot read such a weight
ADAMW = ("adamw_torch", "adamw_torch_fused")
CHOOSING = ("muon",)  # optimizers that sort the weights themselves
CHANGING = ("pissa", "olora", "corda", "lora_ga", "loftq")  # starts that change the base model
MOST_SAMPLES = 16  # of MonteCLoRA: beyond it, its prior leaves the numbers
EVERY_LINEAR = "all-linear"


class LoraSpecial(Special):
    """LoRA and QLoRA. Variants that need rows, or that change the base, do their work in `before` and `after`."""

    settings = KNOBS
    variants: dict[str, Variant] = VARIANTS

    def check(self, settings: MethodSettings) -> list[str]:
        return [*misfits(settings), *_wrong_with_variants(settings), *_wrong_with_layers(settings)]

    def refuse(self, settings: MethodSettings, recipe: Recipe, facts: BaseModelFacts) -> list[str]:
        names = chosen(settings)
        problems = super().refuse(settings, recipe, facts)
        problems += [why for variant in names.values() if (why := why_not_on(variant, recipe, facts))]
        if "alora" in names:
            problems += _refuse_alora(recipe)
        return [*problems, *_refuse_base(settings, facts), *_refuse_optimizer(of_part(settings, "step"), recipe),
                *unknown_tokens(settings, facts)]

    # ---- from settings to a model

    def values(self, settings: MethodSettings, values: dict, context) -> dict:
        from jobs.training.lora.settings import tokens_of, variant_values

        values = {**values, **variant_values(settings, context)}
        if settings.trainable_token_indices:
            values["trainable_token_indices"] = tokens_of(settings.trainable_token_indices, context.tokenizer)
        return values

    def before(self, base, config, settings: MethodSettings, context, rows) -> Any:
        from jobs.training.lora.before import before

        return before(base, config, settings, context, rows)

    def after(self, model, settings: MethodSettings, context, rows) -> None:
        from jobs.training.lora.starts import after

        after(model, settings, context, rows)

    # ---- while it trains

    def penalty(self, model, settings: MethodSettings) -> Any:
        """What KaSA and MonteCLoRA add to the loss."""
        config = model.active_peft_config
        if config.kasa_config is not None:
            return model.base_model._get_kasa_loss()
        return model.base_model._get_monteclora_loss() if config.monteclora_config is not None else None

    def optimizer(self, model, settings: MethodSettings, arguments) -> Any:
        from jobs.training.lora.steps import optimizer_of

        return optimizer_of(of_part(settings, "step"), model, settings, arguments)

    # ---- on the disk

    def state(self, model) -> dict[str, Any] | None:
        from jobs.training.lora.changed_base import own_state

        return own_state(model)

    def restore(self, model, state: dict[str, Any]) -> None:
        put_back(model, state)

    def refuse_start(self, config: dict) -> str:
        if config.get("kasa_config"):
            return "It threw directions of the base model's weights away when it began."
        start = str(config.get("init_lora_weights")).lower()
        return "It fits only the base model that its start has changed. Save it with PEFT's conversion to plain LoRA first." \
            if start.startswith(CHANGING) else ""

    def writes_into_base(self, config) -> bool:
        """A start that PEFT would make anew, in adapters from elsewhere: ours are saved so that they leave the base as it is."""
        start = str(config.init_lora_weights).lower()
        return start.startswith(CHANGING) or config.kasa_config is not None

    def describe_variants(self) -> list[dict]:
        return [{"name": variant.name, "title": variant.title, "does": variant.does, "choose_when": variant.choose_when,
                 "paper": variant.paper, "needs": variant.needs, "settings": [name for name in variant.knobs if name in KNOBS],
                 "quantizations": [] if variant.cannot else list(variant.bases),
                 "merge": not variant.no_merge and not variant.cannot,
                 "reasons": [why for why in (variant.cannot, variant.not_there, variant.no_merge) if why]}
                for variant in VARIANTS.values()]

    def kind_of(self, settings: MethodSettings) -> str:
        return ", ".join(variant.title for variant in chosen(settings).values())

    def kept_settings(self, settings: MethodSettings) -> dict:
        """How steps are taken is not part of an adapter."""
        step = of_part(settings, "step")
        return {name: getattr(settings, name) for name in ("variant", *VARIANTS[step].knobs)} if step else {}


# ---- settings among themselves


def _wrong_with_variants(settings: MethodSettings) -> Iterator[str]:
    names = chosen(settings)
    for variant in names.values():
        if variant.cannot:
            yield f"method_settings chooses {variant.title}, which cannot run here. {variant.cannot} Choose another one."
    for name, variant in ONLY_FOR.items():
        if getattr(settings, name) is not None and variant not in names:
            yield (f"method_settings.{name} is given, and {VARIANTS[variant].title} is not chosen. Set variant to {variant}, or "
                   "take it out.")
    if settings.corda_config is not None and (settings.corda_config.cache_file or settings.corda_config.covariance_file):
        yield ("method_settings.corda_config names files, which the studio neither reads nor writes. Take cache_file and "
               "covariance_file out.")
    if "orthogonal" in names and (odd := [rank for rank in ranks_of(settings) if rank % 2]):
        yield f"method_settings.r is {odd[0]}, and the orthogonal start needs even ranks. Set it to {odd[0] + 1}."
    if "bdlora" in names and (wrong := [rank for rank in ranks_of(settings) if rank % blocks_of(settings)]):
        yield (f"method_settings.r is {wrong[0]}, and it cannot be split into {blocks_of(settings)} blocks. Set bdlora_blocks to a "
               "number that divides it.")
    if settings.monteclora_config is not None and (count := settings.monteclora_config.num_samples) > MOST_SAMPLES:
        yield (f"method_settings.monteclora_config.num_samples is {count}, and beyond {MOST_SAMPLES} its loss leaves the numbers. "
               "Lower it.")


def _wrong_with_layers(settings: MethodSettings) -> Iterator[str]:
    start, layer, step = (of_part(settings, part) for part in ("start", "layer", "step"))
    if settings.lora_bias:
        other = start or next((name for name in (layer, step) if name in ("dora", "lora-fa")), "")
        if other or settings.init_lora_weights not in (True, False):
            yield f"method_settings.lora_bias is on, and it does not go with {title_of(other) or 'this start'}. Switch it off."
    if settings.target_parameters:
        for wrong, why, what_to_do in (
                (settings.lora_dropout, "take no dropout", "Set lora_dropout to 0."),
                (settings.lora_bias, "take no bias", "Switch lora_bias off."),
                (start or layer, f"cannot be adapted with {title_of(start or layer)}", "Choose the plain variant.")):
            if wrong:
                yield f"method_settings.target_parameters is given, and single weights {why}. {what_to_do}"
    if settings.layers_pattern and settings.layers_to_transform is None:
        yield "method_settings.layers_pattern is given without layers_to_transform. Give the numbers of the layers too."
    layers = settings.target_modules
    if settings.layers_to_transform is not None and isinstance(layers, str) and layers.lower() != EVERY_LINEAR:
        yield (f"method_settings.layers_to_transform is given, and target_modules is the pattern '{layers}'. Name the layers in a "
               "list, or all-linear, or put the numbers into the pattern.")


def title_of(name: str) -> str:
    return VARIANTS[name].title if name in VARIANTS else name


def ranks_of(settings: MethodSettings) -> list[int]:
    return [settings.r, *(rank for rank in (settings.rank_pattern or {}).values() if isinstance(rank, int))]


def blocks_of(settings: MethodSettings) -> int:
    return settings.use_bdlora.nblocks if settings.use_bdlora is not None else settings.bdlora_blocks


# ---- with a base model and a task


def why_not_on(variant: Variant, recipe: Recipe, facts: BaseModelFacts) -> str:
    """Why a variant cannot be trained on that base, held as the recipe says or stored as it is; empty where it can."""
    chooses = f"method_settings chooses {variant.title}. {variant.not_there}"
    if recipe.quantization != "none":
        if recipe.quantization in variant.bases:
            return ""
        return f"quantization is '{recipe.quantization}', and {chooses} Set quantization to none, or choose another variant."
    if facts.quantization:
        if facts.quantization in variant.bases or variant.bases == ANY:
            return ""
        if variant.bases == BITS:
            chooses = f"method_settings chooses {variant.title}. It looks for what few bits lose in the weights in full."
        stored = f"base_model '{recipe.base_model}' is stored in few bits ({facts.quantization})"
        return f"{stored}, and {chooses} Choose another variant."
    if "none" in variant.bases or variant.cannot:
        return ""
    instead = "Choose such a base model" if "gptq" in variant.bases else "Set quantization to nf4"
    return f"quantization is 'none', and {chooses} {instead}, or choose another variant."


def _refuse_base(settings: MethodSettings, facts: BaseModelFacts) -> Iterator[str]:
    names, start = chosen(settings), of_part(settings, "start")
    if "qalora" in names and facts.quantization == "gptq" and not importlib.util.find_spec("gptqmodel"):
        yield ("method_settings chooses QA-LoRA, and the package gptqmodel, which opens base models in GPTQ, is not installed. "
               "Install it, or choose another variant.")
    if start in UNTURNED and facts.architecture.startswith(TRANSPOSED):
        yield (f"method_settings chooses {title_of(start)}, and layers of {facts.architecture} hold their weight turned over, "
               "which it cannot read. Choose another variant.")
    if facts.hidden_size and (rank := max(ranks_of(settings))) > (most := most_rank(settings, start, facts.hidden_size)):
        yield (f"method_settings.r is {rank}, and {title_of(start)} takes at most {most} on this base model, whose layers are "
               f"{facts.hidden_size} wide. Lower it.")


def most_rank(settings: MethodSettings, start: str, width: int) -> int:
    """The highest rank that a start can have in a layer of that width."""
    match start:
        case "eva":
            rho = settings.eva_config.rho if settings.eva_config is not None else settings.eva_rho
            return int(width / 2 / rho)  # directions are looked for among twice as many
        case "lora-ga":
            return width // 2
        case "kasa":
            return width - 1
        case "pissa" | "olora" | "corda" | "mica":
            return width
    return max(ranks_of(settings))


def _refuse_alora(recipe: Recipe) -> Iterator[str]:
    if recipe.task != "text-generation":
        yield (f"method_settings chooses aLoRA, which serves text generation only, and task is '{recipe.task}'. Choose another "
               "variant.")
    if recipe.training.packing:
        yield ("training.packing is on, and of several examples in one row aLoRA would speak in the last one only. Switch it off.")
    if recipe.training.gradient_checkpointing:
        yield ("training.gradient_checkpointing is on, and with it PEFT's aLoRA can be trained but not measured. Switch it off.")


def _refuse_optimizer(step: str, recipe: Recipe) -> Iterator[str]:
    optimizer = recipe.training.optimizer
    if step == "lora-fa" and optimizer not in ADAMW:
        yield f"training.optimizer is '{optimizer}', and LoRA-FA brings an AdamW of its own. Set it to {ADAMW[0]}."
    elif step and optimizer in CHOOSING:
        yield (f"training.optimizer is '{optimizer}', and {title_of(step)} needs one that takes the weights as they are sorted. "
               f"Set it to {ADAMW[0]}.")


def unknown_tokens(settings: MethodSettings, facts: BaseModelFacts) -> Iterator[str]:
    """Numbers that no token of the base model has."""
    given, size = settings.trainable_token_indices or [], facts.vocab_size
    numbers = [number for part in (given.values() if isinstance(given, dict) else [given]) for number in part]
    wrong = [number for number in numbers if isinstance(number, int) and size and not 0 <= number < size]
    if wrong:
        yield (f"method_settings.trainable_token_indices has {wrong[0]}, and the base model's tokens have the numbers 0 to "
               f"{size - 1}. Choose one of these.")


SPECIAL = LoraSpecial()
