"""LoRA: two small matrices beside each chosen layer (Hu et al. 2021, arXiv 2106.09685)."""

from pydantic import Field

from jobs.methods.base import MethodSettings, TrainingMethod


class LoraSettings(MethodSettings):
    r: int = Field(16, ge=1, le=512, title="Rank", json_schema_extra={"shown": True},
                   description="Adapter size. Higher can learn more and needs more memory.")
    lora_alpha: float = Field(32, gt=0, le=4096, title="Alpha", json_schema_extra={"shown": True},
                              description="How strongly the adapter speaks; its output is scaled by alpha / rank.")
    lora_dropout: float = Field(0.0, ge=0, lt=1, title="Dropout",
                                description="Share of adapter inputs dropped while training; against overfitting.")
    target_modules: str | list[str] = Field(
        "all-linear", title="Layers", description="all-linear, or the names of the layers that get an adapter.")
    use_rslora: bool = Field(False, title="Rank-stabilised", description="Scale by alpha / √rank; better at high ranks.")
    use_dora: bool = Field(False, title="DoRA", description="Learn direction and size apart: often better, slower.")


def build_config(settings: LoraSettings, context):
    from peft import LoraConfig

    return LoraConfig(task_type=context.peft_task, modules_to_save=context.modules_to_save or None, **settings.model_dump())


METHOD = TrainingMethod(
    name="lora", title="LoRA", family="low-rank", peft_type="LORA", settings=LoraSettings,
    summary="Trains two small matrices beside each linear layer and leaves the base model as it is.",
    choose_when="The first choice for nearly everything: quick, small, and it merges into the base model.",
    learning_rate=2e-4, build_config=build_config,
    capabilities={"merge": True, "several_at_once": True, "mixed_batches": True, "quantized_base": True})
