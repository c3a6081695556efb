"""Text classification: one label for each text or pair of texts, or one number (regression)."""

from collections.abc import Callable

import numpy as np
import torch
from datasets import Dataset
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score
from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments

from jobs.preparing.cutting import NO_TOKEN, cut_texts
from jobs.preparing.encoding import texts_of
from jobs.preparing.prepare import Encoded
from jobs.training import batches
from jobs.training.base import load_base_model
from jobs.training.context import TrainingContext
from jobs.training.watch import Watched

PEFT_TASK = "SEQ_CLS"
HEADS = {"classifier", "score"}
POOLERS = {"pooler"}
NEAR_ENOUGH = (0.01, 20)  # standard deviations of numbers that a usual learning rate reaches


class WatchedTrainer(Watched, Trainer):
    """The transformers trainer, watched."""

    # the trainer divides the loss by the accumulated batches unless the model did: some classifiers do and some do not, and a
    # model that is not told their number never does
    loss_is_scaled_for_ga = False

    def _get_num_items_in_batch(self, *arguments, **options):
        return None


def predicts_number(context: TrainingContext) -> bool:
    return context.format == "regression"


def load_model(context: TrainingContext):
    """The base model with a new head, whose label names stay in its config; for numbers it has the one label `score`."""
    names = dict(enumerate(["score"] if predicts_number(context) else context.labels))
    kind = "regression" if predicts_number(context) else "single_label_classification"
    model, loading = load_base_model(context, AutoModelForSequenceClassification, num_labels=len(names), id2label=names,
                                     label2id={name: number for number, name in names.items()}, problem_type=kind,
                                     output_loading_info=True)
    # peft saves a head by its usual names; what else is new beside it (BERT's pooler, DistilBERT's pre_classifier) it must be told
    missing = {name.removeprefix(f"{model.base_model_prefix}.").split(".")[0] for name in loading["missing_keys"]}
    context.new_modules = sorted(missing - HEADS)
    # a pooler stands between encoder and head, and sentence encoders never used theirs: MiniLM on banking77 reaches 0.88 after one
    # epoch with it trained whole, and 0.67 with it frozen under a low-rank change
    poolers = {name for name, _ in model.base_model.named_children()} & POOLERS
    context.modules_to_save = sorted(set(context.new_modules) | poolers)
    model.config.pad_token_id = context.tokenizer.pad_token_id
    return model


def encode(examples: list[dict], context: TrainingContext) -> Encoded:
    """`input_ids` and `labels` (the label's number, or the number itself), cut at max_length."""
    number = {name: index for index, name in enumerate(context.labels)}
    encoded = Encoded({"input_ids": [], "labels": [], "length": []})
    texts = [texts_of(example, context.tokenizer) for example in examples]
    for example, text in zip(examples, cut_texts(texts, context.tokenizer, context.recipe.training.max_length), strict=True):
        encoded.cut += text.cut
        if not text.ids:
            encoded.lost.append((NO_TOKEN, 0))
            continue
        encoded.columns["input_ids"].append(text.ids)
        encoded.columns["labels"].append(float(example["score"]) if predicts_number(context) else number[example["label"]])
        encoded.columns["length"].append(len(text.ids))
    return encoded


def collator(context: TrainingContext) -> Callable[[list[dict]], dict[str, torch.Tensor]]:
    padding = context.tokenizer.pad_token_id
    return lambda rows: {**batches.texts([row["input_ids"] for row in rows], padding),
                         "labels": torch.tensor([row["labels"] for row in rows])}


def build_trainer(model, train: Dataset, validation: Dataset | None, context: TrainingContext, arguments: dict):
    if predicts_number(context) and not NEAR_ENOUGH[0] <= (spread := float(np.std(train["labels"]))) <= NEAR_ENOUGH[1]:
        context.report.say(f"The numbers to predict differ from each other by {spread:.3g} (standard deviation). Where training is "
                           "too slow, divide them so that they lie between 0 and 5 or so.", "warning")
    return WatchedTrainer(
        model=model, args=TrainingArguments(**arguments, remove_unused_columns=False), train_dataset=train, eval_dataset=validation,
        processing_class=context.tokenizer, data_collator=collator(context),
        compute_metrics=score_numbers if predicts_number(context) else score_labels)


def score_labels(prediction) -> dict[str, float]:
    """Accuracy and macro-F1 of a whole validation set."""
    chosen = np.argmax(logits_of(prediction), axis=-1)
    return {"accuracy": float(accuracy_score(prediction.label_ids, chosen)),
            "macro_f1": float(f1_score(prediction.label_ids, chosen, average="macro", zero_division=0))}


def score_numbers(prediction) -> dict[str, float]:
    """How predicted and true numbers go together: Pearson's and Spearman's correlation, and the root mean square error."""
    found, expected = logits_of(prediction).astype(float).reshape(-1), prediction.label_ids.astype(float).reshape(-1)
    scores = {"rmse": float(np.sqrt(np.mean((found - expected) ** 2)))}
    if len(set(found)) > 1 and len(set(expected)) > 1:  # there is no correlation with what is always the same
        scores |= {"pearson": float(pearsonr(found, expected).statistic), "spearman": float(spearmanr(found, expected).statistic)}
    return scores


def logits_of(prediction) -> np.ndarray:
    return prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions


@torch.inference_mode()
def sample(model, examples: list[dict], context: TrainingContext) -> list[dict]:
    """The label chosen for some examples, with its probability, or their number."""
    samples = []
    was_training = model.training
    model.eval()
    for example in examples:
        inputs = context.tokenizer(*texts_of(example, context.tokenizer), return_tensors="pt", truncation=True,
                                   return_token_type_ids=False, max_length=context.recipe.training.max_length).to(model.device)
        logits = model(**inputs).logits[0].float()
        samples.append({"prompt": "\n".join(filter(None, (example["text"], example.get("text_pair")))), **(
            {"expected": f"{example['score']:g}", "answer": f"{float(logits[0]):.4g}"} if predicts_number(context) else
            {"expected": example["label"], "answer": likeliest(logits, context.labels)})})
    model.train(was_training)
    return samples


def likeliest(logits: torch.Tensor, labels: list[str]) -> str:
    probabilities = torch.softmax(logits, dim=-1)
    best = int(probabilities.argmax())
    return f"{labels[best]} ({probabilities[best]:.0%})"
