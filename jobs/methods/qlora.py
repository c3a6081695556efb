"""QLoRA: LoRA on a base model that is held in 4 bits (Dettmers et al. 2023, arXiv 2305.14314)."""

from jobs.methods.base import TrainingMethod
from jobs.methods.lora import LoraSettings, build_config

METHOD = TrainingMethod(
    name="qlora", title="QLoRA", family="low-rank", peft_type="LORA", settings=LoraSettings,
    summary="LoRA on a base model held in 4 bits: about a quarter of the memory for its weights.",
    choose_when="When the base model does not fit otherwise. Slower than LoRA, nearly as good.",
    learning_rate=2e-4, build_config=build_config, quantizations=("nf4", "fp4"),
    capabilities={"merge": True, "several_at_once": True, "mixed_batches": True, "quantized_base": True})
