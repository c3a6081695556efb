"""Which role a message is for: the one whose prompts are most like it.

Words and pieces of words, weighed by how few of all prompts have them (tf-idf; Salton and Buckley 1988), compared by cosine.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

NEAREST = 3       # prompts of a role that decide how near it is: their mean
CLEAR = 0.02      # of likeness, by which the nearest role must lead to be sure
LEARNED = 0.5     # weight of a prompt that the adapter learned from, beside one that a person wrote for the role
PIECES = (3, 5)   # characters


@dataclass(frozen=True)
class RoleExamples:
    """What is known of a role: its name, prompts that a person wrote for it, and those that its adapter learned from."""

    key: str
    name: str
    prompts: tuple[str, ...]
    learned: tuple[str, ...] = ()


@dataclass(frozen=True)
class Route:
    """The role that was picked: how near each one is, 0 to 1, and the prompt that spoke most for the one picked."""

    key: str
    name: str
    likeness: dict[str, float]
    nearest: str
    sure: bool  # False: another one is about as near, or none is near at all


def route(message: str, roles: Sequence[RoleExamples]) -> Route:
    """The role for a message; the first one where nothing tells them apart. There must be at least one role."""
    examples = _examples(tuple(roles))
    words, prompts = _indexed(tuple(text for _, text, _ in examples))
    found = (prompts @ words.transform([message]).T).toarray().ravel()
    near = {role.key: 0.0 for role in roles}
    spoke: dict[str, str] = {}
    for role in roles:
        own = sorted(((weight * likeness, text) for (key, text, weight), likeness in zip(examples, found, strict=True)
                      if key == role.key), reverse=True)[:NEAREST]
        near[role.key] = float(sum(likeness for likeness, _ in own)) / max(1, len(own))
        spoke[role.key] = own[0][1] if own and own[0][0] else ""
    best = max(roles, key=lambda role: near[role.key])
    second = max((likeness for key, likeness in near.items() if key != best.key), default=0.0)
    return Route(best.key, best.name, near, spoke[best.key], near[best.key] - second > CLEAR)


def _examples(roles: tuple[RoleExamples, ...]) -> list[tuple[str, str, float]]:
    """Key, text and weight of every prompt. Those that several adapters learned from tell nothing, and are left out."""
    learned = Counter(text for role in roles for text in set(role.learned))
    return [(role.key, text, weight) for role in roles for texts, weight in (((role.name, *role.prompts), 1.0), (
        (text for text in dict.fromkeys(role.learned) if learned[text] == 1), LEARNED)) for text in texts]


@lru_cache(maxsize=4)
def _indexed(texts: tuple[str, ...]):
    """A vectoriser that knows these texts, and the texts as rows of unit length."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion
    from sklearn.preprocessing import Normalizer

    words = FeatureUnion([("words", TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")),
                          ("pieces", TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=PIECES))])
    rows = Normalizer().fit_transform(words.fit_transform(texts))
    return words, rows
