"""AdaMSS: with its adaptive allocation, groups that matter little stop training while it goes on."""

from typing import Any

from pydantic import Field

from jobs.methods.base import MethodSettings
from jobs.methods.special.base import TURNED_OVER, Special, put_back

STATISTICS = ("exp_avg_ipt_A", "exp_avg_ipt_B", "exp_avg_unc_A", "exp_avg_unc_B")
TRAINED = "trained"  # of the names in a checkpoint's state, for what still trains


class DroppedGroups(Special):
    settings: dict[str, tuple[Any, Any]] = {
        "init_warmup": (int | None, Field(
            None, ge=0, title="Drop from", json_schema_extra={"only_with": ["use_asa", [True]]},
            description="Step at which groups begin to be dropped. Empty: after a tenth of all steps.")),
        "final_warmup": (int | None, Field(
            None, ge=1, title="Drop until", json_schema_extra={"only_with": ["use_asa", [True]]},
            description="Step at which the last are dropped. Empty: after half of all steps.")),
        "mask_interval": (int | None, Field(
            None, ge=1, title="Steps between drops", json_schema_extra={"only_with": ["use_asa", [True]]},
            description="How often groups are dropped. Empty: ten times in all."))}

    def check(self, settings: MethodSettings) -> list[str]:
        first, last = settings.init_warmup, settings.final_warmup
        if settings.use_asa and first is not None and last is not None and last <= first:
            return [f"method_settings.final_warmup is {last}, and init_warmup is {first}. Set it to a later step."]
        return []

    def values(self, settings: MethodSettings, values: dict, context) -> dict:
        return {**values, **schedule(settings.init_warmup, settings.final_warmup, settings.mask_interval, context.steps)}

    def prolonged(self, config, context):
        for name, value in schedule(None, None, None, context.steps).items():
            setattr(config, name, value)
        return config

    def callbacks(self, model, settings: MethodSettings, context) -> list:
        from peft.tuners.adamss.asa_callback import AdamssAsaCallback

        return [AdamssAsaCallback()] if settings.use_asa else []

    def state(self, model) -> dict[str, Any] | None:
        """All groups, those that are not trained any more too, which these are, and what is known of how much each matters."""
        import torch

        if not model.active_peft_config.use_asa:
            return None
        held = {name: weight for name, weight in model.named_parameters() if "adamss_" in name or weight.requires_grad}
        found = {**held, **{f"{TRAINED}:{name}": torch.tensor(weight.requires_grad) for name, weight in held.items()}}
        for name, layer in layers_of(model):
            for statistic in STATISTICS:
                found |= {f"{statistic}:{name}:{place}": value
                          for place, value in enumerate(getattr(layer, statistic).get("default", [])) if value is not None}
        return found

    def restore(self, model, state: dict[str, Any]) -> None:
        put_back(model, {name: value for name, value in state.items() if ":" not in name})
        layers = dict(layers_of(model))
        for layer in layers.values():
            layer.reset_importance("default")
        for name, value in state.items():
            kind, *rest = name.split(":")
            if kind == TRAINED and rest:
                model.get_parameter(rest[0]).requires_grad = bool(value)
            elif kind in STATISTICS:
                statistic = getattr(layers[rest[0]], kind)["default"]
                statistic[int(rest[1])] = value.to(layers[rest[0]].get_base_layer().weight.device)


def schedule(first: int | None, last: int | None, every: int | None, steps: int) -> dict[str, int]:
    """When groups are dropped, by the config's names."""
    first = steps // 10 if first is None else first
    last = max(first + 1, steps // 2) if last is None else last
    return {"init_warmup": first, "final_warmup": last, "mask_interval": every or max(1, (last - first) // 10)}


def layers_of(model):
    from peft.tuners.adamss.layer import AdamssLayer

    return [(name, module) for name, module in model.named_modules() if isinstance(module, AdamssLayer)]


ADAMSS = DroppedGroups(not_on=TURNED_OVER)
