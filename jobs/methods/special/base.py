"""What a PEFT type needs beyond its config. Most need nothing, and have this class as it is, some with reasons why not."""

from pathlib import Path
from typing import Any

from jobs.methods.base import MethodSettings
from jobs.models.inspect import BaseModelFacts
from jobs.recipe import LABELLED, Recipe

PREFERENCES = ("preference", "binary-preference")
TURNED_OVER = dict.fromkeys(("gpt2", "openai-gpt"), "Its layers store their weights turned over, and PEFT cannot put this method "
                            "into such layers. Choose LoRA, or another base model.")
PLAIN_STARTS = (True, False, "gaussian", "orthogonal")  # of a LoRA's matrices; others change the base model's weights
# types of which an adapter can be opened without a change of the base model's weights, as trying them has shown
LEAVES_BASE = frozenset(
    """
    ADALORA ADAMSS ADAPTION_PROMPT BEFT BOFT C3A CARTRIDGE CPT DEFT DELORA FOURIERFT FROD GLORA GRALORA HIRA HRA IA3 LILY LN_TUNING
    LOHA LOKR MISS MULTITASK_PROMPT_TUNING OFT OSF PEANUT POLY PREFIX_TUNING PROMPT_TUNING PSOFT PVERA P_TUNING RANDLORA ROAD SHADOW
    SHIRA SUPERTUNING TINYLORA TRAINABLE_TOKENS UNILORA VBLORA VERA WAVEFT XLORA
    """.split()
)
LEAST_ROOM = 8  # tokens of the context, for a row


class Special:
    """One type's extras. Modules with subclasses import torch and peft inside their functions only: the page reads them too.

    The reasons are sentences for people, empty where there is nothing to say.
    """

    settings: dict[str, tuple[Any, Any]] = {}  # settings of the studio's own beside the config's: name -> (type, pydantic Field)
    only_tasks: tuple[str, ...] = ()  # the recipe's tasks that it serves; empty: all
    not_in_bits = ""          # why it cannot be trained on a base model that is held in few bits
    not_checkpointed = ""     # why gradient checkpointing cannot be used
    not_packed = ""           # why several examples cannot share a row
    not_preferences = ""      # why it cannot learn from preferences
    not_on: dict[str, str] = {}  # model type, by transformers' name -> why it cannot be trained on such a base model
    only_on: tuple[str, ...] = ()  # model types on which alone it can be trained; empty: on any
    divides = ""              # the setting that must divide the widths of the layers
    by_task = False           # whether it must know which of several tasks a row belongs to
    plain_forward = False     # whether it needs the model's own forward and loss where TRL has a faster one
    mean_loss = False         # whether its loss is a batch's mean, whatever the number of accumulated batches
    without_cache = False     # whether it answers without keeping keys and values
    opening = ""              # the Python line that opens an adapter, where PEFT needs more to do it than the folder
    asking = ""               # what a person must know to ask the opened model something

    def __init__(self, **reasons: Any):
        for name, reason in reasons.items():
            setattr(self, name, reason)

    def check(self, settings: MethodSettings) -> list[str]:
        """What is wrong with the settings among themselves, one sentence each."""
        return []

    def refuse(self, settings: MethodSettings, recipe: Recipe, facts: BaseModelFacts) -> list[str]:
        """Why this cannot run on that base model and task, before the start."""
        training, reasons = recipe.training, []
        if self.only_tasks and recipe.task not in self.only_tasks:
            reasons.append(f"This method serves only {' and '.join(self.only_tasks)}, and task is '{recipe.task}'. Choose another "
                           "method.")
        elif recipe.task in LABELLED and "modules_to_save" not in type(settings).model_fields:
            reasons.append(f"This method cannot keep the head that task '{recipe.task}' needs. Choose another method.")
        if recipe.quantization != "none" and self.not_in_bits:
            reasons.append(f"quantization is '{recipe.quantization}'. {self.not_in_bits} Set it to none.")
        elif facts.quantization and self.not_in_bits:
            reasons.append(f"base_model '{recipe.base_model}' is stored in few bits ({facts.quantization}). {self.not_in_bits} "
                           "Choose the model as it was before that.")
        if training.gradient_checkpointing and self.not_checkpointed:
            reasons.append(f"training.gradient_checkpointing is on. {self.not_checkpointed} Switch it off.")
        if training.packing and self.not_packed:
            reasons.append(f"training.packing is on. {self.not_packed} Switch it off.")
        if recipe.dataset.format in PREFERENCES and self.not_preferences:
            reasons.append(f"The data are preferences. {self.not_preferences} Choose another method.")
        if self.only_on and facts.model_type not in self.only_on:
            reasons.append(f"The base model is of the family {facts.model_type}, and this method knows only "
                           f"{', '.join(self.only_on)}. Choose another method, or another base model.")
        if why := self.not_on.get(facts.model_type):
            reasons.append(f"The base model is of the family {facts.model_type}. {why}")
        size = getattr(settings, self.divides) if self.divides else 0
        if size and facts.hidden_size and facts.hidden_size % size:
            fits = max(number for number in range(1, size) if facts.hidden_size % number == 0)
            reasons.append(f"method_settings.{self.divides} is {size}, and must divide the sizes of all layers; this base model is "
                           f"{facts.hidden_size:,} wide. Set it to {fits}, or another divisor.")
        if facts.context_length and facts.context_length - self.taken(settings) < LEAST_ROOM:
            reasons.append(f"This method takes {self.taken(settings):,} tokens of the base model's {facts.context_length:,}, which "
                           "leaves no room for rows. Set a smaller number.")
        return reasons

    def taken(self, settings: MethodSettings) -> int:
        """How many tokens of the base model's context it takes."""
        return 0

    def settled(self, services, settings: MethodSettings, recipe: Recipe, base) -> MethodSettings:
        """The settings as a run keeps them, with what they name found and looked at; raises RecipeInvalid.

        `base` is a jobs.models.shelf.ResolvedBase.
        """
        return settings

    def prepare(self) -> None:
        """Make PEFT ready for this type, before it makes or opens one; as often as it is called."""

    def values(self, settings: MethodSettings, values: dict, context) -> dict:
        """The config's fields from the settings' values; `context` is a jobs.training.context.TrainingContext."""
        return values

    def before(self, base, config, settings: MethodSettings, context, rows) -> Any:
        """Work on the bare base model before PEFT changes it, such as calibration on `rows`; returns the base to go on with."""
        return base

    def after(self, model, settings: MethodSettings, context, rows) -> None:
        """Work on the PEFT model before the first step, such as an initialisation from `rows`."""

    def opened(self, model) -> None:
        """Work on every PEFT model of this type that the studio makes or opens, for training and for use."""

    def misfit(self, model, folder: Path) -> str:
        """Why a model with the adapter of that folder must not be asked, as words after a colon; empty where it may."""
        return ""

    def penalty(self, model, settings: MethodSettings) -> Any:
        """A tensor to add to the loss while training, or None."""
        return None

    def optimizer(self, model, settings: MethodSettings, arguments) -> Any:
        """An optimizer of the method's own for transformers' TrainingArguments, or None for the recipe's."""
        return None

    def callbacks(self, model, settings: MethodSettings, context) -> list:
        """transformers callbacks for the training."""
        return []

    # ---- on the disk

    def state(self, model) -> dict[str, Any] | None:
        """Tensors that a checkpoint needs to go on as if nothing had happened; None where the saved adapter is enough."""
        return None

    def restore(self, model, state: dict[str, Any]) -> None:
        """Put back what `state` gave, in place of the saved adapter."""

    def writes_into_base(self, config) -> bool:
        """Whether opening an adapter with that config may change weights of the base model, which others share."""
        kind = str(getattr(config.peft_type, "value", config.peft_type))
        return kind not in LEAVES_BASE or getattr(config, "runtime_offload_base_weight", False)

    def located(self, config, folder: Path) -> Any:
        """The config of an adapter in a folder, with what lies beside it named so that PEFT finds it."""
        return config

    def prolonged(self, config, context) -> Any:
        """The config of an adapter that is trained on from, for as many steps as the new training has."""
        return config

    def own_settings(self, config: dict, folder: Path) -> dict:
        """Settings of the studio's own, as far as an adapter's folder tells them, for a training that starts from it."""
        return {}

    def kept_settings(self, settings: MethodSettings) -> dict:
        """What stays of a recipe's settings where those of an adapter to start from take their place, such as how it steps."""
        return {}

    def describe_variants(self) -> list[dict]:
        """The kinds of the method that can be chosen, for `methods --json`."""
        return []

    def kind_of(self, settings: MethodSettings) -> str:
        """What kind of the method the settings choose, in words for the model card; empty where there is only one."""
        return ""

    def portable(self, settings: dict) -> dict:
        """The settings as a recipe tells them elsewhere, without paths of this machine."""
        return settings

    def refuse_start(self, config: dict) -> str:
        """Why nothing can be trained on from an adapter with that config; empty where it can."""
        return ""


def trained_state(model) -> dict[str, Any]:
    """Everything that is learned, by its name in the model, and the learned prompt as its own network has it."""
    prompts = getattr(model, "prompt_encoder", None)
    return {name: weight.detach().cpu().contiguous() for name, weight in model.named_parameters()
            if weight.requires_grad or (prompts is not None and name.startswith("prompt_encoder."))}


def put_back(model, state: dict[str, Any]) -> None:
    """Give a model the tensors that trained_state took from one like it."""
    import torch

    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in state.items():
            weights[name].copy_(value)
