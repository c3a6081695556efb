"""IA³: learned scales on keys, values and feed-forward activations (Liu et al. 2022, arXiv 2205.05638)."""

from pydantic import Field

from jobs.methods.base import MethodSettings, TrainingMethod


class Ia3Settings(MethodSettings):
    target_modules: list[str] | None = Field(
        None, title="Layers", description="Names of the layers that are scaled. Empty: the model family's usual ones.")
    feedforward_modules: list[str] | None = Field(
        None, title="Feed-forward layers", description="Those of the layers above that are scaled at their input.")
    init_ia3_weights: bool = Field(True, title="Start neutral",
                                   description="Begin with scales of one, so that the first step starts at the base model.")


def build_config(settings: Ia3Settings, context):
    from peft import IA3Config

    return IA3Config(task_type=context.peft_task, modules_to_save=context.modules_to_save or None, **settings.model_dump())


METHOD = TrainingMethod(
    name="ia3", title="IA³", family="scaling", peft_type="IA3", settings=Ia3Settings,
    summary="Learns one scale for each key, value and feed-forward channel: some hundred times smaller than LoRA.",
    choose_when="When adapters must be tiny, or there are few rows. It learns less than LoRA.",
    learning_rate=1e-2, build_config=build_config,
    capabilities={"merge": True, "several_at_once": True, "mixed_batches": False, "quantized_base": True})
