"""Answers of models that read a text and write none: labels, numbers, tags and similarities."""

import re
import time
from collections.abc import Callable

import torch

from jobs.playground.models import Answerer
from jobs.playground.problems import PromptUnusable
from jobs.playground.request import GenerateRequest, Pane
from jobs.preparing.encoding import texts_of
from jobs.training.answers import OUTSIDE, encode_words, similarities, tagged, tags_of

Tell = Callable[[dict], None]  # gets the events of an answer, also from several threads
TOP_LABELS, SCORED_LABELS = 5, 200  # that the answer names; with a score, for those who compare answers
WORD = re.compile(r"[@#]?\w+(?:['’.-]\w+)*|\S")  # punctuation stands alone, as data with tags has it
BETWEEN_TEXTS = re.compile(r"^ *-{3,} *$", re.MULTILINE)  # a line of dashes
NO_HEAD = "The base model has no labels of its own: its head is untrained. An adapter brings both."
ONE_TEXT = "Two texts are compared: write each on a line of its own (or longer ones with a line of --- between them)."


@torch.inference_mode()
def read(pane: Pane, answerer: Answerer, request: GenerateRequest, tell: Tell) -> dict[str, dict]:
    """The final event of a pane that reads: its whole answer as `text`, and what it is made of.

    That is `labels` (the likeliest) and `scores` (all, the likeliest first) of a classifier, each with `label` and `probability`,
    `number` where one was learnt, `words` of a tagger, each with `text` and `tag`, or `similarities`, each with `text` and `value`.
    """
    began = time.monotonic()
    tokens, found = READERS[request.task](request.conversation(pane)[-1]["content"], answerer)
    tell({"pane": pane.name, "text": found["text"]})
    seconds = time.monotonic() - began
    return {pane.name: {"done": True, "tokens": tokens, "seconds": seconds, "seconds_to_first_token": seconds if tokens else None,
                        "tokens_per_second": tokens / seconds, "finish_reason": "stop", "why": "", "together": 1, **found}}


def classify(text: str, answerer: Answerer) -> tuple[int, dict]:
    """The likeliest labels of a text, or of two with a line of dashes between them; a number where that is what was learnt."""
    if answerer.labels is None:
        return 0, {"text": NO_HEAD, "labels": []}
    parts = [part.strip() for part in BETWEEN_TEXTS.split(text, maxsplit=1)]
    texts = texts_of(dict(zip(("text", "text_pair"), parts, strict=False)), answerer.tokenizer)
    encoded = answerer.fit(answerer.tokenizer(*texts, return_tensors="pt", return_token_type_ids=False))
    logits = answerer.model(**encoded).logits[0].float()
    if len(answerer.labels) == 1:
        return encoded["input_ids"].shape[1], {"text": f"{float(logits[0]):.4g}", "labels": [], "number": float(logits[0])}
    best = torch.softmax(logits, dim=-1).topk(min(SCORED_LABELS, len(answerer.labels)))
    scores = [{"label": answerer.labels[index], "probability": probability}
              for probability, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)]
    labels = scores[:TOP_LABELS]
    answer = "\n".join(f"{found['label']} ({found['probability']:.1%})" for found in labels)
    return encoded["input_ids"].shape[1], {"text": answer, "labels": labels, "scores": scores}


def tag(text: str, answerer: Answerer) -> tuple[int, dict]:
    """The text with the tag of each word behind it, where it has one."""
    if answerer.labels is None:
        return 0, {"text": NO_HEAD}
    words = WORD.findall(text)
    encoded, firsts = encode_words(words, answerer.tokenizer)
    encoded = answerer.fit(encoded)
    tags = tags_of(encoded, firsts, answerer.model, answerer.labels)
    told = [{"text": word, "tag": "" if tag == OUTSIDE else tag} for word, tag in zip(words, tags, strict=True)]
    return encoded["input_ids"].shape[1], {"text": tagged(words, tags), "words": told}


def compare(text: str, answerer: Answerer) -> tuple[int, dict]:
    """The similarity, -1 to 1, of the first text to each of the others: one a line, or with lines of dashes between them."""
    parts = BETWEEN_TEXTS.split(text) if BETWEEN_TEXTS.search(text) else text.splitlines()
    texts = [part.strip() for part in parts if part.strip()]
    if len(texts) < 2:
        raise PromptUnusable(ONE_TEXT)
    encoded = answerer.fit(answerer.tokenizer(texts, return_tensors="pt", padding=True, return_token_type_ids=False))
    near = similarities(encoded, answerer.model)
    answer = "\n".join([f"{near[0]:.2f}"] if len(near) == 1 else
                       [f"{value:.2f} {other}" for value, other in zip(near, texts[1:], strict=True)])
    told = [{"text": other, "value": value} for value, other in zip(near, texts[1:], strict=True)]
    return int(encoded["attention_mask"].sum()), {"text": answer, "similarities": told}


READERS = {"text-classification": classify, "token-classification": tag, "sentence-similarity": compare}
