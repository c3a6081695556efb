"""Parts of PEFT that look at the values of weights, or take long over what only has a shape here: what they make, made at once."""

import contextlib
from unittest import mock

import torch

from jobs.forecast import experts
from jobs.methods.special.xlora import MixtureOfExperts


@contextlib.contextmanager
def shortcuts():
    """Within this, methods are set up by shapes alone."""
    from peft.tuners.adamss import layer as adamss
    from peft.tuners.boft.layer import BOFTLayer
    from peft.tuners.cpt.model import CPTEmbedding
    from peft.tuners.shira import config as shira
    from peft.tuners.shira.layer import Linear as ShiraLinear
    from peft.tuners.xlora import model as xlora

    with mock.patch.object(adamss, "clustering_Z", alike_groups), mock.patch.object(adamss, "seg_locations", group_places), \
            mock.patch.object(BOFTLayer, "perm2mat", lambda layer, order: torch.empty(len(order), len(order))), \
            mock.patch.object(shira, "random_mask", chosen_weights), mock.patch.object(torch, "block_diag", block_diagonal), \
            mock.patch.object(ShiraLinear, "get_delta_weight", sparse_change), \
            mock.patch.object(torch, "svd_lowrank", decomposed), mock.patch.object(CPTEmbedding, "calculate_loss", weighed), \
            mock.patch.object(xlora, "_load_adapter_into_lora_model", experts.put_in), \
            mock.patch.object(MixtureOfExperts, "kept", experts.named):
        yield


def alike_groups(vectors: torch.Tensor, groups: int, rounds: int) -> tuple[tuple[int, int], int]:
    """Rows of a matrix in groups of one size, as nearly as that goes, where AdaMSS looks which are alike."""
    groups = min(groups, len(vectors))
    return (len(vectors), groups), groups


def group_places(found: tuple[int, int]) -> dict[int, torch.Tensor]:
    rows, groups = found
    return {group: torch.empty(rows // groups + (group < rows % groups), dtype=torch.long) for group in range(groups)}


def decomposed(matrix: torch.Tensor, q: int = 6, niter: int = 2, M=None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A decomposition of low rank, which torch finds in many steps."""
    *some, rows, columns = matrix.shape
    return matrix.new_empty((*some, rows, q)), matrix.new_empty((*some, q)), matrix.new_empty((*some, columns, q))


def weighed(output, labels: torch.Tensor, kinds: torch.Tensor, config):
    """CPT's loss, which weighs the answers of the context one after the other: the weights are small, and here made at once."""
    logits, targets = output.logits[..., :-1, :].contiguous(), labels[..., 1:].contiguous()
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none", ignore_index=-100)
    weights = torch.ones_like(targets, dtype=torch.float32)
    output.loss = (loss.view(targets.shape).flatten() * weights.flatten()).mean()
    return output


def chosen_weights(base_layer, r: int, random_seed=None, **options) -> torch.Tensor:
    """So many ones as SHiRA chooses weights of a layer, in a row."""
    return torch.ones(1, r * sum(base_layer.weight.shape))


def sparse_change(layer, adapter: str) -> torch.Tensor:
    """SHiRA's change of a weight, which has room for the chosen numbers only."""
    return Sparse.apply(layer.shira_weight[adapter], layer.weight.shape)


class Sparse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, numbers, shape):
        ctx.size = numbers.shape
        return numbers.new_empty(1).expand(shape)

    @staticmethod
    def backward(ctx, gradient):
        return gradient.new_empty(ctx.size), None


def block_diagonal(*blocks: torch.Tensor) -> torch.Tensor:
    return BlockDiagonal.apply(*blocks)


class BlockDiagonal(torch.autograd.Function):
    """One large matrix of many small ones of one size, of which torch remembers nothing but their sizes."""

    @staticmethod
    def forward(ctx, *blocks):
        ctx.shape = len(blocks), *blocks[0].shape
        count, rows, columns = ctx.shape
        return blocks[0].new_empty(count * rows, count * columns)

    @staticmethod
    def backward(ctx, gradient):
        return gradient.new_empty(ctx.shape).unbind()
