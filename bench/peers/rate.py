"""What a device could do at most, and what a token of the work takes: `python -m bench.peers.rate WORK`.

`matrix_rate` is floating-point operations per second in products of large square matrices in bf16, the best of some; `operations`
those of the studio's training step for each token, by its forecast: products, attention, no rest.
"""

import json
import sys
import time
from pathlib import Path

import torch

from bench.peers import work
from jobs.devices import DeviceFacts
from jobs.forecast.forecast import forecast
from jobs.forecast.result import Known
from jobs.recipe import Recipe

SIDE = {"cuda": 8192, "cpu": 1024}
TRIES, IN_A_ROW = 5, 10


def matrix_rate(device: str) -> float:
    side = SIDE[device]
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    seconds = []
    for _ in range(TRIES):
        wait()
        began = time.perf_counter()
        for _ in range(IN_A_ROW):
            left @ right
        wait()
        seconds.append(time.perf_counter() - began)
    return 2 * side ** 3 * IN_A_ROW / min(seconds)


def operations(folder: Path, device: str) -> float:
    given = work.read(folder)
    recipe = Recipe.model_validate({
        "name": "rate", "base_model": str(folder / "base"), "dataset": {"source": "rows.jsonl", "validation": "none"},
        "method": "lora", "method_settings": {"r": work.RANK, "lora_alpha": work.ALPHA, "target_modules": "all-linear"},
        "quantization": "nf4" if given.nf4 else "none",
        "training": {"batch_size": given.batch, "max_length": given.max_length}})
    known = Known(format="prompt-completion", evaluates=False)
    found = forecast(recipe, folder / "base", DeviceFacts(device, bf16=True), known)
    return found.step_operations / found.step_tokens


def main(folder: Path) -> dict:
    device = "cuda" if work.read(folder).on_gpu else "cpu"
    return {"device": torch.cuda.get_device_name() if device == "cuda" else "cpu", "matrix_rate": matrix_rate(device),
            "operations": operations(folder, device)}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
