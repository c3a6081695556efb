"""The scores of each task, worked out as a training's evaluation does, but token by token (or row by row) over all rows."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import torch

from jobs.certificate.judge import Figure
from jobs.playground.models import Answerer
from jobs.preparing.collating import IGNORED, TextCollator
from jobs.training.answers import OUTSIDE, embed
from jobs.training.batches import texts
from jobs.training.context import TrainingContext
from jobs.training.spans import f1_of_spans
from jobs.training.tasks import text_classification
from jobs.training.tasks.preference import batch_of
from jobs.training.tasks.sentence_similarity import PARTS, WatchedSimilarityTrainer

ROWS, LOGITS = "validation rows", 50_000_000  # numbers of logits at a time
MOST_AT_ONCE = 16
BASE_BROKEN = "The base model itself gives infinity, or no number, so there is nothing to compare with."
MOST_FREQUENT, NO_ENTITY, ALWAYS_MEAN, CHANCE = ("always the most frequent label", "no entity at all", "always the mean", "chance")

Scorer = Callable[[list[dict], Answerer, Answerer, TrainingContext], list[Figure]]


def figure(score: str, measured: float | None, base: float | None, rows: int, base_is: str = "") -> Figure:
    if base is not None and not math.isfinite(base):
        return Figure(name="score", score=score, why=BASE_BROKEN)
    broken = measured is None or not math.isfinite(measured)
    return Figure(name="score", score=score, measured=None if broken else measured, base=base, rows=rows, of=ROWS, broken=broken,
                  base_is=base_is)


# ---- passes


def batches(rows: list[dict], answerer: Answerer, length: Callable[[dict], int]) -> Iterator[list[dict]]:
    """Rows of one task and about one length, so many that their logits fit; the model knows which task they are of."""
    vocabulary = getattr(answerer.model.config.get_text_config(), "vocab_size", None) or 1
    waiting: list[dict] = []
    for row in sorted(rows, key=lambda row: (row["task"], length(row))):
        most = max(1, min(MOST_AT_ONCE, LOGITS // (length(row) * vocabulary)))
        if waiting and (len(waiting) >= most or row["task"] != waiting[0]["task"]):
            yield from _of_task(waiting, answerer)
            waiting = []
        waiting.append(row)
    if waiting:
        yield from _of_task(waiting, answerer)


def _of_task(rows: list[dict], answerer: Answerer) -> Iterator[list[dict]]:
    if answerer.tasks:
        answerer.model.usual_task = rows[0]["task"]
    yield rows


def padding_of(answerer: Answerer) -> int:
    """What fills rows up, which the mask leaves out."""
    return answerer.tokenizer.pad_token_id or 0


def logits_of(answerer: Answerer, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """For the tokens of a text; those of a learned prompt before them are left out."""
    inputs = {name: batch[name].to(answerer.device) for name in ("input_ids", "attention_mask")}
    return answerer.model(**inputs).logits


def token_losses(answerer: Answerer, batch: dict[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    """The loss of each token that has a label, 0 elsewhere; one place shorter than the rows, since the first is not predicted."""
    labels = labels.to(answerer.device)[:, 1:]
    logits = logits_of(answerer, batch)[:, -batch["input_ids"].shape[1]:][:, :-1].float()
    return torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")


def mean_loss(rows: list[dict], answerer: Answerer) -> tuple[float, int]:
    """The mean loss over all tokens that are trained, and their number."""
    collate, total, tokens = TextCollator(padding_of(answerer)), 0.0, 0
    for chosen in batches(rows, answerer, lambda row: len(row["input_ids"])):
        batch = collate(chosen)
        total += float(token_losses(answerer, batch, batch["labels"]).sum(dtype=torch.float64))
        tokens += int((batch["labels"][:, 1:] != IGNORED).sum())
    return total / tokens, tokens


# ---- tasks


def score_text(rows: list[dict], base: Answerer, tuned: Answerer, context: TrainingContext) -> list[Figure]:
    return [figure("eval_loss", mean_loss(rows, tuned)[0], mean_loss(rows, base)[0], len(rows))]


def score_preferences(rows: list[dict], base: Answerer, tuned: Answerer, context: TrainingContext) -> list[Figure]:
    """How often the adapter moves the probabilities of answers the right way from the base model's, as DPO counts rewards."""
    for name in ("chosen", "rejected") if "chosen_ids" in rows[0] else ("completion",):
        for answerer, sign in ((tuned, 1), (base, -1)):
            for chosen in batches(rows, answerer, lambda row, name=name: len(row[f"{name}_ids"])):
                batch = batch_of([(row[f"{name}_ids"], row[f"{name}_mask"]) for row in chosen], padding_of(answerer))
                labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, IGNORED)
                moved = -sign * token_losses(answerer, batch, labels).sum(dim=1)
                for row, value in zip(chosen, moved.tolist(), strict=True):
                    wanted = -1 if name == "rejected" or not row.get("desirable", True) else 1
                    row["moved"] = row.get("moved", 0.0) + wanted * value
    right = [row["moved"] > 0 for row in rows]
    broken = not all(math.isfinite(row["moved"]) for row in rows)
    return [figure("reward_accuracy", None if broken else sum(right) / len(rows), 0.5, len(rows), CHANCE)]


def score_labels(rows: list[dict], base: Answerer, tuned: Answerer, context: TrainingContext) -> list[Figure]:
    """Accuracy and macro F1, or how near numbers are. A base model whose head was never trained is not asked."""
    found, expected = classified(rows, tuned, context)
    if len(context.labels) == 1:
        return score_numbers(found, expected)
    own = base.labels is not None and set(base.labels) == set(context.labels)
    broken = not np.isfinite(found).all()
    ours = {} if broken else text_classification.score_labels(SimpleNamespace(predictions=found, label_ids=expected))
    if own:
        theirs, base_expected = classified(rows, base, context)
        theirs = theirs[:, [base.labels.index(label) for label in context.labels]]
        base_scores = text_classification.score_labels(SimpleNamespace(predictions=theirs, label_ids=base_expected))
    else:
        constant = np.eye(len(context.labels))[[np.bincount(expected.astype(int)).argmax()] * len(expected)]
        base_scores = text_classification.score_labels(SimpleNamespace(predictions=constant, label_ids=expected))
    return [figure(score, ours.get(score), base_scores[score], len(rows), "" if own else MOST_FREQUENT)
            for score in ("accuracy", "macro_f1")]


def score_numbers(found: np.ndarray, expected: np.ndarray) -> list[Figure]:
    broken = not np.isfinite(found).all()
    scores = {} if broken else text_classification.score_numbers(SimpleNamespace(predictions=found, label_ids=expected))
    figures = [figure("rmse", scores.get("rmse"), float(np.std(expected)), len(expected), ALWAYS_MEAN)]
    return figures + [figure(score, scores[score], None, len(expected)) for score in ("pearson", "spearman") if score in scores]


def classified(rows: list[dict], answerer: Answerer, context: TrainingContext) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and the labels' numbers (or the numbers to predict), row by row."""
    logits, labels = [], []
    for chosen in batches(rows, answerer, lambda row: len(row["input_ids"])):
        batch = text_classification.collator(context)(chosen)
        logits.append(logits_of(answerer, batch).float().cpu().numpy())
        labels.append(batch["labels"].numpy())
    return np.concatenate(logits), np.concatenate(labels)


def score_tags(rows: list[dict], base: Answerer, tuned: Answerer, context: TrainingContext) -> list[Figure]:
    own = base.labels is not None and set(base.labels) == set(context.labels)
    pairs, broken = tagged(rows, tuned, context.labels, context.labels)
    if own:
        base_pairs, _ = tagged(rows, base, context.labels, base.labels)
    else:
        usual = Counter(tag for expected, _ in pairs for tag in expected).most_common(1)[0][0]
        base_pairs = [(expected, [OUTSIDE] * len(expected)) for expected, _ in pairs]
    ours, theirs = f1_of_spans(pairs), f1_of_spans(base_pairs)
    right = share_right(base_pairs if own else [(expected, [usual] * len(expected)) for expected, _ in pairs])
    return [figure("f1", None if broken else ours, theirs, len(rows), "" if own else NO_ENTITY),
            figure("accuracy", None if broken else share_right(pairs), right, len(rows), "" if own else MOST_FREQUENT)]


def tagged(rows: list[dict], answerer: Answerer, names: list[str], own_names) -> tuple[list[tuple[list[str], list[str]]], bool]:
    """(expected, found) tags of each row's words, and whether the model gave something that is no number."""
    pairs, broken = [], False
    for chosen in batches(rows, answerer, lambda row: len(row["input_ids"])):
        batch = texts([row["input_ids"] for row in chosen], padding_of(answerer))
        logits = logits_of(answerer, batch)[:, -batch["input_ids"].shape[1]:]
        broken = broken or not bool(torch.isfinite(logits).all())
        for row, found in zip(chosen, logits.argmax(dim=-1).tolist(), strict=True):
            places = [place for place, label in enumerate(row["labels"]) if label != IGNORED]
            pairs.append(([names[row["labels"][place]] for place in places], [own_names[found[place]] for place in places]))
    return pairs, broken


def share_right(pairs: list[tuple[list[str], list[str]]]) -> float:
    words = [one == other for expected, found in pairs for one, other in zip(expected, found, strict=True)]
    return sum(words) / len(words)


def score_similarity(rows: list[dict], base: Answerer, tuned: Answerer, context: TrainingContext) -> list[Figure]:
    """How many texts find their own partner among the partners of all rows that are measured, and the wrong answers."""
    if len(rows) < 2:
        return [Figure(name="score", why="There is only one validation row, and each is to find its own among several.")]
    return [figure("accuracy", partners_found(rows, tuned), partners_found(rows, base), len(rows))]


def partners_found(rows: list[dict], answerer: Answerer) -> float | None:
    parts = [part for part in PARTS if part in rows[0]]
    vectors = {part: torch.cat([
        embed(answerer.model, **{name: ids.to(answerer.device) for name, ids in texts(
            [row[part] for row in rows[start:start + MOST_AT_ONCE]], padding_of(answerer)).items()})
        for start in range(0, len(rows), MOST_AT_ONCE)]) for part in parts}
    candidates = torch.cat([vectors[part] for part in parts[1:]])
    near = vectors[parts[0]] @ candidates.T
    if not torch.isfinite(near).all():
        return None
    own = torch.arange(len(rows), device=near.device)
    ids = texts([row[part] for part in parts[1:] for row in rows], -1)["input_ids"].to(near.device)
    near = near.masked_fill(WatchedSimilarityTrainer.doubles(ids, own), -torch.inf)
    return float((near.argmax(dim=-1) == own).float().mean())


SCORERS: dict[str, Scorer] = {
    "text-generation": score_text, "preference": score_preferences, "binary-preference": score_preferences,
    "text-classification": score_labels, "token-classification": score_tags, "sentence-similarity": score_similarity}
