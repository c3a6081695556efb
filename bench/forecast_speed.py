"""How long a forecast takes for a large model, with every method of the catalogue.

On the shapes of Llama-3.2-3B and Llama-3.1-70B in bf16 with a batch of four rows of 512 tokens; torch is imported before, as in the
studio's forecaster. Told is the time of one forecast that nobody has asked before.

Bars: at most 2 s for 3 billion parameters and 4 s for 70 billion, with each method.
"""

import statistics
import tempfile
import time
import warnings
from pathlib import Path

MOST = {"3B": 2.0, "70B": 4.0}  # seconds
LLAMA = {"vocab_size": 128_256, "num_key_value_heads": 8, "max_position_embeddings": 131_072}
SHAPES = {
    "3B": LLAMA | {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24,
                   "tie_word_embeddings": True},
    "70B": LLAMA | {"hidden_size": 8192, "intermediate_size": 28_672, "num_hidden_layers": 80, "num_attention_heads": 64,
                    "tie_word_embeddings": False},
}
EXPERTS = (8, 16)  # ranks of the LoRA adapters that X-LoRA mixes


def measure(arguments: list[str]) -> dict:
    """All methods, or those named."""
    from jobs.methods import METHODS

    warnings.filterwarnings("ignore")
    names = arguments or list(METHODS)
    with tempfile.TemporaryDirectory() as folder:
        seconds_of("lora", "3B", Path(folder))  # what it imports, it imports once
        found = {name: {size: seconds_of(name, size, Path(folder)) for size in SHAPES} for name in names}
    times = {size: [seconds[size] for seconds in found.values()] for size in SHAPES}
    return {
        "passed": all(max(times[size]) <= MOST[size] for size in SHAPES), "methods": len(found),
        "median_seconds": {size: round(statistics.median(times[size]), 2) for size in SHAPES},
        "longest_seconds": {size: round(max(times[size]), 2) for size in SHAPES},
        "table": {"columns": ["method", *(f"{size}, seconds" for size in SHAPES)],
                  "rows": [[name, *(f"{value:.2f}" for value in seconds.values())] for name, seconds in found.items()]}}


def seconds_of(method: str, size: str, folder: Path) -> float:
    from transformers import LlamaConfig

    from jobs.devices import DeviceFacts
    from jobs.forecast.forecast import forecast
    from jobs.forecast.result import Known
    from jobs.recipe import Recipe

    settings = {"experts": experts(folder)} if method == "xlora" else {}
    recipe = Recipe.model_validate({
        "name": "speed", "base_model": "some/model", "dataset": {"source": "rows.csv"},
        "method": method, "method_settings": settings,
        "training": {"max_steps": 100, "batch_size": 4, "max_length": 512, "base_precision": "bf16"}})
    config = LlamaConfig(**SHAPES[size])
    began = time.perf_counter()
    forecast(recipe, config, DeviceFacts("cuda", bf16=True), known=Known(format="text", longest_row=512))
    return time.perf_counter() - began


def experts(folder: Path) -> list[str]:
    """Folders with the configs of two LoRA adapters."""
    from peft import LoraConfig

    for rank in EXPERTS:
        LoraConfig(task_type="CAUSAL_LM", r=rank, target_modules=["q_proj", "v_proj"]).save_pretrained(folder / str(rank))
    return [str(folder / str(rank)) for rank in EXPERTS]
