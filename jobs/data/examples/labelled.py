"""Examples of texts with a class, a number or a tag for each word, and of texts that belong together."""

from jobs.data.cells import MOST_ITEMS, is_empty, items_of, lone, number_of
from jobs.data.examples.base import Built, LeaveOut, Values, name_of, text_of, written


def classification_example(values: Values) -> Built:
    """A text, or two, and the name of the class."""
    return {**_texts(values), "label": name_of(values["label"], "label")}, None


def regression_example(values: Values) -> Built:
    """A text, or two, and a number."""
    texts, value = _texts(values), lone(values["score"])
    if is_empty(value):
        raise LeaveOut("no score")
    score = number_of(value)
    if score is None:
        raise LeaveOut(f"a score that is not a number ('{str(value)[:40]}')")
    return {**texts, "score": score}, None


def tokens_example(values: Values) -> Built:
    """Words, and a tag for each of them. A text is taken apart at its spaces."""
    tokens, tags = _items(values["tokens"], "token"), _items(values["tags"], "tag")
    if len(tokens) != len(tags):
        raise LeaveOut(f"different numbers of tokens and tags ({len(tokens):,} and {len(tags):,})")
    if any(token is None for token in tokens):
        raise LeaveOut("a token that is nothing")
    if any(is_empty(tag) for tag in tags):
        raise LeaveOut("a token without a tag")
    return {"tokens": [written(token, "token") for token in tokens], "tags": [name_of(tag, "tag") for tag in tags]}, None


def pairs_example(values: Values) -> Built:
    """Two texts that belong together."""
    return {"anchor": text_of(values["anchor"], "anchor"), "positive": text_of(values["positive"], "positive text")}, None


def triplets_example(values: Values) -> Built:
    """A text, one that belongs to it, and one that does not."""
    example, _ = pairs_example(values)
    return {**example, "negative": text_of(values["negative"], "negative text")}, None


def _texts(values: Values) -> dict[str, str]:
    texts = {"text": text_of(values["text"], "text")}
    if "text_pair" in values:
        texts["text_pair"] = text_of(values["text_pair"], "second text")
    return texts


def _items(value, noun: str) -> list:
    items = items_of(value)
    if items is None and isinstance(value, str):
        items = value.split()
    if items is None and not is_empty(value):
        raise LeaveOut(f"{noun}s that are not a list of at most {MOST_ITEMS:,}")
    if not items:
        raise LeaveOut(f"no {noun}s")
    return items
