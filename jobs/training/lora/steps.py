"""Optimizers of LoRA's variants, which step the two matrices otherwise."""

import functools

import torch
from transformers import Trainer
from transformers.trainer_optimizer import is_optimizer_factory

from jobs.methods.base import MethodSettings
from jobs.methods.lora_variants import VARIANTS
from storage.problems import TrainingStopped


def optimizer_of(step: str, model, settings: MethodSettings, arguments) -> torch.optim.Optimizer | None:
    """The variant's optimizer, around the recipe's own; None where no variant decides."""
    if not step:
        return None
    if step == "lora-fa":
        from peft.optimizers import create_lorafa_optimizer

        optimizer = create_lorafa_optimizer(model, settings.r, settings.lora_alpha, lr=arguments.learning_rate,
                                            weight_decay=arguments.weight_decay)
        optimizer.register_step_pre_hook(functools.partial(_give_unused_layers_a_gradient, model))
        return optimizer
    kind, options = Trainer.get_optimizer_cls_and_kwargs(arguments, model)
    if is_optimizer_factory(kind) or {"params", "model", "optimizer_dict"} & options.keys():
        raise TrainingStopped(f"{VARIANTS[step].title} does not go with the optimizer {arguments.optim}. Set training.optimizer to "
                              "adamw_torch.")
    rate = options.pop("lr", arguments.learning_rate)
    if step == "lora-plus":
        from peft.optimizers import create_loraplus_optimizer

        return create_loraplus_optimizer(model, kind, lr=rate, loraplus_lr_ratio=settings.loraplus_lr_ratio,
                                         loraplus_weight_decay=arguments.weight_decay, **options)
    from peft.optimizers import create_riemannian_optimizer

    return create_riemannian_optimizer(model, kind, lr=rate, reg=settings.riemannian_damping, weight_decay=arguments.weight_decay,
                                       **options)


def _give_unused_layers_a_gradient(model, *arguments) -> None:
    """LoRA-FA's optimizer stumbles over a layer that a task does not use, such as a pooler."""
    for name, weight in model.named_parameters():
        if "lora_B" in name and weight.grad is None:
            weight.grad = torch.zeros_like(weight)
