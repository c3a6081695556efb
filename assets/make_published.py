"""Writes jobs/methods/published.json: what fine-tuning took and reached in PEFT's own comparison, a row for each configuration.

    python -m assets.make_published [FILE]

reads ../shared/data/forecast/peft_llama32_3b_l40s.jsonl, or FILE, takes a second and always writes the same bytes.
"""

import json
import sys
from pathlib import Path

from storage.settings import REPOSITORY

FIGURES = REPOSITORY.parent / "shared" / "data" / "forecast" / "peft_llama32_3b_l40s.jsonl"
TARGET = REPOSITORY / "jobs" / "methods" / "published.json"
SOURCE = {
    "name": "huggingface/peft, method_comparison/MetaMathQA",
    "address": "https://github.com/huggingface/peft/tree/main/method_comparison/MetaMathQA",
    "licence": "Apache 2.0",
    "learnt": "MetaMathQA",
    "measured_on": "GSM8K",
}
ALIKE = ("model", "accelerator", "dtype", "batch_size", "max_seq_length", "max_steps", "gradient_checkpointing")  # in every row
MAIN = {  # the settings that a configuration is told by, where they are not its rank and alpha
    "ADALORA": ("init_r", "target_r"), "ADAMSS": ("r", "num_subspaces", "subspace_rank"),
    "ADAPTION_PROMPT": ("adapter_len", "adapter_layers"), "BEFT": (), "BOFT": ("boft_block_size", "boft_n_butterfly_factor"),
    "C3A": ("block_size",), "DEFT": ("r", "alpha", "decomposition_method", "para"), "DELORA": ("r", "delora_lambda"),
    "FOURIERFT": ("n_frequency", "scaling"), "GLORA": ("config_A_B", "config_C", "config_D_E"),
    "GRALORA": ("r", "alpha", "gralora_k"), "IA3": (), "LILY": ("r", "stride_A", "num_B", "scaling"), "LN_TUNING": (),
    "LOKR": ("r", "alpha", "decompose_factor"), "LORA": ("r", "lora_alpha", "use_rslora", "use_bdlora"),
    "MISS": ("r", "init_weights"), "PREFIX_TUNING": ("num_virtual_tokens", "init_weights"),
    "PROMPT_TUNING": ("num_virtual_tokens", "prompt_tuning_init"), "ROAD": ("variant", "group_size"), "TINYLORA": ("r", "u"),
    "TRAINABLE_TOKENS": ("token_indices",), "UNILORA": ("r", "theta_d_length"), "WAVEFT": ("n_frequency", "scaling"),
}
USUAL = ("r", "alpha", "lora_alpha")
FIGURE_NAMES = {"test_accuracy": "accuracy", "memory_reserved_max": "memory_bytes", "train_seconds": "seconds",
                "checkpoint_bytes": "checkpoint_bytes", "trainable_params": "trainable_parameters", "forgetting": "forgetting"}


def published(lines: list[str]) -> dict:
    """What the file holds of those lines."""
    rows = [json.loads(line) for line in lines]
    alike = {name: rows[0][name] for name in ALIKE}
    if any(row[name] != value for row in rows for name, value in alike.items()):
        raise ValueError(f"The rows differ in one of {', '.join(ALIKE)}, and the page says that they do not.")
    return {"source": {**SOURCE, **alike}, "rows": [compact(row) for row in rows]}


def compact(row: dict) -> dict:
    config, kind = row["peft_config"], row["peft_config"]["peft_type"]
    settings = {name: config.get(name) for name in (*MAIN.get(kind, USUAL), "target_modules")}
    settings["use_bdlora"] = bool(settings.get("use_bdlora"))
    if isinstance(settings["target_modules"], list):
        settings["target_modules"] = sorted(settings["target_modules"])
    return {"configuration": row["name"], "method": kind.lower().replace("_", "-"),
            "settings": {name: value for name, value in settings.items() if value not in (None, False)},
            "optimizer": row["optimizer"], "learning_rate": row["optimizer_kwargs"]["lr"],
            **{name: row["measured"][theirs] for theirs, name in FIGURE_NAMES.items()}}


def as_text(content: dict) -> str:
    """One line for each row, so that a change shows which."""
    rows = ",\n".join(f"    {json.dumps(row)}" for row in content["rows"])
    return f'{{\n  "source": {json.dumps(content["source"])},\n  "rows": [\n{rows}\n  ]\n}}\n'


if __name__ == "__main__":
    figures = Path(sys.argv[1]) if len(sys.argv) > 1 else FIGURES
    TARGET.write_text(as_text(published(figures.read_text("utf-8").splitlines())), "utf-8")
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")
