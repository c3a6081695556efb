"""LoRA adapters routed token by token: Arrow picks in every layer those whose largest change lies in the direction of the token.

Ostapenko et al. 2024, "Towards Modular LLMs by Building and Reusing a Library of LoRAs"; PEFT's implementation, on the shared base.
"""

import copy

import torch
from peft import ArrowConfig, LoraConfig, PeftModel

from jobs.playground.models import Answerer, LoadedBase
from jobs.playground.problems import ArrowRefused
from jobs.playground.request import Arrow

ROUTER = "arrow_router"  # by this name PEFT tells it from the adapters
SEED = 42  # of the search for each adapter's direction, which finds the same from anywhere


def arrow_model(loaded: LoadedBase, arrow: Arrow) -> PeftModel:
    """The adapters and their router on the base model's shared weights; raises ArrowRefused, AdapterBroken or AdapterMisfit.

    PEFT's create_arrow_model would read each adapter without the checks that an answerer has gone through.
    """
    parts = [loaded.answerer(folder) for folder in arrow.adapter_folders]
    layers, rank = _checked(loaded, arrow, parts)
    configs = [copy.deepcopy(part.model.active_peft_config) for part in parts]
    names = [f"task_{number}" for number in range(len(parts))]
    tree = copy.deepcopy(loaded.model, dict(loaded.shared))
    model = PeftModel.from_pretrained(tree, arrow.adapter_folders[0], adapter_name=names[0], config=configs[0])
    for name, folder, config in zip(names[1:], arrow.adapter_folders[1:], configs[1:], strict=True):
        model.load_adapter(str(folder), name, peft_config=config)
    router = ArrowConfig(top_k=min(arrow.top_k, len(parts)), router_temperature=arrow.temperature, rng_seed=SEED)
    router.task_adapter_names, router.gks_adapter_names = names, []
    with torch.random.fork_rng(devices=[]):  # the router gets matrices of its own, which nothing reads
        model.add_adapter(ROUTER, LoraConfig(arrow_config=router, target_modules=layers, r=rank))
    model.set_adapter(ROUTER, inference_mode=True)
    return model.eval()


def _checked(loaded: LoadedBase, arrow: Arrow, parts: list[Answerer]) -> tuple[list[str], int]:
    """The layers that all adapters change, and their rank."""
    if loaded.one_by_one:
        raise ArrowRefused("the base model is held in 8 bits. Load it whole")
    for folder, part in zip(arrow.adapter_folders, parts, strict=True):
        if not part.parts:
            raise ArrowRefused(f"'{folder}' is no plain LoRA adapter. Take it away")
    if len({frozenset(part.parts) for part in parts}) > 1:
        raise ArrowRefused("they change different layers. Take those that change the same ones")
    ranks = {len(matrices.down) for part in parts for matrices in part.parts.values()}
    if len(ranks) > 1:
        raise ArrowRefused(f"they have ranks of {' and '.join(map(str, sorted(ranks)))}, and Arrow needs one. Take others")
    return sorted(parts[0].parts), ranks.pop()
