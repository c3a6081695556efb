"""What an adapter's config may ask for: it can come from anywhere, and is looked at before anything is made of it."""

from pathlib import Path

from peft import PeftConfig
from torch import nn

from jobs.models.safetensors_header import read_header
from jobs.patterns import pattern_problem
from jobs.playground.problems import AdapterBroken, AdapterMisfit

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MAX_CONFIG_BYTES = 16 * 1024**2
LENGTHS = ("r", "init_r", "num_virtual_tokens", "num_vectors", "n_frequency")  # settings that make tensors as long as they say
SHORT = 1024  # of which no harm comes, whatever the weights beside the config hold


def adapter_type(config: PeftConfig) -> str:
    """PEFT's name for it, such as LORA."""
    return getattr(config.peft_type, "value", config.peft_type)


def check_config(folder: Path, config: PeftConfig, base_name: str, model: nn.Module) -> None:
    """Raise AdapterBroken or AdapterMisfit for one that asks for more than its weights hold, for other code, or for patterns
    that take for ever. `model` is the base model."""
    weights = read_header(folder / WEIGHTS)
    if getattr(config, "layer_replication", None):
        raise AdapterMisfit(folder, base_name, "it repeats layers of the base model (layer_replication), which the playground does "
                                               "not do")
    if getattr(config, "megatron_config", None):
        raise AdapterMisfit(folder, base_name, "it is made for Megatron (megatron_config), whose code the playground does not load")
    _check_sizes(folder, config, max((tensor.elements for tensor in weights.values()), default=0))
    if problem := pattern_problem(config, [name for name, _ in model.named_modules() if name]):
        raise AdapterBroken(folder, problem)


def _check_sizes(folder: Path, config: PeftConfig, largest: int) -> None:
    """Before tensors of those sizes are made."""
    lora = adapter_type(config) == "LORA"
    ranks = [config.r, *config.rank_pattern.values()] if lora else []
    if ranks and max(ranks) > largest:
        raise AdapterBroken(folder, f"its {CONFIG} says rank {max(ranks):,}, and its weights are not nearly as large")
    for name in () if lora else LENGTHS:
        if isinstance(value := getattr(config, name, None), int) and value > max(largest, SHORT):
            raise AdapterBroken(folder, f"its {CONFIG} says {value:,} for {name}, and its weights are not nearly as large")


def check_copies(folder: Path, config: PeftConfig, model: nn.Module) -> None:
    """Raise AdapterBroken where more of the model would be copied, to be replaced by the adapter's own, than its weights hold."""
    wanted = tuple(getattr(config, "modules_to_save", None) or ())
    copied = {id(weight): weight.numel() for name, module in model.named_modules() if wanted and name.endswith(wanted)
              for weight in module.parameters()}
    held = sum(tensor.elements for tensor in read_header(folder / WEIGHTS).values())
    if sum(copied.values()) > held:
        raise AdapterBroken(folder, f"its {CONFIG} replaces {sum(copied.values()):,} numbers of the base model (modules_to_save), "
                                    f"and its weights have {held:,}")
