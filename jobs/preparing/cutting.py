"""Texts as tokens cut at a length, with the special tokens at their ends kept: what models that read are given."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from jobs.preparing.problems import NoOffsets

NO_TOKEN = "no token for this base model's tokenizer"


@dataclass(frozen=True)
class CutText:
    """The ids of a text (or two), where each token stands in it, and whether tokens were cut away."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    cut: bool


def cut_texts(texts: Sequence[tuple[str, ...]], tokenizer, limit: int, offsets: bool = False) -> list[CutText]:
    """Each text, or pair of texts, as at most `limit` tokens; a pair is cut at its longer end. Several threads may do it at once.

    Raises NoOffsets where `offsets` are wanted of a tokenizer that has none.
    """
    if not tokenizer.is_fast:
        if offsets:
            raise NoOffsets(type(tokenizer).__name__)
        whole = [tokenizer(*text)["input_ids"] for text in texts]
        kept = [tokenizer(*text, truncation=True, max_length=limit)["input_ids"] for text in texts]
        return [CutText(ids, [], len(ids) < len(uncut)) for ids, uncut in zip(kept, whole, strict=True)]
    given = [text if len(text) > 1 else text[0] for text in texts]
    return [CutText(encoding.ids, encoding.offsets, bool(encoding.overflowing))
            for encoding in _cutting(tokenizer, limit).encode_batch(given)]


def _cutting(tokenizer, limit: int) -> Tokenizer:
    """A tokenizer that cuts, beside the one that does not: switching would be felt by other threads."""
    known = getattr(tokenizer, "_studio_cutting", None)
    if known is None or known[0] != limit:
        core = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        core.no_padding()
        core.enable_truncation(limit)
        known = tokenizer._studio_cutting = (limit, core)
    return known[1]
