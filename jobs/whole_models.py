"""Folders with a whole model, as full fine-tuning leaves them, among the folders of adapters."""

import hashlib
from pathlib import Path

from jobs.models.hashing import file_sha256

MODEL_CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def is_whole_model(folder: Path) -> bool:
    """Whether a folder holds a model and not an adapter; a classifier's adapter has a config.json too."""
    return not (folder / ADAPTER_CONFIG).exists() and (folder / MODEL_CONFIG).is_file() and any(
        (folder / name).is_file() for name in WEIGHTS)


def weights_sha256(folder: Path) -> str:
    """One hash for the weights in all their files."""
    shards = sorted(folder.glob("model*.safetensors"))
    if len(shards) == 1:
        return file_sha256(shards[0])
    return hashlib.sha256("".join(file_sha256(shard) for shard in shards).encode()).hexdigest()
