"""Settings that many methods share, by the names of their PEFT configs: title, help and limits, written once."""

from typing import Any

SETTINGS: dict[str, tuple[str, str]] = {
    "r": ("Rank", "Adapter size. Higher can learn more and needs more memory."),
    "lora_alpha": ("Alpha", "How strongly the adapter speaks; its output is scaled by alpha / rank."),
    "alpha": ("Alpha", "How strongly the adapter speaks; its output is scaled by alpha / rank."),
    "lora_dropout": ("Dropout", "Share of adapter inputs dropped while training; against overfitting."),
    "rank_dropout": ("Rank dropout", "Share of the ranks dropped while training; against overfitting."),
    "module_dropout": ("Layer dropout", "Share of the adapter's layers left out at a step; against overfitting."),
    "target_modules": ("Layers",
                       "all-linear, or the names of the layers that get an adapter. Empty: the model family's usual ones."),
    "exclude_modules": ("Layers left out", "Names of layers that get no adapter although the setting above would give them one."),
    "target_parameters": ("Parameters", "Names of single weights that get an adapter, such as the experts of a mixture model."),
    "modules_to_save": ("Layers trained whole", "Names of layers that are trained in full beside the adapter and stored with it."),
    "layers_to_transform": ("Layer numbers", "Only these layers of the stack get an adapter, counted from 0. Empty: all."),
    "layers_pattern": ("Name of the stack",
                       "What the model calls its stack of layers, for the setting above. Empty: the usual names."),
    "bias": ("Biases", "Which biases are trained too: none, all, or those of the layers with an adapter."),
    "rank_pattern": ("Ranks by layer", "A rank of its own for some layers, by name or pattern."),
    "alpha_pattern": ("Alphas by layer", "An alpha of its own for some layers, by name or pattern."),
    "fan_in_fan_out": ("Transposed weights",
                       "For layers that store their weight turned over, as GPT-2's Conv1D. Set by PEFT where needed."),
    "init_weights": ("Start neutral", "Begin so that the first step starts at the base model."),
    "num_virtual_tokens": ("Virtual tokens", "How many vectors are learned. Each takes one token of the context."),
    "ensure_weight_tying": ("Keep ties", "Where the model uses one weight in two places, train both alike."),
}
SHARE: dict[str, Any] = {"ge": 0, "lt": 1}
LIMITS: dict[str, dict[str, Any]] = {
    "r": {"ge": 1, "le": 512}, "lora_alpha": {"gt": 0, "le": 4096}, "alpha": {"gt": 0, "le": 4096},
    "lora_dropout": SHARE, "rank_dropout": SHARE, "module_dropout": SHARE, "num_virtual_tokens": {"ge": 1, "le": 1024},
}
