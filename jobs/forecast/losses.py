"""What each task's trainer makes of a batch: the loss, with everything that its way to it holds."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from unittest import mock

import torch

from jobs.forecast.place import kind
from jobs.forecast.step import REFERENCE
from jobs.recipe import Recipe

SFT_OUTPUTS, DPO_OUTPUTS = ("log_probs", "entropy", "is_top1"), ("log_probs", "entropy", "mean_logits", "is_top1")
TURNS = 256  # of the loss head that are followed at most; they are held to be larger where it takes more
TEXTS = {"pairs": 2, "triplets": 3}  # texts in a row, that are compared


@dataclass(frozen=True)
class Batch:
    rows: int
    length: int

    def tokens(self, times: int = 1) -> dict[str, torch.Tensor]:
        ids = torch.empty(self.rows * times, self.length, dtype=torch.long)
        return {"input_ids": ids, "attention_mask": torch.empty_like(ids)}


def loss_of(recipe: Recipe, format: str, batch: Batch) -> Callable:
    """(model) -> the loss, as the task's trainer works it out."""
    ways = {"text-classification": classes, "token-classification": tags, "sentence-similarity": vectors}
    if recipe.task in ways:
        return lambda model: ways[recipe.task](model, batch, format)
    if format in ("preference", "binary-preference"):
        return lambda model: preferences(model, batch, format)
    return lambda model: text(model, batch, recipe)


# ---- text


def text(model, batch: Batch, recipe: Recipe) -> torch.Tensor:
    from jobs.training.tasks.text_generation import needs_logits

    tokens = batch.tokens()
    if needs_logits(model, SimpleNamespace(recipe=recipe)):
        return whole_logits(model, tokens, tokens["input_ids"])
    if recipe.training.label_smoothing and model.training:
        return smoothed(model, tokens)
    if kind() == "cuda":
        return -log_probs(model, tokens, SFT_OUTPUTS).sum()
    return every_answer(model, tokens)


def every_answer(model, tokens: dict) -> torch.Tensor:
    """The studio's own way on a processor, where every token is an answer's."""
    from jobs.training import answer_loss

    base = model.get_base_model() if hasattr(model, "peft_config") else model
    if answer_loss.OWN not in vars(base):
        answer_loss.set_answer_loss(base)
    logits = tokens["input_ids"].numel() * base.config.get_text_config().vocab_size
    with mock.patch.multiple(answer_loss, answers=lambda hidden, targets: (hidden.flatten(0, 1), targets.flatten()),
                             losses=lambda logits, *others: logits.sum(), AT_ONCE=max(answer_loss.AT_ONCE, logits // TURNS)):
        return model(**tokens, labels=tokens["input_ids"]).loss


def log_probs(model, tokens: dict, outputs: tuple[str, ...]) -> torch.Tensor:
    """TRL's way, which never holds all logits at once."""
    from trl.trainer.utils import add_fused_lm_head

    base = model.get_base_model() if hasattr(model, "peft_config") else model
    if "forward" not in vars(base):
        add_fused_lm_head(base, outputs=outputs)
    with folded(base.config.get_text_config().vocab_size):
        return model(**tokens, labels=tokens["input_ids"], use_cache=False, fused_lm_head=True).log_probs


def folded(vocabulary: int):
    """On a GPU a kernel works through a tile of logits where it is; the processor makes intermediate tiles."""
    from trl.kernels import chunked_logprob
    from trl.trainer import utils

    if kind() != "cuda":  # where room that no logit is written to takes no memory
        return mock.patch.object(utils, "_CHUNKED_LOGPROB_CHUNK_SIZE", min(utils._CHUNKED_LOGPROB_CHUNK_SIZE, vocabulary))
    return mock.patch.multiple(chunked_logprob, _forward_tile=nothing, _backward_tile=nothing)


def nothing(*arguments, **options) -> None:
    """In place of what works within memory that is there already."""


def whole_logits(model, tokens: dict, labels: torch.Tensor) -> torch.Tensor:
    """The model's own loss; the trainer holds on to the outputs, and mixed precision makes fp32 of them."""
    out = model(**tokens, labels=labels)
    if "logits" in out and torch.is_autocast_enabled("cpu"):
        out["logits"] = out["logits"].float()
    return KeepsAlive.apply(out.loss, out)


class KeepsAlive(torch.autograd.Function):
    """A value, while something else is held until the way back has passed it."""

    @staticmethod
    def forward(ctx, value, other):
        ctx.other = other
        return value.view_as(value)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def smoothed(model, tokens: dict) -> torch.Tensor:
    """transformers' label smoother over all logits."""
    logits = model(**tokens).logits[..., :-1, :].contiguous()
    probabilities = -torch.nn.functional.log_softmax(logits, dim=-1)
    picked = probabilities.gather(dim=-1, index=tokens["input_ids"][..., 1:, None])
    return picked.sum() + probabilities.sum(dim=-1, keepdim=True, dtype=torch.float32).sum()


def preferences(model, batch: Batch, format: str) -> torch.Tensor:
    """Both answers of a row at once, and what the base model alone makes of them."""
    both = format == "preference"
    tokens = batch.tokens(2 if both else 1)
    if not both:
        with torch.no_grad():
            log_probs(model, tokens, ("log_probs",))
    learned = log_probs(model, tokens, DPO_OUTPUTS)
    with torch.no_grad():
        if copies := getattr(model, REFERENCE, None):
            plain = log_probs(copies[0], tokens, ("log_probs",))
        else:
            with model.disable_adapter():
                plain = log_probs(model, tokens, DPO_OUTPUTS)
    return (learned.sum(dim=1) - plain.sum(dim=1)).sum()


# ---- classes, tags and vectors


def classes(model, batch: Batch, format: str) -> torch.Tensor:
    dtype = torch.float32 if format == "regression" else torch.long
    return whole_logits(model, batch.tokens(), torch.empty(batch.rows, dtype=dtype))


def tags(model, batch: Batch, format: str) -> torch.Tensor:
    logits = model(**batch.tokens()).logits[:, -batch.length:]
    labels = torch.empty(batch.rows * batch.length, dtype=torch.long)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels, reduction="sum")


def vectors(model, batch: Batch, format: str) -> torch.Tensor:
    from jobs.training.answers import embed

    found = embed(model, **batch.tokens(TEXTS.get(format, 2)))
    scores = found[:batch.rows] @ found[batch.rows:].T
    return torch.nn.functional.cross_entropy(scores, torch.empty(batch.rows, dtype=torch.long))
