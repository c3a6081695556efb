"""Token classification: a tag for every word, scored by the entities that are found whole."""

from collections.abc import Callable

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForTokenClassification, EvalPrediction, Trainer, TrainingArguments

from jobs.preparing.cutting import NO_TOKEN, cut_texts
from jobs.preparing.encoding import first_tokens
from jobs.preparing.prepare import Encoded
from jobs.training.answers import encode_words, tagged, tags_of
from jobs.training.base import load_base_model
from jobs.training.batches import IGNORED, padded, texts
from jobs.training.context import TrainingContext
from jobs.training.spans import f1_of_spans
from jobs.training.watch import Watched

PEFT_TASK = "TOKEN_CLS"
HEADS = {"classifier", "score"}


class WatchedTagTrainer(Watched, Trainer):
    """The transformers trainer, watched. Its loss is over the tokens of the text: a learned prompt before them has no tags."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs["labels"]
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        logits = outputs.logits[:, -labels.shape[1]:]
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED,
                                                   reduction="sum", label_smoothing=self.smoothing())
        counted = (labels != IGNORED).sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
        loss = losses / counted
        return (loss, {"loss": loss, "logits": logits}) if return_outputs else loss


def load_model(context: TrainingContext):
    """The base model with a new head, whose tag names stay in its config."""
    names = dict(enumerate(context.labels))
    model, loading = load_base_model(context, AutoModelForTokenClassification, num_labels=len(names), id2label=names,
                                     label2id={name: number for number, name in names.items()}, output_loading_info=True)
    missing = {name.removeprefix(f"{model.base_model_prefix}.").split(".")[0] for name in loading["missing_keys"]}
    context.new_modules = sorted(missing - HEADS)
    # the head by its name too: peft does not know it as one that "all-linear" leaves alone
    context.modules_to_save = sorted(missing | HEADS & {name for name, _ in model.named_children()})
    model.config.pad_token_id = context.tokenizer.pad_token_id
    return model


def encode(examples: list[dict], context: TrainingContext) -> Encoded:
    """`input_ids` and `labels`: the tag's number at the first token of a word, IGNORED at all others. Cut at max_length."""
    number = {name: index for index, name in enumerate(context.labels)}
    limit = context.recipe.training.max_length
    encoded = Encoded({"input_ids": [], "labels": [], "length": []})
    cut = cut_texts([(" ".join(example["tokens"]),) for example in examples], context.tokenizer, limit, offsets=True)
    for example, text in zip(examples, cut, strict=True):
        encoded.cut += text.cut
        labels = [IGNORED] * len(text.ids)
        for first, tag in zip(first_tokens(example["tokens"], text.offsets), example["tags"], strict=True):
            if first >= 0:
                labels[first] = number[tag]
        if all(label == IGNORED for label in labels):
            encoded.lost.append((NO_TOKEN, 0))
            continue
        encoded.columns["input_ids"].append(text.ids)
        encoded.columns["labels"].append(labels)
        encoded.columns["length"].append(len(text.ids))
    return encoded


def collator(context: TrainingContext) -> Callable[[list[dict]], dict[str, torch.Tensor]]:
    padding = context.tokenizer.pad_token_id
    return lambda rows: {**texts([row["input_ids"] for row in rows], padding),
                         "labels": padded([row["labels"] for row in rows], IGNORED)}


def build_trainer(model, train: Dataset, validation: Dataset | None, context: TrainingContext, arguments: dict):
    def score(prediction: EvalPrediction) -> dict[str, float]:
        """F1 of the entities, and the share of words with the right tag."""
        names = np.array(context.labels)
        pairs = [(names[expected[expected != IGNORED]], names[found[expected != IGNORED]])
                 for expected, found in zip(prediction.label_ids, prediction.predictions, strict=True)]
        words = sum(len(expected) for expected, _ in pairs)
        return {"f1": f1_of_spans(pairs), "accuracy": sum(int((expected == found).sum()) for expected, found in pairs) / words}

    return WatchedTagTrainer(
        model=model, args=TrainingArguments(**arguments, remove_unused_columns=False), train_dataset=train, eval_dataset=validation,
        processing_class=context.tokenizer, data_collator=collator(context),
        compute_metrics=score, preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(dim=-1))


@torch.inference_mode()
def sample(model, examples: list[dict], context: TrainingContext) -> list[dict]:
    """Some texts, with the tags that they have and those that are found."""
    samples = []
    was_training = model.training
    model.eval()
    for example in examples:
        words = example["tokens"]
        encoded, firsts = encode_words(words, context.tokenizer, truncation=True, max_length=context.recipe.training.max_length)
        found = tags_of(encoded.to(model.device), firsts, model, context.labels)
        samples.append({"prompt": " ".join(words), "expected": tagged(words, example["tags"]), "answer": tagged(words, found)})
    model.train(was_training)
    return samples
