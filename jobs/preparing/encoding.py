"""Examples as tokens: the ids that the model gets, and which of them it is trained on."""

import os
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from jobs.preparing.answers import Conversation, Renderer, TemplateRefuses
from jobs.preparing.problems import NoOffsets
from jobs.preparing.templates import BUILT_IN, PLAIN_CHAT_TEMPLATE

CHATS = ("messages", "instruction", "prompt-completion", "translation", "summarisation")
ROWS_AT_ONCE = 256  # of encode_all
LETTERS_AT_ONCE = 1_000_000  # of encode_all: a tokenizer takes about a hundred bytes for each token while it works
THREADS = 8  # at most: above, they only wait for each other


@dataclass(frozen=True)
class TokenRow:
    """One sequence, before any cut.

    `trained` are the token ranges [first, end) that the loss counts, in order and apart from each other. `problem` is why the
    template refuses the row, as words that follow "it has"; then there are no ids.
    """

    ids: list[int]
    trained: list[tuple[int, int]]
    problem: str = ""


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a base model or adapter folder, with a padding token."""
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def settle_template(tokenizer, wanted: str = "") -> tuple[str, str]:
    """The chat template to use and a sentence for the person where it is not the base model's own, else "".

    `wanted` is the name of a built-in template, the text of one, or empty.
    """
    if wanted in BUILT_IN:
        return (_with_start(BUILT_IN[wanted], tokenizer),
                f"The built-in chat template '{wanted}' is used, and travels with the adapter.")
    if wanted:
        return wanted, "The chat template of the recipe is used in place of the base model's own, and travels with the adapter."
    if tokenizer.chat_template:
        return tokenizer.get_chat_template(None), ""
    return (_with_start(PLAIN_CHAT_TEMPLATE, tokenizer),
            "The base model has no chat template. A plain one is used and travels with the adapter.")


def encode_batch(examples: Sequence[dict], tokenizer, format: str, chat_template: str | None = None) -> list[dict[str, TokenRow]]:
    """The named rows of each example: "" for most formats; chosen and rejected; completion; anchor, positive and negative.

    `chat_template` is what settle_template gave (None: the tokenizer's own).
    """
    renderer = _renderer(tokenizer, chat_template)
    named = [_sources(example, format, renderer) for example in examples]
    rows = iter(_tokenised([source for sources in named for source in sources.values()], tokenizer))
    return [{name: next(rows) for name in sources} for sources in named]


def encode_all(batches: Iterable[Sequence], encode) -> Iterator[tuple[Sequence, object]]:
    """Each batch with what `encode` makes of it, in their order, on all cores that this process may use.

    Threads serve: the tokenizers' own work, which is most of it, runs beside Python. Only a few batches are in memory at a time.
    """
    threads = min(THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    with ThreadPoolExecutor(threads, thread_name_prefix="encode") as pool:
        waiting: deque = deque()
        try:
            for batch in batches:
                waiting.append((batch, pool.submit(encode, batch)))
                if len(waiting) > threads:
                    ready, result = waiting.popleft()
                    yield ready, result.result()
            while waiting:
                ready, result = waiting.popleft()
                yield ready, result.result()
        finally:
            for _, result in waiting:
                result.cancel()


def in_batches(examples: Iterable[dict]) -> Iterator[list[dict]]:
    """Examples in lists that are tokenised at once, fewer where they are long."""
    batch, letters = [], 0
    for example in examples:
        batch.append(example)
        letters += _letters(example)
        if len(batch) == ROWS_AT_ONCE or letters > LETTERS_AT_ONCE:
            yield batch
            batch, letters = [], 0
    if batch:
        yield batch


def first_tokens(words: Sequence[str], offsets: Sequence[tuple[int, int]]) -> list[int]:
    """For each word the place of its first token, -1 where it has none; `offsets` are those of the words with a space between them.

    A text like any other, because tokenizers that keep the space before a word refuse lists of words.
    """
    firsts, starts = [-1] * len(words), [0]
    for word in words:
        starts.append(starts[-1] + len(word) + 1)
    for index, (begin, end) in enumerate(offsets):
        word = bisect_right(starts, end - 1) - 1  # by its last character: the first one may be the space before the word
        if end > begin and end < starts[word + 1] and firsts[word] < 0:
            firsts[word] = index
    return firsts


def texts_of(example: dict, tokenizer) -> tuple[str, ...]:
    """What a classifier reads: the text and its partner, in one text with a line break where the tokenizer has no separator."""
    texts = (example["text"], example["text_pair"]) if "text_pair" in example else (example["text"],)
    return texts if tokenizer.sep_token else ("\n".join(texts),)


@dataclass(frozen=True)
class _Source:
    """What becomes one row: texts for the tokenizer, and what is trained of them."""

    texts: tuple[str, ...]
    special: bool = True           # the tokenizer adds its own special tokens
    ended: bool = False            # all is trained, and where the text ends
    answers: tuple[tuple[int, int], ...] = ()  # of the text, in characters
    words: tuple[str, ...] = ()    # the first token of each is trained
    problem: str = ""


def _sources(example: dict, format: str, renderer: Renderer) -> dict[str, _Source]:
    if format in CHATS:
        return {"": _chat(example["messages"], example, renderer)}
    if format == "text":
        return {"": _Source((example["text"],), ended=True)}
    if format in ("preference", "binary-preference"):
        names = ("chosen", "rejected") if format == "preference" else ("completion",)
        prompt = example["prompt"]
        return {name: _chat(prompt + example[name], example, renderer, len(prompt)) for name in names}
    if format == "tokens":
        return {"": _Source((" ".join(example["tokens"]),), words=tuple(example["tokens"]))}
    if format in ("pairs", "triplets"):
        return {name: _Source((example[name],)) for name in ("anchor", "positive", "negative") if name in example}
    return {"": _Source(texts_of(example, renderer.tokenizer))}


def _chat(messages: list[dict], example: dict, renderer: Renderer, first: int = 0) -> _Source:
    try:
        conversation: Conversation = renderer.conversation(messages, example.get("tools"), first)
    except TemplateRefuses as refusal:
        return _Source((), problem=str(refusal))
    return _Source((conversation.text,), special=False, answers=tuple(conversation.answers))


def _tokenised(sources: list[_Source], tokenizer) -> list[TokenRow]:
    """The rows of all sources. Those that are alike are tokenised in one call."""
    if not tokenizer.is_fast:
        return [_slowly(source, tokenizer) for source in sources]
    core = tokenizer.backend_tokenizer
    rows: list[TokenRow | None] = [TokenRow([], [], source.problem) if source.problem else None for source in sources]
    left = [number for number, row in enumerate(rows) if row is None]

    def way(number: int) -> tuple[bool, int]:
        return sources[number].special, len(sources[number].texts)

    for (special, texts), numbers in groupby(sorted(left, key=way), key=way):
        numbers = list(numbers)
        given = [sources[number].texts if texts > 1 else sources[number].texts[0] for number in numbers]
        for number, encoding in zip(numbers, core.encode_batch(given, add_special_tokens=special), strict=True):
            rows[number] = _row(sources[number], encoding, tokenizer)
    return rows


def _row(source: _Source, encoding, tokenizer) -> TokenRow:
    ids = encoding.ids
    if source.ended:
        ids = _ended(ids, tokenizer)
        return TokenRow(ids, [(0, len(ids))])
    if source.words:
        firsts = first_tokens(source.words, encoding.offsets)
        return TokenRow(ids, [(index, index + 1) for index in firsts if index >= 0])
    trained: list[tuple[int, int]] = []
    for start, end in source.answers:
        first, after = _first_at(start, encoding, source.texts[0]), _first_at(end, encoding, source.texts[0])
        if after < len(ids) and encoding.token_to_chars(after)[0] < end:
            after += 1  # a token of the answer's last and the next turn's first character
        if first < after:
            trained.append((max(first, trained[-1][1]) if trained else first, after))
    return TokenRow(ids, trained)


def _first_at(place: int, encoding, text: str) -> int:
    """The first token with a character at a place of the text, or after it; as many as there are tokens where there is none."""
    token = None
    for character in range(place, len(text)):  # some tokenizers leave white space out
        token = encoding.char_to_token(character)
        if token is not None:
            break
    token = len(encoding) if token is None else token
    # a token of white space alone may count as no character, at its end
    while token and (around := encoding.token_to_chars(token - 1)) and place < around[0] == around[1]:
        token -= 1
    return token


def _ended(ids: list[int], tokenizer) -> list[int]:
    """The ids of a text with the end-of-text token, and one token at most for its beginning."""
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    if begin is not None and ids[:2] == [begin, begin]:
        ids = ids[1:]
    return ids if end is None or ids[-1:] == [end] else [*ids, end]


def _slowly(source: _Source, tokenizer) -> TokenRow:
    """One by one, by a tokenizer that does not say where its tokens stand."""
    if source.problem:
        return TokenRow([], [], source.problem)
    if source.answers or source.words:
        raise NoOffsets(type(tokenizer).__name__)
    ids = tokenizer(*source.texts, add_special_tokens=source.special)["input_ids"]
    return TokenRow(_ended(ids, tokenizer), [(0, len(_ended(ids, tokenizer)))]) if source.ended else TokenRow(ids, [])


def _renderer(tokenizer, template: str | None) -> Renderer:
    """One for each tokenizer and template, since it remembers how the template writes; the tokenizer keeps the last one."""
    known = getattr(tokenizer, "_studio_renderer", None)
    if known is None or (known.template, known.names) != (template, tokenizer.special_tokens_map):
        known = tokenizer._studio_renderer = Renderer(tokenizer, template)
        if tokenizer.is_fast:  # a tokenizer's file may ask for either
            tokenizer.backend_tokenizer.no_truncation()
            tokenizer.backend_tokenizer.no_padding()
    return known


def _with_start(template: str, tokenizer) -> str:
    """A template of the studio's, beginning as the base model's texts do."""
    begin = tokenizer.bos_token_id
    starts = begin is not None and tokenizer("a")["input_ids"][:1] == [begin]
    return "{{ bos_token }}" + template if starts and "bos_token" not in template else template


def _letters(example: dict) -> int:
    """About how many characters an example has."""
    total = 0
    for value in example.values():
        if isinstance(value, str):
            total += len(value)
        elif isinstance(value, list):
            total += sum(len(part) if isinstance(part, str) else len(part.get("content") or "") for part in value)
    return total
