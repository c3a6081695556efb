"""Sentence similarity: texts that belong together get vectors that point the same way, other texts of their batch do not."""

from collections.abc import Callable

import torch
from datasets import Dataset
from transformers import AutoModel, EvalPrediction, Trainer, TrainingArguments

from jobs.preparing.cutting import NO_TOKEN, cut_texts
from jobs.preparing.prepare import Encoded
from jobs.training.answers import embed, similarities
from jobs.training.base import load_base_model
from jobs.training.batches import texts
from jobs.training.context import TrainingContext
from jobs.training.watch import Watched

PEFT_TASK = "FEATURE_EXTRACTION"
SCALE = 20.0  # of a cosine, before the softmax
PARTS = ("anchor", "positive", "negative")


class WatchedSimilarityTrainer(Watched, Trainer):
    """The transformers trainer, watched, with a ranking loss.

    Each text is to find its own partner among those of its batch, and among the wrong answers where the data has them: in-batch
    negatives (Henderson et al. 2017, arXiv 1705.00652), with the cosine and the scale of Sentence-BERT's
    MultipleNegativesRankingLoss (Reimers and Gurevych 2019, arXiv 1908.10084).
    """

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        own = inputs["labels"]
        vectors = embed(model, inputs["input_ids"], inputs["attention_mask"])
        anchors, candidates = vectors[:len(own)], vectors[len(own):]
        scores = SCALE * anchors @ candidates.T
        scores = scores.masked_fill(self.doubles(inputs["input_ids"][len(own):], own), -torch.inf)
        loss = torch.nn.functional.cross_entropy(scores, own, reduction="sum") / (num_items_in_batch or len(own))
        return (loss, {"loss": loss, "logits": scores.argmax(dim=-1)}) if return_outputs else loss

    @staticmethod
    def doubles(candidates: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        """Where a candidate reads exactly as the own partner does: it is no wrong answer."""
        number = torch.unique(candidates, dim=0, return_inverse=True)[1]
        same = number[own][:, None] == number[None]
        same[own, own] = False
        return same


def load_model(context: TrainingContext):
    """The base model without any head."""
    return load_base_model(context, AutoModel)


def encode(examples: list[dict], context: TrainingContext) -> Encoded:
    """The ids of `anchor`, `positive` and, where there is one, `negative`, each cut at max_length; `length` is the longest's."""
    limit = context.recipe.training.max_length
    parts = [part for part in PARTS if part in examples[0]]
    encoded = Encoded({**{part: [] for part in parts}, "length": []})
    columns = [cut_texts([(example[part],) for example in examples], context.tokenizer, limit) for part in parts]
    for row in zip(*columns, strict=True):
        encoded.cut += any(text.cut for text in row)
        if not all(text.ids for text in row):
            encoded.lost.append((NO_TOKEN, 0))
            continue
        for part, text in zip(parts, row, strict=True):
            encoded.columns[part].append(text.ids)
        encoded.columns["length"].append(max(len(text.ids) for text in row))
    return encoded


def collator(context: TrainingContext) -> Callable[[list[dict]], dict[str, torch.Tensor]]:
    """One batch of all texts: the anchors, their partners in the same order, then the wrong answers. `labels`: the own partner."""
    padding = context.tokenizer.pad_token_id
    # labels first: by the first tensor the trainer counts the rows of a batch
    return lambda rows: {"labels": torch.arange(len(rows)),
                         **texts([row[part] for part in PARTS if part in rows[0] for row in rows], padding)}


def build_trainer(model, train: Dataset, validation: Dataset | None, context: TrainingContext, arguments: dict):
    config = TrainingArguments(**arguments, remove_unused_columns=False, label_names=["labels"])
    return WatchedSimilarityTrainer(
        model=model, args=config, train_dataset=train, eval_dataset=validation, processing_class=context.tokenizer,
        data_collator=collator(context), compute_metrics=score)


def score(prediction: EvalPrediction) -> dict[str, float]:
    """How many texts find their own partner among all that are measured with them."""
    return {"accuracy": float((prediction.predictions == prediction.label_ids).mean())}


@torch.inference_mode()
def sample(model, examples: list[dict], context: TrainingContext) -> list[dict]:
    """How near some texts are to their partners, and to the wrong answers where there are some."""
    samples = []
    was_training = model.training
    model.eval()
    for example in examples:
        texts = [example[part] for part in PARTS if part in example]
        encoded = context.tokenizer(texts, return_tensors="pt", padding=True, truncation=True, return_token_type_ids=False,
                                    max_length=context.recipe.training.max_length)
        near, *far = similarities(encoded.to(model.device), model)
        samples.append({"prompt": example["anchor"], "expected": example["positive"],
                        "answer": f"{near:.2f}" + (f", and {far[0]:.2f} to the wrong one" if far else "")})
    model.train(was_training)
    return samples
