"""A method that nobody has heard of, registered with PEFT as somebody's own package would do it: a factor for each output."""

from dataclasses import dataclass, field

import torch
from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import PeftType, register_peft_method

NAME = "NUDGE"


def add_type(name: str) -> None:
    """One more member of peft's list of types."""
    member = str.__new__(PeftType, name)
    member._name_ = member._value_ = name
    PeftType._member_names_.append(name)
    PeftType._member_map_[name] = PeftType._value2member_map_[name] = member
    type.__setattr__(PeftType, name, member)


@dataclass
class NudgeConfig(PeftConfig):
    """Nudges what layers give up or down. It is made up."""

    push: float = field(default=2.0, metadata={"help": "How hard each output is pushed. More learns faster."})
    target_modules: list[str] | str | None = field(default="all-linear", metadata={"help": "Which layers are nudged."})
    modules_to_save: list[str] | None = field(default=None, metadata={"help": "Layers that are trained whole."})
    exclude_modules: list[str] | str | None = field(default=None, metadata={"help": "Layers that are not nudged."})

    def __post_init__(self):
        super().__post_init__()
        self.peft_type = PeftType[NAME]


class NudgeLayer(torch.nn.Module, BaseTunerLayer):
    adapter_layer_names = ("nudge_factors",)

    def __init__(self, base_layer: torch.nn.Linear, adapter_name: str, push: float):
        super().__init__()
        self.base_layer, self.push = base_layer, push
        self.nudge_factors = torch.nn.ParameterDict({})
        self.merged_adapters, self._disable_adapters, self._active_adapter = [], False, adapter_name
        self.update_layer(adapter_name)

    def update_layer(self, adapter_name: str) -> None:
        self.nudge_factors[adapter_name] = torch.nn.Parameter(torch.zeros(self.base_layer.out_features))
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters)

    def forward(self, x, *arguments, **options):
        output = self.base_layer(x, *arguments, **options)
        if not self.disable_adapters:
            for name in self.active_adapters:
                output = output * (1 + self.push * self.nudge_factors[name])
        return output


class NudgeModel(BaseTuner):
    prefix = "nudge_"
    tuner_layer_cls = NudgeLayer
    target_module_mapping: dict = {}

    def _create_and_replace(self, config, adapter_name, target, target_name, parent, current_key):
        if isinstance(target, NudgeLayer):
            target.update_layer(adapter_name)
        else:
            self._replace_module(parent, target_name, NudgeLayer(target, adapter_name, config.push), target)


add_type(NAME)
register_peft_method(name=NAME.lower(), config_cls=NudgeConfig, model_cls=NudgeModel)
