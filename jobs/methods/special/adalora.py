"""AdaLoRA: the ranks are cut while it trains, by a schedule that goes with the length of the run."""

from typing import Any

from pydantic import Field

from jobs.methods.base import MethodSettings
from jobs.methods.special.base import Special, put_back, trained_state

FIRST_SHARE, LAST_SHARE = 0.1, 0.2  # of all steps, before and after ranks are cut, where nobody says
IMPORTANCE, DOUBT, RANKS = "importance.", "doubt.", "ranks."  # of the names in a checkpoint's state
KEPT_RANKS = "Its ranks were cut already, layer by layer, and a new schedule would need them whole."


class AdaptiveRanks(Special):
    settings: dict[str, tuple[Any, Any]] = {
        "tinit": (int | None, Field(None, ge=0, title="Steps before cutting", description=(
            "Steps at the beginning in which no direction is cut. Empty: a tenth of all."))),
        "tfinal": (int | None, Field(None, ge=0, title="Steps after cutting", description=(
            "Steps at the end in which ranks stay. With those before: below all steps. Empty: a fifth of all.")))}

    def check(self, settings: MethodSettings) -> list[str]:
        if settings.init_r <= settings.target_r:
            return [f"method_settings.init_r is {settings.init_r}, and target_r is {settings.target_r}: there is nothing to cut. "
                    "Begin with a higher rank, such as one and a half times the rank at the end."]
        return []

    def refuse_start(self, config: dict) -> str:
        return KEPT_RANKS if config.get("rank_pattern") else ""

    def values(self, settings: MethodSettings, values: dict, context) -> dict:
        return {**values, **schedule(settings.tinit, settings.tfinal, context.steps)}

    def prolonged(self, config, context):
        for name, value in schedule(None, None, context.steps).items():
            setattr(config, name, value)
        return config

    def opened(self, model) -> None:
        # by itself PEFT adds its penalty to every loss that it sees, those of evaluations and of the base model too
        tuner = model.base_model
        tuner.forward = lambda *inputs, **options: tuner.model(*inputs, **options)

    def penalty(self, model, settings: MethodSettings):
        """How far the directions of the average layer are from being at right angles."""
        import torch

        if not settings.orth_reg_weight:
            return None
        found = []
        for name, weight in model.named_parameters():
            if "lora_A" in name or "lora_B" in name:
                alike = weight @ weight.T if "lora_A" in name else weight.T @ weight
                found.append(torch.linalg.matrix_norm(alike - torch.eye(len(alike), device=alike.device)))
        return settings.orth_reg_weight * torch.stack(found).mean()

    def callbacks(self, model, settings: MethodSettings, context) -> list:
        from transformers import TrainerCallback

        class Cutting(TrainerCallback):
            """Cuts ranks after every step, by the gradients of that step."""

            def on_optimizer_step(self, args, state, control, **kwargs):
                cut_ranks(model.base_model, state.global_step + 1)

        return [Cutting()]

    def state(self, model) -> dict[str, Any]:
        import torch

        allocator, config = model.base_model.rankallocator, model.active_peft_config
        return {**trained_state(model),
                **{IMPORTANCE + name: value for name, value in allocator.exp_avg_ipt.items()},
                **{DOUBT + name: value for name, value in allocator.exp_avg_unc.items()},
                **{RANKS + name: torch.tensor(kept) for name, kept in (config.rank_pattern or {}).items()}}

    def restore(self, model, state: dict[str, Any]) -> None:
        import torch

        allocator, config, weights = model.base_model.rankallocator, model.active_peft_config, dict(model.named_parameters())
        own = {name: value for name, value in state.items() if name in weights}
        put_back(model, own)
        inner = dict(model.base_model.model.named_parameters())
        for prefix, held in ((IMPORTANCE, allocator.exp_avg_ipt), (DOUBT, allocator.exp_avg_unc)):
            held.clear()
            held.update({name.removeprefix(prefix): value.to(inner[name.removeprefix(prefix)].device)
                         for name, value in state.items() if name.startswith(prefix)})
        allocator.ipt = {name: torch.zeros_like(value) for name, value in allocator.exp_avg_ipt.items()}
        ranks = {name.removeprefix(RANKS): kept.tolist() for name, kept in state.items() if name.startswith(RANKS)}
        config.rank_pattern = ranks or None


def schedule(first: int | None, last: int | None, steps: int) -> dict[str, int]:
    """When ranks are cut, by the config's names."""
    first = int(FIRST_SHARE * steps) if first is None else first
    last = int(LAST_SHARE * steps) if last is None else last
    if first + last >= steps:
        raise ValueError(f"tinit ({first}) and tfinal ({last}) leave none of the {steps} steps to cut ranks in. Lower them, or "
                         "train longer")
    return {"tinit": first, "tfinal": last, "total_step": steps}


def cut_ranks(tuner, step: int) -> None:
    """PEFT's own step of the schedule. The ranks count as cut once they are for good.

    Until then what was cut at one step learns again at the next, so a state that is saved between must keep all of it.
    """
    import torch

    for name, weight in tuner.model.named_parameters():
        if weight.grad is None and "lora_" in name and tuner.trainable_adapter_name in name:
            weight.grad = torch.zeros_like(weight)  # of layers that an answer does not depend on
    config = tuner.peft_config[tuner.trainable_adapter_name]
    if step == config.total_step - config.tfinal and not tuner.rankallocator.ipt:
        tuner.rankallocator.update_ipt(tuner.model)  # of a run that is too short to have asked before
    tuner.update_and_allocate(step)
    if step < config.total_step - config.tfinal:
        config.rank_pattern = None


ADALORA = AdaptiveRanks()
