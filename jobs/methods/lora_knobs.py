"""The settings of LoRA's variants. PEFT's own names for the same stay usable in a recipe, and win where both are given."""

from typing import Any, Literal

from pydantic import Field

from jobs.methods.lora_variants import PLAIN, VARIANTS

LOOKING = tuple(name for name, variant in VARIANTS.items() if variant.looks_at_rows)
ENDING = ["o_proj", "out_proj", "down_proj", "fc2", "c_proj", "wo"]  # layers that end an attention or a feed-forward part
BEGINNING = ["q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "query", "key", "value", "fc1", "c_fc", "c_attn"]


def knob(default: Any, variants: tuple[str, ...], title: str, help_text: str, **limits: Any) -> Any:
    """A setting of some variants, which the form hides with the others."""
    return Field(default, title=title, description=help_text, **limits,
                 json_schema_extra={"only_with": ["variant", list(variants)]})


KNOBS: dict[str, tuple[Any, Any]] = {
    "variant": (Literal[tuple(VARIANTS)], Field(
        PLAIN, title="Variant", description="Another way to start, to compute or to step. Plain is what everybody knows.",
        json_schema_extra={"shown": True, "titles": {name: variant.title for name, variant in VARIANTS.items()},
                           "about": {name: variant.does for name, variant in VARIANTS.items()}})),
    "calibration_rows": (int, knob(
        128, LOOKING, "Rows looked at", "So many training rows, spread over all of them, are looked at before the first step.",
        ge=1, le=100_000)),
    "pissa_iterations": (int, knob(
        0, ("pissa",), "Iterations", "0 takes weights apart exactly, slow on large models; 4 to 16 is quick and close.",
        ge=0, le=64)),
    "eva_rho": (float, knob(
        2.0, ("eva",), "Rank limit", "A layer may get so many times the rank; 1: all layers the same.", ge=1, le=16)),
    "eva_tau": (float, knob(
        0.99, ("eva",), "Settled at", "How alike directions must stay from batch to batch to be taken.", gt=0, lt=1)),
    "eva_whiten": (bool, knob(False, ("eva",), "Whiten", "Bring all directions to one strength.")),
    "corda_method": (Literal["ipm", "kpm"], knob(
        "ipm", ("corda",), "Mode", "ipm takes the directions that rows use most, and learns faster. kpm the least: keeps more.")),
    "lora_ga_direction": (Literal["ArB2r", "A2rBr", "ArBr", "random"], knob(
        "ArB2r", ("lora-ga",), "Directions", "Which of the gradient's directions go into which matrix.")),
    "lora_ga_scale": (Literal["stable", "weight_svd", "gd_scale", "unit"], knob(
        "stable", ("lora-ga",), "Scale", "How large the start is. Stable suits most models.")),
    "lora_ga_gamma": (int, knob(
        16, ("lora-ga",), "Gamma", "Of the stable scale: a larger one starts smaller.", ge=1, le=4096)),
    "loraplus_lr_ratio": (float, knob(
        16.0, ("lora-plus",), "Ratio", "How many times larger the second matrix's learning rate is. 4 to 16 is usual.",
        ge=1, le=1000)),
    "riemannian_damping": (float, knob(
        0.01, ("riemannian",), "Damping", "Keeps corrections within bounds while a matrix is nearly empty.", gt=0, le=10)),
    "alora_invocation": (str, knob(
        "", ("alora",), "Invocation", "The text from which on it speaks. Empty: what a chat template puts before an answer.",
        max_length=2000)),
    "velora_groups": (int, knob(
        64, ("velora",), "Groups", "Into how many groups activations are split; more is more exact and saves less.",
        ge=1, le=8192)),
    "velora_scale": (float, knob(
        1.0, ("velora",), "Strength", "Factor on the activations that are put together again.", gt=0, le=100)),
    "velora_init": (Literal["batch_average", "batch_average_once", "random"], knob(
        "batch_average", ("velora",), "Projection", "Along what a group is kept: each batch's mean, the first one's, or chance.")),
    "kasa_beta": (float, knob(1e-4, ("kasa",), "Strengths", "Penalty on the strengths of the directions.", ge=0, le=10)),
    "kasa_gamma": (float, knob(1e-3, ("kasa",), "Orthogonality", "Penalty that keeps the directions apart.", ge=0, le=10)),
    "monteclora_samples": (int, knob(
        8, ("monteclora",), "Samples", "Over how many disturbed matrices a step averages; more is smoother and slower.",
        ge=2, le=16)),
    "monteclora_scale": (float, knob(1e-4, ("monteclora",), "Disturbance", "How strong it is.", gt=0, le=1)),
    "monteclora_kl": (float, knob(
        1e-5, ("monteclora",), "Prior", "Penalty that keeps what is learned of the disturbance near to where it began.",
        ge=0, le=1)),
    "bdlora_blocks": (int, knob(
        2, ("bdlora",), "Blocks", "As many as devices that will serve it. It must divide the rank and the layers' sizes.",
        ge=1, le=64)),
    "bdlora_rows": (list[str], knob(
        ENDING, ("bdlora",), "Split by input", "Layers whose first matrix consists of blocks: those that end an attention or a "
        "feed-forward part.")),
    "bdlora_columns": (list[str], knob(
        BEGINNING, ("bdlora",), "Split by output", "Layers whose second matrix consists of blocks: those that begin such a part. "
        "Others stay plain.")),
    "trainable_token_indices": (list[int | str] | dict[str, list[int | str]] | None, Field(
        None, title="Trained tokens",
        description="Words or numbers of tokens whose embeddings are trained too, such as new special ones.")),
}
