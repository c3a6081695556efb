"""From a method's settings to its PEFT config, and where a model gives it no layers, to the layers it takes."""

import dataclasses
import re
from typing import Any, get_args, get_type_hints

from jobs.methods.base import MethodSettings
from jobs.methods.special import special_of
from jobs.patterns import pattern_problem

EVERY_LINEAR = "all-linear"


def build_config(method, settings: MethodSettings, context, base=None) -> Any:
    """The PEFT config of a recipe's method for one training (a jobs.training.context.TrainingContext).

    `base`, the model, says which linear layers there are, where single layers of its stack are chosen. Raises ValueError or
    TypeError with PEFT's own words where the settings do not go together, or where a pattern would be matched for ever.
    """
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    from jobs.peft_types import import_own_methods

    import_own_methods()
    config_class = PEFT_TYPE_TO_CONFIG_MAPPING[method.peft_type]
    names = {field.name for field in dataclasses.fields(config_class) if field.init}
    special = special_of(method.peft_type)
    special.prepare()
    values = special.values(settings, given(settings), context)
    values = {name: value for name, value in values.items() if name in names}
    if "modules_to_save" in names and context.modules_to_save:
        values["modules_to_save"] = sorted({*(values.get("modules_to_save") or []), *context.modules_to_save})
    if "target_modules" in names and values.get("target_modules") is None:
        values["target_modules"] = usual_layers(method.peft_type, context.model_type)
    if base is not None and values.get("layers_to_transform") is not None and values.get("target_modules") == EVERY_LINEAR:
        values["target_modules"] = linear_layers(base)  # PEFT counts layers only where they are named
    hints = get_type_hints(config_class)
    config = config_class(task_type=context.peft_task, **{name: _nested(hints[name], value) for name, value in values.items()})
    if base is not None and (problem := pattern_problem(config, [name for name, _ in base.named_modules() if name])):
        raise ValueError(f"{problem[0].upper()}{problem[1:]}.")
    return config


def _nested(hint: Any, value: Any) -> Any:
    """A dictionary as the config class that its field takes, such as an EvaConfig."""
    kinds = [kind for kind in (hint, *get_args(hint)) if dataclasses.is_dataclass(kind)]
    return kinds[0](**value) if kinds and isinstance(value, dict) and value else value


def given(settings: MethodSettings) -> dict:
    """The settings as values for a config: nested ones as their own classes expect them, empty ones left to PEFT."""
    return {name: value for name, value in settings.model_dump().items()
            if not (value is None and type(settings).model_fields[name].default is None)}


def linear_layers(base) -> list[str]:
    """The names of the linear layers within the stack, as far as they are the same in all of its layers."""
    import torch
    from transformers.pytorch_utils import Conv1D

    numbered = re.compile(r"\.\d+\.(.+)$")
    return sorted({found[1] for name, module in base.named_modules() if isinstance(module, torch.nn.Linear | Conv1D)
                   and (found := numbered.search(name))})


def usual_layers(peft_type: str, model_type: str) -> str | list[str] | None:
    """None where PEFT knows the family's usual layers for this type, else every linear layer."""
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

    known = getattr(PEFT_TYPE_TO_TUNER_MAPPING.get(peft_type), "target_module_mapping", None)
    return None if not known or model_type in known else EVERY_LINEAR
