"""What models that read answer: tags for words, and how near texts are. Training shows samples of it, the playground all."""

import torch

from jobs.preparing.encoding import first_tokens

OUTSIDE = "O"  # the tag of a word that is part of nothing


def encode_words(words: list[str], tokenizer, **options) -> tuple[dict, list[int]]:
    """The words as one row of tensors, and the place of each word's first token (-1: it has none, or was cut)."""
    encoded = tokenizer(" ".join(words), return_tensors="pt", return_offsets_mapping=True, return_token_type_ids=False, **options)
    return encoded, first_tokens(words, encoded.pop("offset_mapping")[0].tolist())


def tags_of(encoded: dict, firsts: list[int], model, labels) -> list[str]:
    """The tag that the model gives to each word, by its first token."""
    length = encoded["input_ids"].shape[1]
    chosen = model(**encoded).logits[0, -length:].argmax(dim=-1).tolist()  # a learned prompt before the text has no tags
    return [labels[chosen[first]] if first >= 0 else OUTSIDE for first in firsts]


def tagged(words: list[str], tags: list[str]) -> str:
    """The text with its tags, to be read by people: `Jane [B-person] lives in Paris [B-location]`."""
    return " ".join(word if tag == OUTSIDE else f"{word} [{tag}]" for word, tag in zip(words, tags, strict=True))


def embed(model, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """One vector of length 1 for each text: the mean over its tokens. A learned prompt before them is left out."""
    hidden = model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state[:, -input_ids.shape[1]:].float()
    mask = attention_mask.unsqueeze(-1)
    return torch.nn.functional.normalize((hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1), dim=-1)


def similarities(encoded: dict, model) -> list[float]:
    """The cosine, -1 to 1, between the first text and each of the others."""
    first, *others = embed(model, encoded["input_ids"], encoded["attention_mask"])
    return [float(first @ other) for other in others]
