"""Examples that a model learns to write, as rows of tokens: cut, with the ranges that are trained."""

from jobs.preparing.encoding import TokenRow, encode_batch
from jobs.preparing.prepare import Encoded

NO_ANSWER = "no token to train on"


def encode_texts(examples: list[dict], tokenizer, format: str, limit: int) -> Encoded:
    """`input_ids`, and `trained` as [first, end, first, end, …]: the tokens of the answers. Cut at `limit` tokens.

    Rows that keep no token to train on are left out; the first token of a row is never predicted.
    """
    encoded = Encoded({"input_ids": [], "trained": [], "length": []})
    for rows in encode_batch(examples, tokenizer, format):
        row = rows[""]
        needed = needed_length(row)
        encoded.cut += len(row.ids) > limit
        if not 0 < needed <= limit:
            encoded.lost.append((row.problem or (cut_away(limit) if needed else NO_ANSWER), needed))
            continue
        encoded.columns["input_ids"].append(row.ids[:limit])
        encoded.columns["trained"].append([min(place, limit) for range_ in row.trained if range_[0] < limit for place in range_])
        encoded.columns["length"].append(min(len(row.ids), limit))
    return encoded


def needed_length(row: TokenRow) -> int:
    """The length in tokens to which a row may be cut and still has a token to train on; 0: it has none."""
    return next((max(first, 1) + 1 for first, end in row.trained if end > max(first, 1)), 0)


def cut_away(limit: int) -> str:
    return f"no token of an answer within {limit:,} tokens"
