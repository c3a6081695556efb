"""For any data of every format: what the trainer sees, cut and packed, decodes back to the rows that went in, with masks on exactly
the tokens that are no answer."""

import json
import tempfile
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as some

from jobs.data import load_dataset
from jobs.preparing.collating import IGNORED
from jobs.preparing.encoding import encode_batch
from jobs.preparing.prepare import prepare
from jobs.training.tasks import load_task
from tests.tiny_models import SPECIAL, make_tokenizer

ENOUGH = 4096
# each turn between signs, tools before them, tool calls after the words; nothing is trimmed
TEMPLATE = ("{% if tools %}<|system|>{{ tools | tojson }}<|end|>{% endif %}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
            "{% for call in m.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}<|end|>{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>{% endif %}")
MARKED = ("{% if tools %}<|system|>{{ tools | tojson }}<|end|>{% endif %}{% for m in messages %}{% if m.role == 'assistant' %}"
          "<|assistant|>{% generation %}{{ m.content }}{% for call in m.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}"
          "<|end|>{% endgeneration %}{% else %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
          "{% if add_generation_prompt %}<|assistant|>{% endif %}")
TRAINED_ON = ["the river runs under the old bridge\nand on", "Hello  there! how are you? 42",
              "äöü ß 日本 שלום مرحبا 👋🏽 e\u0301"] * 9

letters = some.characters(codec="utf-8", exclude_characters="\x00▁", exclude_categories=("Cs",))
pieces = some.sampled_from([
    "the river ", "  ", "\n\n", "\t", "שלום ", "مرحبا", "👋🏽", "👩\u200d👩\u200d👧", "e\u0301", "日本語", "{{ x }}",
    "<|end|>", "<|user|>", "<|assistant|>", "\u202e", "\ufeff", "«»", "a"])
texts = some.lists(pieces | some.text(letters, max_size=6), min_size=1, max_size=5).map("".join).filter(lambda text: text.strip())
words = some.text(some.characters(categories=("L", "N")), min_size=1, max_size=6).filter(lambda text: text.strip())
tools = some.lists(words, min_size=1, max_size=2).map(lambda names: [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}} for name in names])


def made_tokenizer(kind: str):
    """A byte-level tokenizer with a token for each byte, one with merges, and one that writes a space as a letter."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    if kind == "bytes":
        made = make_tokenizer(TEMPLATE)
        made.add_tokens(["<|tool|>"], special_tokens=True)
        return made
    special = [*SPECIAL, "<|tool|>", "<unk>"]
    if kind == "merges":
        core = Tokenizer(models.BPE())
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        core.decoder = decoders.ByteLevel()
        core.post_processor = processors.ByteLevel(trim_offsets=True)
        trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    else:
        core = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
        core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                          decoders.Strip(" ", 1, 0)])
        trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special)
    core.train_from_iterator(TRAINED_ON, trainer)
    if kind == "metaspace":  # letters that it has never seen are written as bytes
        learnt = json.loads(core.to_str())["model"]
        vocabulary = {**learnt["vocab"], **{f"<0x{byte:02X}>": len(learnt["vocab"]) + byte for byte in range(256)}}
        core.model = models.BPE(vocabulary, [tuple(pair) for pair in learnt["merges"]], byte_fallback=True, unk_token="<unk>")
    made = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<|pad|>", eos_token="<|end|>", unk_token="<unk>",
                                   clean_up_tokenization_spaces=False)
    made.chat_template = MARKED if kind == "metaspace" else TEMPLATE
    return made


tokenizer_of = lru_cache(made_tokenizer)
kinds = some.sampled_from(["bytes", "merges", "metaspace"])


@some.composite
def conversation(draw) -> dict:
    """A row of chat messages: perhaps a system turn, which may be empty, several questions with answers, tools."""
    turns = [{"role": "system", "content": draw(texts | some.just(""))}] if draw(some.booleans()) else []
    has_tools = draw(some.booleans())
    for _ in range(draw(some.integers(1, 3))):
        turns.append({"role": "user", "content": draw(texts)})
        if has_tools and draw(some.booleans()):
            call = {"name": draw(words), "arguments": {draw(words): draw(texts)}}
            turns.append({"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": call}]})
            turns.append({"role": "tool", "content": draw(texts)})
        answer = {"role": "assistant", "content": draw(texts)}
        turns.append({**answer, "weight": 0} if draw(some.integers(0, 3)) == 0 else answer)
    turns[-1].pop("weight", None)
    return {"messages": turns, **({"tools": draw(tools)} if has_tools else {})}


ROWS = {
    "messages": conversation(),
    "instruction": some.fixed_dictionaries({"instruction": texts, "output": texts}, optional={"input": texts | some.just("")}),
    "prompt-completion": some.fixed_dictionaries({"prompt": texts, "completion": texts}),
    "translation": some.fixed_dictionaries({"source": texts, "target": texts}),
    "summarisation": some.fixed_dictionaries({"document": texts, "summary": texts}),
    "text": some.fixed_dictionaries({"text": texts.filter(lambda text: text != "<|end|>")}),
    "preference": some.fixed_dictionaries({"prompt": texts, "chosen": texts, "rejected": texts}).filter(
        lambda row: row["chosen"] != row["rejected"]),
    "binary-preference": some.fixed_dictionaries({"prompt": texts, "completion": texts, "label": some.booleans()}),
    "classification": some.fixed_dictionaries({"text": texts, "label": some.sampled_from(["yes", "no"])}),
    "regression": some.fixed_dictionaries({"text": texts, "score": some.floats(-1e3, 1e3)}),
    "tokens": some.lists(some.tuples(words, some.sampled_from(["O", "B-x", "I-x"])), min_size=1, max_size=6).map(
        lambda pairs: {"tokens": [word for word, _ in pairs], "tags": [tag for _, tag in pairs]}),
    "pairs": some.fixed_dictionaries({"anchor": texts, "positive": texts}),
    "triplets": some.fixed_dictionaries({"anchor": texts, "positive": texts, "negative": texts}),
}
TASKS = {"classification": "text-classification", "regression": "text-classification", "tokens": "token-classification",
         "pairs": "sentence-similarity", "triplets": "sentence-similarity"}
CHATS = ("messages", "instruction", "prompt-completion", "translation", "summarisation")


def turns_of(row: dict, form: str) -> list[dict]:
    """The conversation that a row is, told independently of what imports it."""
    match form:
        case "messages":
            return [turn for turn in row["messages"] if turn["role"] != "system" or turn["content"].strip()]
        case "instruction":
            asked = "\n\n".join(part for part in (row["instruction"], row.get("input", "")) if part.strip())
            return said(asked, row["output"])
        case "prompt-completion":
            return said(row["prompt"], row["completion"])
        case "translation":
            return said(row["source"], row["target"])
        case "summarisation":
            return said(row["document"], row["summary"])


def said(asked: str, answered: str) -> list[dict]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]


def written(turns: list[dict], tools: list[dict] | None = None) -> tuple[str, list[str]]:
    """A conversation as the templates above write it, and the answers that are learnt, each with its end."""
    text, answers = f"<|system|>{json.dumps(tools, ensure_ascii=False)}<|end|>" if tools else "", []
    for turn in turns:
        calls = "".join(json.dumps(call["function"], ensure_ascii=False) for call in turn.get("tool_calls", []))
        body = f"{turn['content']}{calls}<|end|>"
        text += f"<|{turn['role']}|>{body}"
        if turn["role"] == "assistant" and turn.get("weight", 1):
            answers.append(body)
    return text, answers


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("property")


def seen_by_the_trainer(rows: list[dict], form: str, kind: str, folder: Path, packing: bool = False, limit: int = ENOUGH):
    """The batches of one import, preparation and collation: (ids, labels) of each row, its parts where rows are packed."""
    work = Path(tempfile.mkdtemp(dir=folder))
    (work / "rows.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    columns = {name: name for row in rows for name in row}
    data = load_dataset([work / "rows.jsonl"], form, columns)
    assert (data.rows, data.kept) == (len(rows), len(rows)), list(data.left_out)
    task = TASKS.get(form, "text-generation")
    context = SimpleNamespace(
        recipe=SimpleNamespace(task=task, training=SimpleNamespace(max_length=limit, packing=packing)), task=load_task(task, form),
        format=form, labels=data.labels, tokenizer=tokenizer_of(kind), base_path=work, prepared_dir=work / "prepared",
        report=SimpleNamespace(say=lambda *_: None), device="cpu", precision="bf16")
    prepared, facts = prepare(data.examples, context)
    return data, list(prepared), context.task.collator(context), facts


def unpadded(batch, number: int, row: dict) -> tuple[list[int], list[int]]:
    return batch["input_ids"][number, :row["length"]].tolist(), batch["labels"][number, :row["length"]].tolist()


def decoded(ids: list[int], kind: str) -> str:
    """The text of some tokens; what stands between signs begins anew, with a space that some tokenizers put there."""
    tokenizer = tokenizer_of(kind)
    signs, text, part = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder), "", []
    for token in [*ids, None]:
        if token is None or token in signs:
            text += tokenizer.decode(part, skip_special_tokens=False, clean_up_tokenization_spaces=False) if part else ""
            text += tokenizer.convert_ids_to_tokens(token) if token is not None else ""
            part = []
        else:
            part.append(token)
    return text


def stretches(ids: list[int], labels: list[int]) -> list[list[int]]:
    """The trained tokens, those that follow each other together; an answer ends with its end."""
    found, last = [], None
    for number, (token, label) in enumerate(zip(ids, labels, strict=True)):
        if label != IGNORED:
            assert label == token
            if last != number - 1:
                found.append([])
            found[-1].append(token)
            last = number
    return found


bounded = settings(max_examples=20, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate, Phase.shrink),
                   suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("form", [*CHATS, "text"])
@bounded
@given(kind=kinds, packing=some.booleans(), data=some.data())
def test_text_that_is_generated(folder, form, kind, packing, data):
    rows = data.draw(some.lists(ROWS[form], min_size=1, max_size=5))
    imported, prepared, collator, _ = seen_by_the_trainer(rows, form, kind, folder, packing)
    batch = collator(prepared)
    seen = []
    for number, row in enumerate(prepared):
        ids, labels = unpadded(batch, number, row)
        assert set(batch["labels"][number, row["length"]:].tolist()) <= {IGNORED}, "padding is not trained"
        place = 0
        for length in row.get("parts", [len(ids)]):
            part = ids[place:place + length]
            if packing:
                assert labels[place] == IGNORED
                assert batch["position_ids"][number, place:place + length].tolist() == list(range(length))
                if form == "text":  # the first token of an example is not foretold by the one before it
                    labels[place] = ids[place]
            seen.append((decoded(part, kind), [decoded(answer, kind) for answer in stretches(part, labels[place:place + length])]))
            place += length
        assert place == len(ids)
    expected = []
    for row in rows:
        if form == "text":
            whole = row["text"] if row["text"].endswith("<|end|>") else f"{row['text']}<|end|>"
            expected.append((whole, [whole]))
        else:
            expected.append(written(turns_of(row, form), row.get("tools")))
    assert sorted(seen) == sorted(expected)


@pytest.mark.parametrize("form", ["messages", "text"])
@bounded
@given(kind=kinds, limit=some.integers(8, 60), data=some.data())
def test_text_that_is_cut(folder, form, kind, limit, data):
    rows = data.draw(some.lists(ROWS[form], min_size=1, max_size=4))
    long = {"messages": said("q", "a")} if form == "messages" else {"text": "abc"}
    rows += [long] * 20 * len(rows)  # so that no more than a twentieth is lost
    imported, prepared, collator, facts = seen_by_the_trainer(rows, form, kind, folder, limit=limit)
    whole = [row[""] for row in encode_batch(list(imported.examples), tokenizer_of(kind), form)]
    kept = [row for row in whole if any(first < limit and min(end, limit) > max(first, 1) for first, end in row.trained)]
    assert len(prepared) == len(kept) == facts.rows and facts.lost_rows == len(whole) - len(kept)
    assert facts.cut == sum(len(row.ids) > limit for row in whole)
    batch = collator(prepared)
    for number, (row, token_row) in enumerate(zip(prepared, kept, strict=True)):
        ids, labels = unpadded(batch, number, row)
        trained = {place for first, end in token_row.trained for place in range(first, end)}
        assert ids == token_row.ids[:limit]
        assert labels == [token if place in trained else IGNORED for place, token in enumerate(ids)]


@pytest.mark.parametrize("form", ["preference", "binary-preference"])
@bounded
@given(kind=kinds, data=some.data())
def test_answers_that_are_compared(folder, form, kind, data):
    rows = data.draw(some.lists(ROWS[form], min_size=1, max_size=4))
    _, prepared, collator, _ = seen_by_the_trainer(rows, form, kind, folder)
    batch = collator(prepared)
    names = ("chosen", "rejected") if form == "preference" else ("completion",)
    for place, name in enumerate(names):
        for number, row in enumerate(rows):
            line = place * len(rows) + number
            length = int(batch["attention_mask"][line].sum())
            ids, mask = batch["input_ids"][line, :length].tolist(), batch["completion_mask"][line, :length].tolist()
            text, answers = written(said(row["prompt"], row[name]))
            assert decoded(ids, kind) == text
            assert [decoded([token for token, is_answer in zip(ids, mask, strict=True) if is_answer], kind)] == answers
    if form == "binary-preference":
        assert batch["label"].tolist() == [row["label"] for row in rows]


@pytest.mark.parametrize("form", ["classification", "regression"])
@bounded
@given(kind=kinds, data=some.data())
def test_text_with_a_label_or_a_number(folder, form, kind, data):
    rows = data.draw(some.lists(ROWS[form], min_size=2, max_size=5))
    if form == "classification":
        rows += [{"text": "one more", "label": label} for label in ("yes", "no")]
    imported, prepared, collator, _ = seen_by_the_trainer(rows, form, kind, folder)
    batch = collator(prepared)
    for number, row in enumerate(rows):
        ids = batch["input_ids"][number, :int(batch["attention_mask"][number].sum())].tolist()
        assert decoded(ids, kind) == row["text"]
        label = batch["labels"][number].item()
        if form == "classification":
            assert imported.labels[label] == row["label"]
        else:
            assert label == pytest.approx(row["score"], rel=1e-6)


@bounded
@given(kind=kinds, rows=some.lists(ROWS["tokens"], min_size=1, max_size=5))
def test_tagged_words(folder, kind, rows):
    imported, prepared, collator, _ = seen_by_the_trainer(rows, "tokens", kind, folder)
    batch = collator(prepared)
    for number, row in enumerate(rows):
        length = int(batch["attention_mask"][number].sum())
        ids, labels = batch["input_ids"][number, :length].tolist(), batch["labels"][number, :length].tolist()
        assert decoded(ids, kind) == " ".join(row["tokens"])
        assert [imported.labels[label] for label in labels if label != IGNORED] == row["tags"], "one for each word"


@pytest.mark.parametrize("form", ["pairs", "triplets"])
@bounded
@given(kind=kinds, data=some.data())
def test_texts_that_belong_together(folder, form, kind, data):
    rows = data.draw(some.lists(ROWS[form], min_size=1, max_size=4))
    _, prepared, collator, _ = seen_by_the_trainer(rows, form, kind, folder)
    batch = collator(prepared)
    lines = [batch["input_ids"][line, :int(mask.sum())].tolist() for line, mask in enumerate(batch["attention_mask"])]
    parts = ("anchor", "positive", "negative")[:len(lines) // len(rows)]
    assert [decoded(ids, kind) for ids in lines] == [row[part] for part in parts for row in rows]
    assert set(parts) == set(rows[0])
