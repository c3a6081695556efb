"""Some training rows looked at before the first step, for methods that start from data. The same rows give the same each time."""

from collections.abc import Callable, Iterator

import torch

from jobs.training.base import computing
from jobs.training.batches import IGNORED
from jobs.training.context import TrainingContext
from jobs.training.tasks.sentence_similarity import WatchedSimilarityTrainer
from jobs.training.tasks.token_classification import WatchedTagTrainer

INPUTS = ("input_ids", "attention_mask", "position_ids")
BETA = 0.1  # TRL's, of both losses for preferences
Batch = dict[str, torch.Tensor]


def spread(rows, count: int) -> list[dict]:
    """At most `count` rows, evenly over all of them: files are often sorted."""
    wanted = min(count, len(rows))
    return [rows[place * len(rows) // wanted] for place in range(wanted)]


def batches(rows: list[dict], size: int, context: TrainingContext) -> Iterator[Batch]:
    """Batches as the trainer makes them, on the device."""
    collate = context.task.collator(context)
    for start in range(0, len(rows), size):
        yield on_device(collate(rows[start:start + size]), context)


def on_device(batch: Batch, context: TrainingContext) -> Batch:
    return {name: tensor.to(context.device) for name, tensor in batch.items()}


def inputs_of(batch: Batch) -> Batch:
    """What every model reads of a batch."""
    return {name: batch[name] for name in INPUTS if name in batch}


def texts_of(batch: Batch) -> Iterator[Batch]:
    """Its texts one by one, without padding."""
    for number in range(len(batch["input_ids"])):
        text = {name: tensor[number:number + 1] for name, tensor in inputs_of(batch).items()}
        if "attention_mask" in text:
            real = text["attention_mask"][0].bool()
            text = {name: tensor[:, real] for name, tensor in text.items()}
        yield text


def learned_places(batch: Batch) -> torch.Tensor:
    """Which tokens of a batch are learned, or all real ones where a label is of a whole text."""
    ids = batch["input_ids"]
    real = batch["attention_mask"].bool() if "attention_mask" in batch else torch.ones_like(ids, dtype=torch.bool)
    if "completion_mask" in batch:
        return real & batch["completion_mask"].bool()
    labels = batch.get("labels")
    return real & (labels != IGNORED) if labels is not None and labels.shape == ids.shape else real


def loss_of(model, batch: Batch, context: TrainingContext) -> torch.Tensor:
    """The loss of a bare base model on a batch, which the task's trainer would step down first."""
    with computing(context):
        return _loss_of(model, batch, context)


def _loss_of(model, batch: Batch, context: TrainingContext) -> torch.Tensor:
    if context.format in ("preference", "binary-preference"):
        return preference_loss(model, batch)
    if context.recipe.task == "sentence-similarity":
        return WatchedSimilarityTrainer.compute_loss(WatchedSimilarityTrainer, model, batch)
    if context.recipe.task == "token-classification":
        return WatchedTagTrainer.compute_loss(None, model, batch)
    return model(**batch).loss


def preference_loss(model, batch: Batch) -> torch.Tensor:
    """Wanted answers up and others down: with the gradient that DPO and KTO have while model and reference are the same."""
    logits = model(**inputs_of(batch)).logits[:, :-1].float()
    learned = batch["completion_mask"][:, 1:].bool()
    each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["input_ids"][:, 1:].flatten(), reduction="none")
    unlikely = (each.view_as(learned) * learned).sum(dim=1)
    if "label" in batch:
        return BETA / 4 * torch.where(batch["label"].bool(), unlikely, -unlikely).mean()
    better, worse = unlikely.chunk(2)
    return BETA / 2 * (better - worse).mean()


def each_of(rows: list[dict], context: TrainingContext, use: Callable[[Batch], object]) -> None:
    """Call `use` with every text of the rows, one at a time."""
    for batch in batches(rows, 1, context):
        for text in texts_of(batch):
            with computing(context):
                use(text)
