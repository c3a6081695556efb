"""X-LoRA: a small network weighs finished LoRA adapters, its experts, which travel with what was learned."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from pydantic import Field

from jobs.methods.base import MethodSettings
from jobs.methods.special.base import PLAIN_STARTS, Special
from jobs.recipe import Recipe
from storage.problems import ArtefactCorrupt, RecipeInvalid, StudioError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
EXPERT = "expert-{}"  # the folder of each expert, in the adapter's own
NOT_MIXED = ("use_dora", "modules_to_save", "trainable_token_indices", "target_parameters", "alora_invocation_tokens",
             "layer_replication", "lora_bias", "use_qalora", "use_bdlora")  # of a LoRA's config
TWO_PASSES = "Its weights for the experts are found in a first pass, which a recomputed layer does not see."
NO_ANSWERS = "PEFT mixes adapters only for the answers of a text, one token after the other."
OTHER_STACK = "PEFT cannot find the layers of its adapters there. Choose a base model like Llama, Qwen or Mistral."
OTHER_STACKS = ("gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "gpt-sw3", "bloom", "falcon", "mpt", "ctrl", "openai-gpt",
                "xlnet", "biogpt")


OPENING = '''base.config.use_cache = False
config = PeftConfig.from_pretrained("PATH/TO/THIS/FOLDER")  # its adapters lie beside it
config.adapters = {number: f"PATH/TO/THIS/FOLDER/{folder}" for number, folder in config.adapters.items()}
model = PeftModel.from_pretrained(base, "PATH/TO/THIS/FOLDER", config=config)'''


class MixtureOfExperts(Special):
    only_tasks = ("text-generation",)
    not_in_bits = "It mixes adapters only on a base model held in full."
    not_checkpointed = TWO_PASSES
    not_preferences = NO_ANSWERS
    not_on = dict.fromkeys(OTHER_STACKS, OTHER_STACK)
    without_cache = True
    opening = OPENING
    plain_forward = True  # its first pass reads what the layers hand on, which TRL's faster one leaves out
    settings: dict[str, tuple[Any, Any]] = {
        "experts": (list[str], Field(
            [], max_length=64, title="Adapters to mix", json_schema_extra={"shown": True},
            description="Two or more LoRA adapters of this base model: the ids of finished runs, or folders. Copies of them travel "
                        "with the result."))}

    def check(self, settings: MethodSettings) -> list[str]:
        if len(settings.experts) == 1:
            return ["method_settings.experts has one adapter, and there is nothing to mix. Name another one too."]
        if settings.experts and settings.top_k_lora and settings.top_k_lora > len(settings.experts):
            return [f"method_settings.top_k_lora is {settings.top_k_lora}, and there are {len(settings.experts)} adapters to mix. "
                    "Lower it, or leave it empty."]
        return []

    def settled(self, services, settings: MethodSettings, recipe: Recipe, base) -> MethodSettings:
        """The experts as a worker finds them too, each looked at."""
        if not settings.experts and not recipe.start_from:
            raise RecipeInvalid(["method_settings.experts is empty, and there is nothing to mix. Name two or more finished LoRA "
                                 "runs of this base model, or folders."])
        found, problems = [], []
        for wanted in settings.experts:
            try:
                expert = self.find(services, wanted)
                problems += [f"method_settings.experts names '{wanted}', {why}" for why in self.unfit(services, expert, base)]
                found.append(expert.wanted)
            except StudioError as problem:
                problems.append(str(problem).replace("start_from is", "method_settings.experts names"))
        if problems:
            raise RecipeInvalid(problems)
        return settings.model_copy(update={"experts": found})

    @staticmethod
    def find(services, wanted: str):
        from jobs.starting import find_adapter  # it asks the catalogue, which asks this module

        return find_adapter(services, wanted)

    @staticmethod
    def unfit(services, expert, base) -> list[str]:
        """Why an adapter cannot be an expert, as words after its name."""
        from jobs.starting import other_base

        config = expert.config
        if config.get("peft_type") != "LORA":
            return [f"which is {config.get('peft_type')}. Only plain LoRA adapters can be mixed."]
        if config.get("task_type") not in ("CAUSAL_LM", None):
            return [f"which was trained for {config['task_type']}. Choose adapters for text generation."]
        extras = [name for name in NOT_MIXED if config.get(name)]
        if config.get("bias", "none") != "none":
            extras.append("bias")
        if config.get("init_lora_weights", True) not in PLAIN_STARTS:
            extras.append("init_lora_weights")
        if extras:
            return [f"which was trained with {extras[0]}. Only plain LoRA adapters can be mixed."]
        if other_base(services, expert, base):
            return [f"which was trained on another base model ({config.get('base_model_name_or_path')}). Choose adapters of "
                    "this one."]
        return []

    # ---- making and opening

    def prepare(self) -> None:
        """Let PEFT save all of the weighing network: by itself it takes numbered layers for the experts' and leaves them out."""
        from peft.tuners.xlora.model import XLoraModel

        def whole(cls, model, config, adapter_name, state_dict, unwanted_adapter_names):
            return {name: value for name, value in model.state_dict().items() if "internal_xlora_classifier" in name}

        XLoraModel._get_adapter_state_dict = classmethod(whole)

    def values(self, settings: MethodSettings, values: dict, context) -> dict:
        return {**values, "adapters": {str(number): str(folder) for number, folder in enumerate(self.kept(settings, context))}}

    def kept(self, settings: MethodSettings, context) -> list[Path]:
        """A copy of each expert beside the run's checkpoints: theirs where there are some, so that the originals may go."""
        from jobs import checkpoints

        known, folders = checkpoints.newest(context.attempt_dir.parent), []
        for number, wanted in enumerate(settings.experts):
            folder = context.attempt_dir / "experts" / EXPERT.format(number)
            source = known / EXPERT.format(number) if known else self.find(context.report.services, wanted).folder
            if not (source / WEIGHTS).is_file():
                raise ArtefactCorrupt(f"The checkpoint {known.name} lacks the expert {number}. Start the run anew.")
            copy_expert(source, folder, shutil.copyfile)
            folders.append(folder)
        return folders

    def before(self, base, config, settings: MethodSettings, context, rows) -> Any:
        config.hidden_size = base.config.get_text_config().hidden_size
        base.config.use_cache = False
        return base

    def opened(self, model) -> None:
        save = model.save_pretrained

        def save_with_experts(folder, **options) -> None:
            config = model.peft_config["default"]
            experts = {number: Path(path) for number, path in config.adapters.items()}
            try:
                config.adapters = {number: EXPERT.format(number) for number in experts}
                save(folder, **options | {"selected_adapters": ["default"]})
            finally:
                config.adapters = {number: str(path) for number, path in experts.items()}
            for number, path in experts.items():
                copy_expert(path, Path(folder) / EXPERT.format(number))

        model.save_pretrained = save_with_experts

    def located(self, config, folder: Path) -> Any:
        """PEFT looks for the experts from where a program runs; they lie beside the config."""
        config.adapters = {number: str(folder / path) for number, path in config.adapters.items()}
        return config

    def portable(self, settings: dict) -> dict:
        return {**settings, "experts": [EXPERT.format(number) for number in range(len(settings["experts"]))]}

    def own_settings(self, config: dict, folder: Path) -> dict:
        return {"experts": [str(folder / path) for path in config.get("adapters", {}).values()]}


def copy_expert(source: Path, target: Path, copy=None) -> None:
    """What PEFT opens of an adapter. Weights, which nobody changes, get a second name where the file system can do that."""
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / CONFIG, target / CONFIG)
    if not (target / WEIGHTS).exists():
        (copy or link)(source / WEIGHTS, target / WEIGHTS)


def link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def experts_of(folder: Path) -> list[Path]:
    """The folders of the experts that travel in an adapter's folder."""
    config = json.loads((folder / CONFIG).read_text("utf-8")) if (folder / CONFIG).is_file() else {}
    return [folder / path for path in (config.get("adapters") or {}).values()] if config.get("peft_type") == "XLORA" else []


XLORA = MixtureOfExperts()
