"""How alike answers are, whether they go in circles, and whether they hold what is expected. Plain text, no model."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

PIECE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+|[^\w\s]")  # a word, a sign, or one letter of a script without spaces
WORD = re.compile(r"\w")
CIRCLE, TURNS = 4, 3  # so many words in a row, more often than this


def words_of(text: str) -> list[str]:
    """The words of a text in small letters, without its punctuation."""
    return [piece for piece in PIECE.findall(text.casefold()) if WORD.match(piece)]


def token_f1(some: str, other: str) -> float:
    """2 x the words that both have / all words of both, each as often as it stands there; 1 for two empty texts."""
    ours, theirs = Counter(words_of(some)), Counter(words_of(other))
    count = ours.total() + theirs.total()
    return 2 * (ours & theirs).total() / count if count else 1.0


def agreement(answers: Sequence[str]) -> float:
    """The mean token F1 over all pairs of two answers or more."""
    pairs = list(combinations(answers, 2))
    return sum(token_f1(*pair) for pair in pairs) / len(pairs)


def goes_in_circles(text: str) -> bool:
    """Whether four words (or signs) in a row come more than three times."""
    pieces = PIECE.findall(text.casefold())
    grams = Counter(tuple(pieces[place:place + CIRCLE]) for place in range(len(pieces) - CIRCLE + 1))
    return max(grams.values(), default=0) > TURNS


def is_empty(text: str) -> bool:
    """Whether there is nothing to see in it."""
    return not text.strip()


def holds(answer: str, expected: Sequence[str]) -> bool:
    """Whether one of the expected texts stands in the answer; the case and the white space do not count."""
    said = " ".join(answer.casefold().split())
    return any(" ".join(text.casefold().split()) in said for text in expected)
