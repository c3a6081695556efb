"""The loss of a text model on a processor: logits are made for the answers only, some at a time, and none outlives its turn.

TRL's trainer does so on a GPU. On a processor it makes them for prompts and padding too, a second time on the way back, and
measures more than the studio shows.
"""

import functools
import types

import torch
from torch.nn.functional import linear
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from jobs.preparing.collating import IGNORED

AT_ONCE = 4_000_000  # logits
IN_CACHE = 500_000  # of them, in fp32
CLOSE = 1e-3  # to the model's own loss, as a share of it
OWN = "own_forward"  # of a model that has this loss: the forward that it came with


class AnswerLoss(torch.autograd.Function):
    """The sum of -log p(target) in fp32, over `hidden` (answer tokens, width) and `targets` (answer tokens).

    Logits are softcap * tanh(scale * (hidden @ weight.T + bias) / softcap). Gradients are made on the way forth, from each turn's
    logits while they are there, as in Liger's fused loss (arXiv 2410.10989).
    """

    @staticmethod
    def forward(ctx, hidden, weight, bias, targets, scale: float, softcap: float | None, learning: bool) -> torch.Tensor:
        wanted = ctx.needs_input_grad[:3] if learning else (False, False, False)
        to_hidden, to_weight, to_bias = (torch.zeros_like(each) if want else None
                                         for each, want in zip((hidden, weight, bias), wanted, strict=True))
        total, rows = torch.zeros((), device=hidden.device), max(1, AT_ONCE // len(weight))
        for turn in (slice(start, start + rows) for start in range(0, len(hidden), rows)):
            back = linear(hidden[turn], weight, bias)
            total += losses(back, targets[turn], scale, softcap, any(wanted))
            if wanted[0]:
                to_hidden[turn] = torch.matmul(back, weight)
            if wanted[1]:
                to_weight += torch.matmul(back.T, hidden[turn])
            if wanted[2]:
                to_bias += back.sum(0)
            del back
        ctx.save_for_backward(to_hidden, to_weight, to_bias)
        return total

    @staticmethod
    def backward(ctx, gradient):
        return *(None if each is None else each.mul_(gradient) for each in ctx.saved_tensors), None, None, None, None


def losses(logits: torch.Tensor, targets: torch.Tensor, scale: float, softcap: float | None, learning: bool) -> torch.Tensor:
    """The sum of the losses of `logits` (tokens, vocabulary), which become its gradients where it learns.

    All is worked out in fp32, for so few tokens at a time that it stays in the processor's cache.
    """
    total, rows = torch.zeros((), device=logits.device), max(1, IN_CACHE // logits.shape[1])
    for part, right in zip(logits.split(rows), targets[:, None].split(rows), strict=True):
        scores = part.float()
        if scale != 1:
            scores.mul_(scale)
        if softcap:
            bend = scores.div_(softcap).tanh_().square().neg_().add_(1)
            scores.mul_(softcap)
        scores.sub_(scores.amax(1, keepdim=True))
        said = scores.gather(1, right)
        sums = scores.exp_().sum(1, keepdim=True)
        total += (sums.log() - said).sum()
        if learning:
            scores.div_(sums).scatter_add_(1, right, scores.new_full(right.shape, -1))
            if softcap:
                scores.mul_(bend)
            part.copy_(scores.mul_(scale) if scale != 1 else scores)
    return total


def answers(hidden: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What stands before each answer token (tokens, width), and these tokens."""
    counted = targets != IGNORED
    return hidden[counted], targets[counted]


def add_answer_loss(model: PreTrainedModel) -> None:
    """Have a base model's forward, given labels, tell this loss and no logits.

    A model that works out its logits in another way, or adds to the loss, keeps its own.
    """
    if getattr(model.config.get_text_config(), "output_router_logits", False) or not is_simple(model):
        return
    set_answer_loss(model)
    if not gives_the_same(model):
        model.forward = vars(model).pop(OWN)


def set_answer_loss(model: PreTrainedModel) -> None:
    own, (scale, softcap) = model.forward, logits_of(model.config.get_text_config())

    @functools.wraps(type(model).forward)
    def forward(self, *arguments, labels=None, num_items_in_batch=None, **named):
        if labels is None:
            return own(*arguments, **named)
        named["use_cache"] = False
        hidden = self.base_model(*arguments, **named).last_hidden_state
        hidden, targets = answers(hidden[:, :-1], labels[:, 1:])
        head = self.get_output_embeddings()
        total = AnswerLoss.apply(hidden, head.weight, head.bias, targets, scale, softcap, torch.is_grad_enabled())
        return CausalLMOutput(loss=total / (max(1, len(targets)) if num_items_in_batch is None else num_items_in_batch))

    model.forward = types.MethodType(forward, model)
    setattr(model, OWN, own)


def is_simple(model: PreTrainedModel) -> bool:
    """Whether a linear layer makes the logits of what the layers give."""
    head = model.get_output_embeddings()
    return model.base_model is not model and hasattr(head, "weight") and hasattr(head, "bias")


def logits_of(config) -> tuple[float, float | None]:
    """By what models multiply their logits, and where they bend them: Cohere, Falcon-H1, Granite and MiniCPM3, Gemma."""
    scale = next((value for name in ("logit_scale", "output_multiplier", "lm_head_multiplier")
                  if (value := getattr(config, name, None)) is not None), None)
    divided = getattr(config, "logits_scaling", None)
    return 1 / divided if scale is None and divided else 1.0 if scale is None else scale, \
        getattr(config, "final_logit_softcapping", None)


@torch.no_grad()
def gives_the_same(model: PreTrainedModel) -> bool:
    """Try some tokens both ways."""
    was_training = model.training
    model.eval()
    ids = torch.arange(12, device=model.device).view(2, 6) % model.config.get_text_config().vocab_size
    labels = ids.masked_fill(ids == 7, IGNORED)
    try:
        found = model(input_ids=ids, labels=labels).loss
        expected = vars(model)[OWN](input_ids=ids, labels=labels, use_cache=False).loss
    finally:
        model.train(was_training)
    return bool((found - expected).abs() <= CLOSE * expected.abs())
