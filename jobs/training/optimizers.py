"""Optimizers that the trainer does not make itself."""

import torch
from torch.optim import AdamW, Muon

from storage.problems import TrainingStopped

ELSEWHERE = {"muon": "adamw_torch"}  # those that the trainer has no name for, and the one that it is told instead


def own_optimizer(model, arguments, method, settings, context) -> torch.optim.Optimizer | None:
    """The one that the method brings or the recipe names, or None where the trainer shall make it by its arguments."""
    brought = method.special.optimizer(model, settings, arguments)
    return muon(model, arguments) if brought is None and context.recipe.training.optimizer == "muon" else brought


class MuonAndAdamW(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) for matrices and AdamW for all else, as one. Muon's steps are as large as AdamW's would be."""

    def __init__(self, matrices: list, decayed: list, others: list, arguments):
        common = {"lr": arguments.learning_rate}
        self.muon = Muon(matrices, **common, weight_decay=arguments.weight_decay, adjust_lr_fn="match_rms_adamw")
        self.adamw = AdamW([{"params": decayed, "weight_decay": arguments.weight_decay}, {"params": others, "weight_decay": 0.0}],
                           **common, betas=(arguments.adam_beta1, arguments.adam_beta2), eps=arguments.adam_epsilon)
        groups = [{**group, "by": name} for name, part in self._parts() for group in part.param_groups]
        super().__init__(groups, common)

    def _parts(self) -> list[tuple[str, torch.optim.Optimizer]]:
        return [("muon", self.muon), ("adamw", self.adamw)]

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for name, part in self._parts():  # anew each time: a state that was loaded has replaced both
            part.param_groups, part.state = [group for group in self.param_groups if group["by"] == name], self.state
            part.step()
        return loss


def muon(model, arguments) -> MuonAndAdamW:
    """Matrices of embeddings and of the output layer are rows for each token rather than maps, and go to AdamW."""
    tables = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    output = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if output is not None:
        tables.add(id(output.weight))
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    matrices = [weight for weight in trained if weight.ndim == 2 and id(weight) not in tables]
    if not matrices:
        raise TrainingStopped("training.optimizer is muon, which steps matrices, and this method trains none. Choose adamw_torch.")
    others = [weight for weight in trained if weight.ndim != 2]
    return MuonAndAdamW(matrices, [weight for weight in trained if weight.ndim == 2 and id(weight) in tables], others, arguments)
