"""Prompt tuning: learned vectors before the input (Lester et al. 2021, arXiv 2104.08691)."""

from typing import Literal

from pydantic import Field, model_validator

from jobs.methods.base import MethodSettings, TrainingMethod
from storage.problems import TrainingStopped


class PromptTuningSettings(MethodSettings):
    num_virtual_tokens: int = Field(16, ge=1, le=1024, title="Virtual tokens", json_schema_extra={"shown": True},
                                    description="How many vectors are learned. Each takes one token of the context.")
    prompt_tuning_init: Literal["RANDOM", "TEXT", "SAMPLE_VOCAB"] = Field(
        "SAMPLE_VOCAB", title="Start from", description="Random numbers, a text, or tokens drawn from the vocabulary.")
    prompt_tuning_init_text: str | None = Field(
        None, title="Start text", description="The text to start from, when starting from a text.")

    @model_validator(mode="after")
    def _text_where_needed(self):
        if self.prompt_tuning_init == "TEXT" and not self.prompt_tuning_init_text:
            raise ValueError("Starting from a text needs prompt_tuning_init_text; write one")
        return self


def build_config(settings: PromptTuningSettings, context):
    from peft import PromptTuningConfig

    if context.new_modules:
        raise TrainingStopped("Prompt tuning cannot save the layers that this base model lacks "
                              f"({', '.join(context.new_modules)}). Choose LoRA, or a base model that has them.")
    values = settings.model_dump()
    if settings.prompt_tuning_init == "TEXT":
        values["tokenizer_name_or_path"] = str(context.base_path)
    else:
        values.pop("prompt_tuning_init_text")
    return PromptTuningConfig(task_type=context.peft_task, **values)


METHOD = TrainingMethod(
    name="prompt-tuning", title="Prompt tuning", family="prompt", peft_type="PROMPT_TUNING", settings=PromptTuningSettings,
    summary="Learns a few vectors that stand before every input; the model itself is not touched at all.",
    choose_when="When many adapters share one large model. On small models it learns little.",
    learning_rate=3e-2, build_config=build_config,
    capabilities={"merge": False, "several_at_once": True, "mixed_batches": False, "quantized_base": True})
