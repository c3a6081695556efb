"""How a table is recognised: by what its columns hold first, then by what they are called."""

from jobs.data.matching.base import Match
from jobs.data.matching.chats import match_instruction, match_messages, match_prompt_completion, match_text
from jobs.data.matching.labelled import match_classification, match_regression, match_tokens
from jobs.data.matching.preferences import match_binary_preference, match_preference
from jobs.data.matching.sentences import match_pairs, match_summarisation, match_translation, match_triplets

__all__ = [
    "Match",
    "match_binary_preference",
    "match_classification",
    "match_instruction",
    "match_messages",
    "match_pairs",
    "match_preference",
    "match_prompt_completion",
    "match_regression",
    "match_summarisation",
    "match_text",
    "match_tokens",
    "match_translation",
    "match_triplets",
]
