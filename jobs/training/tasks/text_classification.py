"""Text classification: one label for each text, scored by accuracy and macro-F1."""

import numpy as np
import torch
from datasets import Dataset
from sklearn.metrics import accuracy_score, f1_score
from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding, Trainer, TrainingArguments

from jobs.training.base import load_base_model
from jobs.training.context import TrainingContext
from jobs.training.watch import Watched

PEFT_TASK = "SEQ_CLS"
HEADS = {"classifier", "score"}
POOLERS = {"pooler"}


class WatchedTrainer(Watched, Trainer):
    """The transformers trainer, watched."""


def load_model(context: TrainingContext):
    """The base model with a new head, whose label names stay in its config."""
    names = dict(enumerate(context.labels))
    model, loading = load_base_model(context, AutoModelForSequenceClassification, num_labels=len(names), id2label=names,
                                     label2id={name: number for number, name in names.items()}, output_loading_info=True)
    # peft saves a head by its usual names; what else is new beside it (BERT's pooler, DistilBERT's pre_classifier) it must be told
    missing = {name.removeprefix(f"{model.base_model_prefix}.").split(".")[0] for name in loading["missing_keys"]}
    context.new_modules = sorted(missing - HEADS)
    # a pooler stands between encoder and head, and sentence encoders never used theirs: MiniLM on banking77 reaches 0.88 after one
    # epoch with it trained whole, and 0.67 with it frozen under a low-rank change
    poolers = {name for name, _ in model.base_model.named_children()} & POOLERS
    context.modules_to_save = sorted(set(context.new_modules) | poolers)
    model.config.pad_token_id = context.tokenizer.pad_token_id
    return model


def encode(examples: list[dict], context: TrainingContext) -> Dataset:
    """`input_ids`, `attention_mask` and `labels` (the label's number), cut at max_length."""
    if not examples:
        return Dataset.from_dict({"input_ids": [], "attention_mask": [], "labels": []})
    number = {name: index for index, name in enumerate(context.labels)}
    limit = context.recipe.training.max_length
    encoded = context.tokenizer([example["text"] for example in examples], truncation=True, max_length=limit,
                                return_token_type_ids=False)
    return Dataset.from_dict({**encoded, "labels": [number[example["label"]] for example in examples]})


def build_trainer(model, train: Dataset, validation: Dataset | None, context: TrainingContext, arguments: dict):
    return WatchedTrainer(
        model=model, args=TrainingArguments(**arguments), train_dataset=train, eval_dataset=validation,
        processing_class=context.tokenizer, data_collator=DataCollatorWithPadding(context.tokenizer),
        compute_metrics=score)


def score(prediction) -> dict[str, float]:
    """Accuracy and macro-F1 of a whole validation set."""
    logits = prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions
    chosen = np.argmax(logits, axis=-1)
    return {"accuracy": float(accuracy_score(prediction.label_ids, chosen)),
            "macro_f1": float(f1_score(prediction.label_ids, chosen, average="macro", zero_division=0))}


@torch.inference_mode()
def sample(model, examples: list[dict], context: TrainingContext) -> list[dict]:
    """The label chosen for some examples, with its probability."""
    samples = []
    was_training = model.training
    model.eval()
    for example in examples:
        inputs = context.tokenizer(example["text"], return_tensors="pt", truncation=True, return_token_type_ids=False,
                                   max_length=context.recipe.training.max_length).to(model.device)
        probabilities = torch.softmax(model(**inputs).logits[0].float(), dim=-1)
        best = int(probabilities.argmax())
        samples.append({"prompt": example["text"], "expected": example["label"],
                        "answer": f"{context.labels[best]} ({probabilities[best]:.0%})"})
    model.train(was_training)
    return samples
