"""Text generation from preferences: the better of two answers (DPO), or answers that are wanted or not (KTO).

The base model with the adapter switched off is the reference that the answers' probabilities are compared with: no second copy.
A model that is trained whole has none inside, so that the base model is loaded a second time for it.
"""

import contextlib
from collections import defaultdict
from collections.abc import Callable

import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

from jobs.methods import find_method
from jobs.preparing.encoding import TokenRow, encode_batch
from jobs.preparing.prepare import Encoded
from jobs.preparing.texts import NO_ANSWER, cut_away, needed_length
from jobs.training.batches import padded, texts
from jobs.training.context import TrainingContext
from jobs.training.tasks.text_generation import PEFT_TASK, generate, load_model, prompt_of, said
from jobs.training.watch import Watched
from jobs.training.weights import is_whole
from storage.problems import TrainingStopped

__all__ = ["PEFT_TASK", "build_trainer", "collator", "encode", "load_model", "sample"]

UNWANTED = "not this: "  # before the expected answer of a sample
SCORES = {"rewards/accuracies": "reward_accuracy", "rewards/margins": "reward_margin"}  # TRL's names and the studio's


class Preferring(Watched):
    """Before TRL's two trainers: takes rows of tokens as `encode` makes them, and tells the scores that the studio shows."""

    def _prepare_dataset(self, dataset, *arguments):
        return dataset

    def log(self, logs, start_time=None):
        told = self._metrics["train" if self.model.training else "eval"]
        for name in list(told):
            values = told.pop(name)
            if name in SCORES:
                told[SCORES[name]] = values
        super().log(logs, start_time)


class WatchedDPOTrainer(Preferring, DPOTrainer):
    """TRL's trainer for pairs of answers (Rafailov et al. 2023, arXiv 2305.18290)."""


class WatchedKTOTrainer(Preferring, KTOTrainer):
    """TRL's trainer for single answers (Ethayarajh et al. 2024, arXiv 2402.01306)."""


def collator(context: TrainingContext) -> Callable[[list[dict]], dict[str, torch.Tensor]]:
    """A batch as DPOTrainer takes it (all chosen answers with their prompts, then all rejected ones), or as KTOTrainer does.

    For KTO each prompt also comes with the answer of the row before it, to estimate the divergence from. Pairing within the
    batch, in place of TRL's pairing in advance, leaves the rows free to be shuffled.
    """
    padding, limit = context.tokenizer.pad_token_id, context.recipe.training.max_length

    def pairs(rows: list[dict]) -> dict[str, torch.Tensor]:
        return batch_of([(row[f"{name}_ids"], row[f"{name}_mask"]) for name in ("chosen", "rejected") for row in rows], padding)

    def single(rows: list[dict]) -> dict[str, torch.Tensor]:
        others = [mismatched(row, other, limit) for row, other in zip(rows, [rows[-1], *rows[:-1]], strict=True)]
        return {**batch_of([(row["completion_ids"], row["completion_mask"]) for row in rows], padding),
                **{f"KL_{name}": values for name, values in batch_of(others, padding).items()},
                "label": torch.tensor([row["desirable"] for row in rows])}

    return pairs if context.format == "preference" else single


def batch_of(rows: list[tuple[list[int], list[int]]], padding: int) -> dict[str, torch.Tensor]:
    """`input_ids`, `attention_mask` and `completion_mask` (1: a token of the answer) of (ids, mask) rows."""
    return {**texts([ids for ids, _ in rows], padding), "completion_mask": padded([mask for _, mask in rows], 0)}


def mismatched(row: dict, other: dict, limit: int) -> tuple[list[int], list[int]]:
    """The prompt of one row with the answer of another."""
    start, other_start = row["completion_mask"].index(1), other["completion_mask"].index(1)
    ids = row["completion_ids"][:start] + other["completion_ids"][other_start:]
    return ids[:limit], ([0] * start + other["completion_mask"][other_start:])[:limit]


def encode(examples: list[dict], context: TrainingContext) -> Encoded:
    """For each answer (chosen and rejected, or completion) `…_ids` and `…_mask`, cut at max_length; `length` is the longest's.

    Rows of which an answer keeps nothing after the cut are left out; the first token is never predicted.
    """
    limit = context.recipe.training.max_length
    columns: dict[str, list] = defaultdict(list)
    encoded = Encoded(columns)
    for example, answers in zip(examples, encode_batch(examples, context.tokenizer, context.format), strict=True):
        encoded.cut += any(len(answer.ids) > limit for answer in answers.values())
        needed = [needed_length(answer) for answer in answers.values()]
        problem = next((answer.problem for answer in answers.values() if answer.problem), "")
        if problem or not all(0 < length <= limit for length in needed):
            needed = max(needed) if all(needed) else 0
            encoded.lost.append((problem or (cut_away(limit) if needed else NO_ANSWER), needed))
            continue
        for name, answer in answers.items():
            columns[f"{name}_ids"].append(answer.ids[:limit])
            columns[f"{name}_mask"].append(answer_mask(answer)[:limit])
        columns["length"].append(min(limit, max(len(answer.ids) for answer in answers.values())))
        if "desirable" in example:
            columns["desirable"].append(example["desirable"])
    return encoded


def answer_mask(row: TokenRow) -> list[int]:
    """1 for each token of the answer, 0 for the others."""
    mask = [0] * len(row.ids)
    for first, end in row.trained:
        mask[first:end] = [1] * (end - first)
    return mask


def say_usual_rate(context: TrainingContext) -> None:
    """A rate that suits learning by example is large for preferences, where a small change in probabilities is wanted."""
    rate, usual = context.recipe.training.learning_rate, find_method(context.recipe.method).learning_rate
    if rate >= usual:
        context.report.say(f"The learning rate is {rate:g}. Learning from preferences mostly takes a tenth of "
                           f"what other data takes: where the answers get worse, try {usual / 10:g}.")


def build_trainer(model, train: Dataset, validation: Dataset | None, context: TrainingContext, arguments: dict):
    say_usual_rate(context)
    arguments = {**arguments, "max_length": context.recipe.training.max_length, "remove_unused_columns": False}
    rows = {"model": model, "train_dataset": train, "eval_dataset": validation, "processing_class": context.tokenizer,
            "data_collator": collator(context), "ref_model": load_model(context) if is_whole(model) else None}
    try:
        with without_copy(model):
            if context.format == "preference":
                return WatchedDPOTrainer(args=DPOConfig(**arguments), **rows)
            # TRL asks for rows in their order, which only its own pairing in advance needs
            config = KTOConfig(**{**arguments, "train_sampling_strategy": "sequential"})
            trainer = WatchedKTOTrainer(args=config, **rows)
            config.train_sampling_strategy = arguments["train_sampling_strategy"]
            return trainer
    except ValueError as error:  # TRL's own checks, such as layers that it cannot train
        raise TrainingStopped(f"TRL refuses these settings for learning from preferences: {error}") from error


@contextlib.contextmanager
def without_copy(model):
    """Keep TRL from adding a frozen copy of the adapter, which not every method allows: the base model alone is the reference."""
    if is_whole(model):
        yield
        return
    found = model.get_parameter
    model.add_adapter = lambda name, config: None
    model.get_parameter = lambda name: found(name.replace(".ref.", ".default."))  # it copies the weights, now onto themselves
    try:
        yield
    finally:
        del model.add_adapter, model.get_parameter


def sample(model, examples: list[dict], context: TrainingContext) -> list[dict]:
    """Greedy answers to some prompts, beside the better answer (or the one that is wanted or not). A request cuts them short."""
    samples = []
    for example in examples:
        asked, better = example["prompt"], example["chosen" if "chosen" in example else "completion"]
        samples.append({"prompt": said(asked[-1]) if asked else "",
                        "expected": ("" if example.get("desirable", True) else UNWANTED) + said(better[-1]),
                        "answer": generate(model, prompt_of(asked, example, context), False, context)})
    return samples
