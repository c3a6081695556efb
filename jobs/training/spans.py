"""Entities as spans of words, and how well they are found."""

from collections.abc import Iterable, Sequence

Span = tuple[int, int, str]  # first word, the word after the last, kind


def f1_of_spans(pairs: Iterable[tuple[Sequence[str], Sequence[str]]]) -> float:
    """F1 over all entities of (expected, found) tag lists, 0 to 1: an entity counts where its words and its kind are all right.

    This is the score of the CoNLL shared tasks, over all kinds together (Tjong Kim Sang and De Meulder 2003, cs/0306050).
    Where there is nothing to find and nothing is found, it is 1.
    """
    expected_count = found_count = right = 0
    for expected, found in pairs:
        expected_spans, found_spans = spans_of(expected), spans_of(found)
        expected_count, found_count = expected_count + len(expected_spans), found_count + len(found_spans)
        right += len(expected_spans & found_spans)
    return 2 * right / (expected_count + found_count) if expected_count + found_count else 1.0


def spans_of(tags: Sequence[str]) -> set[Span]:
    """The entities that tags stand for, by the prefixes B- and I- (an entity may begin with I-) and, where used, E- L- S- U-.

    Tags without such a prefix make one entity of neighbours with the same tag.
    """
    spans = set()
    start, kind, ended = 0, "", True
    for index, tag in enumerate([*tags, "O"]):
        prefix, this_kind = split_tag(tag)
        if kind and (not this_kind or ended or prefix in "BSU" or this_kind != kind):
            spans.add((start, index, kind))
            kind = ""
        if this_kind and not kind:
            start, kind = index, this_kind
        ended = prefix in "ELSU"
    return spans


def split_tag(tag: str) -> tuple[str, str]:
    """`B-person` is ("B", "person"), `person` is ("I", "person"), and O has no kind."""
    if tag == "O":
        return "O", ""
    prefix, separator, kind = tag.partition("-")
    return (prefix, kind) if separator and kind and prefix in tuple("BIELSU") else ("I", tag)
