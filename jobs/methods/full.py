"""Full fine-tuning: no adapter, the base model's own weights learn, all of them or chosen ones."""

from pydantic import Field

from jobs.methods.base import MethodSettings, TrainingMethod
from jobs.methods.special.base import Special
from jobs.models.inspect import BaseModelFacts
from jobs.recipe import TASKS, Recipe

FULL = "full"
FEW_BITS = "Its own weights learn, and a step is far smaller than the gaps between the values that so few bits can hold."
A_MODEL = "What it leaves is a whole model of its own, and no adapter."


class FullSettings(MethodSettings):
    """Which weights learn. `jobs.training.weights` reads them."""

    train_last: int = Field(0, ge=0, le=1000, title="Last layers", json_schema_extra={"shown": True},
                            description="Only so many layers at the end of the stack learn, and what comes after them. 0: all.")
    train_layers: list[str] | None = Field(
        None, title="Chosen layers", json_schema_extra={"shown": True},
        description="Only these learn: names or parts of names, such as q_proj or layers.0, or patterns such as *.mlp.*. With last "
                    "layers: both. Empty: all.")
    train_embeddings: bool = Field(False, title="Embeddings too",
                                   description="Beside chosen layers the token embeddings learn as well. They are large. Where all "
                                               "layers learn, they do anyway.")


class FullSpecial(Special):
    def refuse(self, settings: FullSettings, recipe: Recipe, facts: BaseModelFacts) -> list[str]:
        if facts.quantization:
            return [f"base_model '{recipe.base_model}' is stored in few bits ({facts.quantization}) and cannot be trained in full. "
                    f"{FEW_BITS} Choose LoRA, or the model as it was before that."]
        if facts.layers and settings.train_last > facts.layers:
            return [f"method_settings.train_last is {settings.train_last}, and '{recipe.base_model}' has {facts.layers} layers. "
                    "Choose fewer, or 0 for all."]
        return []


def full_method(tried: dict[str, str]) -> TrainingMethod:
    """The catalogue's entry; `tried` as jobs.methods.tried tells it."""
    return TrainingMethod(
        name=FULL, title="Full fine-tuning", family="full", peft_type="", settings=FullSettings,
        summary="Trains the base model's own weights, all of them or chosen layers, with no adapter beside them. It can learn the "
                "most, takes several times the memory, and leaves a whole model instead of a small file.",
        choose_when="There is much data and memory, and the model shall learn something that is new to it.",
        avoid_when="The data is small: it forgets more of what it could than an adapter makes it.", paper="", learning_rate=2e-5,
        special=FullSpecial(),
        tried={**dict.fromkeys([*(f"task {task}" for task in TASKS), "gradient_checkpointing"], ""), **tried,
               **dict.fromkeys(("int8", "nf4", "fp4"), FEW_BITS),
               **dict.fromkeys(("merge", "several_at_once", "mixed_batches", "weighted_combination"), A_MODEL)})
