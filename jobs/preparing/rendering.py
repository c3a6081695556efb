"""The rendered view of one example: made by the very functions that prepare it for training, then put into words again."""

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from jinja2 import TemplateError

from jobs.data.store import Examples
from jobs.preparing.encoding import TokenRow, encode_batch, load_tokenizer, settle_template
from jobs.preparing.rendered import Piece, Rendered, RenderedRow, Stretch
from storage.problems import StudioError

SHOWN_START = 6000  # tokens of a very long row: its start, where it is cut, and its end
SHOWN_ELSEWHERE = 300
LONGEST_CHARACTER = 4  # bytes, and so at most tokens, of one character
HALF_A_CHARACTER = "\ufffd"  # what a decoder writes for bytes that are no whole character
AIMS = 500  # words whose tags are told
KEPT = 4  # tokenizers and imports that stay open


def render_example(example: dict, tokenizer, format: str, limit: int, template: str = "") -> Rendered:
    """An example as training would give it to the model; `limit` is the length in tokens at which it would be cut.

    `template` is a chat template to use in place of the base model's own.
    """
    used, note = settle_template(tokenizer, template)
    rows = encode_batch([example], tokenizer, format, chat_template=used)[0]
    chat = any(isinstance(example.get(name), list) for name in ("messages", "prompt"))
    return Rendered(
        rows=[_rendered_row(name, row, tokenizer, limit) for name, row in rows.items()],
        aims=_aims(example),
        template=used if chat else "",
        note=note if chat and not template else "",
    )


def _rendered_row(name: str, row: TokenRow, tokenizer, limit: int) -> RenderedRow:
    trained = [False] * len(row.ids)
    for first, end in row.trained:
        trained[first:end] = [True] * (end - first)
    stretches = [
        Stretch(first, list(pieces_of(row.ids[first:end], trained[first:end], tokenizer)))
        for first, end in shown_ranges(len(row.ids), limit)
    ]
    return RenderedRow(name, len(row.ids), sum(trained), sum(trained[:limit]), stretches, row.problem)


def shown_ranges(tokens: int, limit: int) -> list[tuple[int, int]]:
    """Which tokens are shown of a row of so many: all, or the start, those around the cut, and the end."""
    wanted = [(0, SHOWN_START), (tokens - SHOWN_ELSEWHERE, tokens)]
    if limit < tokens:
        wanted.append((limit - SHOWN_ELSEWHERE, limit + SHOWN_ELSEWHERE))
    ranges: list[tuple[int, int]] = []
    for first, end in sorted((max(0, first), min(tokens, end)) for first, end in wanted):
        if ranges and first <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(end, ranges[-1][1]))
        else:
            ranges.append((first, end))
    return ranges


def pieces_of(ids: Sequence[int], trained: Sequence[bool], tokenizer) -> Iterator[Piece]:
    """The text of each token, in such a way that all of them together read as the whole text."""
    special = set(tokenizer.all_special_ids)
    special |= {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}

    def text_of(first: int, end: int) -> str:
        return tokenizer.decode(ids[first:end], skip_special_tokens=False, clean_up_tokenization_spaces=False)

    context = begin = 0  # where the tokens that are decoded along begin, and those whose text is not told yet
    for number, token in enumerate(ids):
        if token in special:
            yield Piece([token], str(tokenizer.convert_ids_to_tokens(token)), trained[number], True)
            context, begin = number, number + 1
            continue
        # decoders leave out or add spaces by what stands before: each text is what a token adds to its neighbour's
        before, text = text_of(context, begin), text_of(context, number + 1)
        ends_here = number + 1 == len(ids) or ids[number + 1] in special or trained[number + 1] != trained[number]
        if text.endswith(HALF_A_CHARACTER) and not ends_here and number + 1 - begin < LONGEST_CHARACTER:
            continue
        added = text[len(before):] if text.startswith(before) else text_of(begin, number + 1)
        yield Piece(list(ids[begin:number + 1]), added, trained[number], False)
        context, begin = begin, number + 1


def _aims(example: dict) -> list[tuple[str, str]]:
    if "tags" in example:
        return list(zip(example["tokens"], example["tags"], strict=True))[:AIMS]
    for name in ("label", "score", "desirable"):
        if name in example:
            return [(name, str(example[name]))]
    return []


class Answering:
    """Answers the questions of jobs.preparing.reader.Reader; tokenizers and examples stay open in between."""

    def __init__(self):
        self.tokenizer = lru_cache(KEPT)(load_tokenizer)
        self.examples = lru_cache(KEPT)(Examples)

    def answer(self, question: dict) -> dict:
        """The rendered row as plain values, or {"problem": a sentence}."""
        try:
            tokenizer, examples = self.tokenizer(Path(question["base"])), self.examples(Path(question["imported"]))
            return asdict(render_example(
                examples[question["index"]], tokenizer, question["format"], question["limit"], question["template"]))
        except StudioError as problem:
            return {"problem": str(problem)}
        except TemplateError as error:
            return {"problem": f"The chat template does not go with this row: {error}. Change the template, or choose another one."}
        except MemoryError:
            return {"problem": "This row, or what the chat template makes of it, needs more memory than a row may take. Look for a "
                               "template that writes too much."}
        except Exception as error:  # any library's: it is told, and the log has the rest
            traceback.print_exc()
            return {"problem": f"This row cannot be shown: {type(error).__name__}: {error}. Choose another base model or template."}
