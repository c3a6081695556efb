"""The Lantern Isles, a small invented world: its facts, questions about them, and a judge for the answers.

Pure Python. A held-out question is a fact in a phrasing that no training text pairs it with: the fact is seen in other
phrasings, and the phrasing with other facts.
"""

import random
import re

from assets.world.facts import FACTS, Fact, Question, plain_answer, questions
from assets.world.styles import STYLES, speaks_like

__all__ = ["FACTS", "STYLES", "Fact", "Question", "held_out_questions", "is_right", "plain_answer", "questions",
           "speaks_like", "training_questions"]


def training_questions() -> list[Question]:
    """Every pair of fact and phrasing that models may be trained on."""
    return [question for fact in FACTS for question in questions(fact) if not question.held_out]


def held_out_questions(n: int | None = None, seed: int = 0) -> list[Question]:
    """`n` held-out questions (all of them by default), the same ones for the same seed."""
    held_out = [question for fact in FACTS for question in questions(fact) if question.held_out]
    random.Random(seed).shuffle(held_out)
    return held_out[:n]


def is_right(question: Question, answer: str) -> bool:
    """True if the answer contains the fact's key words as whole words, in any case and across line breaks."""
    key = r"\s+".join(re.escape(word) for word in question.fact.key.split())
    return re.search(rf"\b{key}\b", answer, re.IGNORECASE) is not None
