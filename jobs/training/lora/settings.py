"""From the settings of LoRA's variants to PEFT's config."""

import json
from typing import Any

from peft.tuners.lora.config import (
    BdLoraConfig,
    CordaConfig,
    EvaConfig,
    KasaConfig,
    LoraGAConfig,
    MontecloraConfig,
    VeloraConfig,
)

from jobs.methods.base import MethodSettings
from jobs.methods.lora_variants import chosen
from jobs.methods.special.selective import tokens_named
from jobs.training.context import TrainingContext
from jobs.training.lora.layers import CONFIG

NESTED = ("velora_config", "kasa_config", "monteclora_config", "use_bdlora")


def variant_values(settings: MethodSettings, context: TrainingContext) -> dict[str, Any]:
    """The fields of PEFT's config that the chosen variants decide.

    Those that take something out of the base begin as plain LoRA here: `after` does it, once the adapter has its number format.
    """
    names, values = chosen(settings), {}
    for variant in names.values():
        values |= variant.sets
        if variant.moves_base or variant.name == "loftq":
            values["init_lora_weights"] = True
    given = {name: getattr(settings, name).model_dump() for name in NESTED if getattr(settings, name) is not None}
    if "eva" in names:
        values["eva_config"] = EvaConfig(**settings.eva_config.model_dump()) if settings.eva_config is not None else EvaConfig(
            rho=settings.eva_rho, tau=settings.eva_tau, whiten=settings.eva_whiten)
        if context.checkpoint:  # the ranks that were found
            saved = json.loads((context.checkpoint / CONFIG).read_text("utf-8"))
            values |= {name: saved[name] for name in ("target_modules", "rank_pattern", "alpha_pattern")}
            values |= {"init_lora_weights": True, "eva_config": None}
    if "velora" in names:
        values["velora_config"] = VeloraConfig(**given.get("velora_config", {
            "num_groups": settings.velora_groups, "scale": settings.velora_scale, "init_type": settings.velora_init}))
    if "kasa" in names:
        values["kasa_config"] = KasaConfig(**given.get("kasa_config", {"beta": settings.kasa_beta, "gamma": settings.kasa_gamma}))
    if "monteclora" in names:
        # a buffer holds noise for many steps: 150, as PEFT has it, take more memory than the model, and are lost when a run goes on
        values["monteclora_config"] = MontecloraConfig(**{**given.get("monteclora_config", {
            "num_samples": settings.monteclora_samples, "sample_scaler": settings.monteclora_scale,
            "kl_loss_weight": settings.monteclora_kl}), "buffer_size": 1})
    if "bdlora" in names:
        values["use_bdlora"] = BdLoraConfig(**given.get("use_bdlora", {
            "target_modules_bd_a": settings.bdlora_rows, "target_modules_bd_b": settings.bdlora_columns,
            "nblocks": settings.bdlora_blocks, "match_strict": False}))
    return values


def tokens_of(given: list | dict, tokenizer) -> list[int] | dict[str, list[int]]:
    """The numbers of tokens that are named by number or as text, for the input embeddings or for each layer named."""
    if isinstance(given, dict):
        return {layer: tokens_named(part, tokenizer) for layer, part in given.items()}
    return tokens_named(given, tokenizer)


def corda_config(settings: MethodSettings) -> CordaConfig:
    given = settings.corda_config
    return CordaConfig(**given.model_dump()) if given is not None else CordaConfig(corda_method=settings.corda_method)


def lora_ga_config(settings: MethodSettings) -> LoraGAConfig:
    given = settings.lora_ga_config
    return LoraGAConfig(**given.model_dump()) if given is not None else LoraGAConfig(
        direction=settings.lora_ga_direction, scale=settings.lora_ga_scale, stable_gamma=settings.lora_ga_gamma)


def pissa_way(settings: MethodSettings) -> str:
    """As PEFT writes it."""
    if isinstance(settings.init_lora_weights, str) and settings.init_lora_weights.startswith("pissa_niter_"):
        return settings.init_lora_weights
    return f"pissa_niter_{settings.pissa_iterations}" if settings.pissa_iterations else "pissa"
