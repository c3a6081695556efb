"""The adapters that X-LoRA mixes, by their configs alone: as they are where they are there, else as LoRA is by default."""

from pathlib import Path
from types import SimpleNamespace

from jobs.methods import find_method
from jobs.methods.building import build_config
from jobs.methods.special.xlora import CONFIG

LEAST = 2  # adapters are needed for a mixture


def named(special, settings, context) -> list[str]:
    """In place of copies of the experts' folders: what the recipe calls them, which need not be there yet."""
    return settings.experts or [""] * LEAST


def put_in(lora_model, adapter_name: str, model_id: str, autocast_adapter_dtype: bool = True, **options) -> None:
    """In place of PEFT's loading: the expert's layers, without its weights."""
    config = config_of(model_id, lora_model.model.config.model_type)
    config.inference_mode = False
    lora_model.peft_config[adapter_name] = config
    lora_model.inject_adapter(lora_model.model, adapter_name)
    lora_model._cast_adapter_dtype(adapter_name=adapter_name, autocast_adapter_dtype=autocast_adapter_dtype)


def config_of(expert: str, model_type: str):
    from peft import LoraConfig

    if expert and (Path(expert) / CONFIG).is_file():
        return LoraConfig.from_pretrained(expert)
    lora = find_method("lora")
    context = SimpleNamespace(modules_to_save=[], model_type=model_type, peft_task="CAUSAL_LM")
    return build_config(lora, lora.read_settings({}), context)
