"""The rendered view: the same tokens as in training, readable, and out of a process that can be ended."""

import json
import os
import time
from types import SimpleNamespace

import pytest

from jobs.data import load_dataset
from jobs.preparing.encoding import encode_batch, load_tokenizer, settle_template
from jobs.preparing.reader import Reader, RowNotRendered, RowTooSlow
from jobs.preparing.rendering import pieces_of, render_example, shown_ranges
from jobs.processes import mark_of
from storage.settings import REPOSITORY, StudioSettings

LOOPING = "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}"
CHATS = [
    {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Grüß Gott 🙂"},
                  {"role": "assistant", "content": "Hello\nthere\ufffd."}, {"role": "user", "content": "And?"},
                  {"role": "assistant", "content": "मनुष्य שלום"}]},
    {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"},
                  {"role": "user", "content": "x"}, {"role": "assistant", "content": "z"}]},
]


@pytest.fixture(scope="module")
def chat_data(tmp_path_factory):
    path = tmp_path_factory.mktemp("chats") / "chats.jsonl"
    path.write_text("".join(json.dumps(chat) + "\n" for chat in CHATS))
    return load_dataset([path])


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    reader = Reader(StudioSettings.from_env({"STUDIO_HOME": str(tmp_path_factory.mktemp("home"))}))
    yield reader
    reader.close()


def ids_of(row) -> list[int]:
    return [token for stretch in row.stretches for piece in stretch.pieces for token in piece.ids]


def trained_of(row) -> list[int]:
    return [token for stretch in row.stretches for piece in stretch.pieces if piece.trained for token in piece.ids]


def text_of(row) -> str:
    return "".join(piece.text for stretch in row.stretches for piece in stretch.pieces)


def test_a_rendered_row_has_the_tokens_and_masks_of_training(reader, tiny_llama, chat_data):
    tokenizer = load_tokenizer(tiny_llama)
    template, _ = settle_template(tokenizer)
    for index, example in enumerate(chat_data.examples):
        wanted = encode_batch([example], tokenizer, "messages", chat_template=template)[0][""]
        row = reader.render(tiny_llama, chat_data.folder, index, "messages", limit=1000).rows[0]
        assert ids_of(row) == wanted.ids
        assert trained_of(row) == [wanted.ids[place] for first, end in wanted.trained for place in range(first, end)]
        assert (row.tokens, row.trained) == (len(wanted.ids), sum(end - first for first, end in wanted.trained))


@pytest.mark.parametrize("limit", [1000, 40])
def test_a_rendered_row_is_the_row_that_a_trainer_prepares_up_to_the_cut(reader, tiny_llama, chat_data, tmp_path, limit):
    from jobs.preparing.prepare import prepare
    from jobs.recipe_reader import read_recipe
    from jobs.training.context import TrainingContext
    from jobs.training.tasks import load_task

    recipe = read_recipe({"base_model": str(tiny_llama), "dataset": {"source": "x"}, "training": {"max_length": limit}})
    context = TrainingContext(
        recipe=recipe, task=load_task("text-generation", "messages"), format="messages", device="cpu", precision="fp32",
        base_path=tiny_llama, attempt_dir=tmp_path, prepared_dir=tmp_path / "prepared", report=SimpleNamespace(say=print),
        tokenizer=load_tokenizer(tiny_llama))
    prepared, _ = prepare(chat_data.examples, context)
    assert len(prepared) == 2
    for index, wanted in enumerate(prepared):
        row = reader.render(tiny_llama, chat_data.folder, index, "messages", limit).rows[0]
        assert ids_of(row)[:limit] == wanted["input_ids"]
        ranges = zip(wanted["trained"][::2], wanted["trained"][1::2], strict=True)
        assert row.trained_kept == sum(end - first for first, end in ranges)


def test_the_texts_of_the_tokens_read_as_the_whole_text(reader, tiny_llama, chat_data):
    row = reader.render(tiny_llama, chat_data.folder, 0, "messages", limit=1000).rows[0]
    for text in ("<|user|>Grüß Gott 🙂<|end|>", "Hello\nthere\ufffd.", "मनुष्य שלום<|end|>"):
        assert text in text_of(row)
    specials = [piece.text for stretch in row.stretches for piece in stretch.pieces if piece.special]
    assert specials[:3] == ["<|system|>", "<|end|>", "<|user|>"]
    smile = next(piece for stretch in row.stretches for piece in stretch.pieces if piece.text == "🙂")
    assert len(smile.ids) == 4, "a character of four bytes is one piece of four tokens"


@pytest.mark.parametrize("base", [REPOSITORY / "assets" / "demo-base"])
def test_a_tokenizer_with_words_keeps_its_spaces(base):
    tokenizer = load_tokenizer(base)
    text = "Where does  the moss fox live?\nIn Tarn."
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert "".join(piece.text for piece in pieces_of(ids, [False] * len(ids), tokenizer)) == text


def test_the_limit_tells_how_much_of_what_is_learnt_stays(reader, tiny_llama, chat_data):
    whole = reader.render(tiny_llama, chat_data.folder, 1, "messages", limit=1000).rows[0]
    cut = reader.render(tiny_llama, chat_data.folder, 1, "messages", limit=whole.tokens - 1).rows[0]
    none = reader.render(tiny_llama, chat_data.folder, 1, "messages", limit=2).rows[0]
    assert (whole.trained_kept, cut.trained_kept, none.trained_kept) == (whole.trained, whole.trained - 1, 0)
    assert whole.trained == 4, "both answers and their ends"


def test_a_template_can_be_given_and_a_base_without_one_says_so(reader, tiny_bert, tiny_llama, chat_data):
    given = reader.render(tiny_llama, chat_data.folder, 1, "messages", 100, "{% for m in messages %}[{{ m.content }}]{% endfor %}")
    assert text_of(given.rows[0]) == "[x][y][x][z]" and given.note == ""
    own = reader.render(tiny_llama, chat_data.folder, 1, "messages", 100)
    assert own.template == load_tokenizer(tiny_llama).chat_template and own.note == ""
    plain = reader.render(tiny_bert, chat_data.folder, 1, "messages", 100)
    assert "no chat template" in plain.note and "User: x" in text_of(plain.rows[0])


@pytest.mark.parametrize("template", ["{% for m in messages %}", "{{ nothing.there.at_all }}", "{{ raise_exception('no') }}"])
def test_a_template_that_does_not_work_says_why(reader, tiny_llama, chat_data, template):
    try:
        refused = reader.render(tiny_llama, chat_data.folder, 0, "messages", 100, template).rows[0]
        assert "template" in refused.problem and refused.tokens == 0
    except RowNotRendered as problem:
        assert "template" in str(problem)
    assert reader.render(tiny_llama, chat_data.folder, 0, "messages", 100).rows[0].tokens


def test_a_template_that_loops_for_ever_is_ended_and_the_next_row_is_shown(settings, tiny_llama, chat_data):
    reader = Reader(settings)
    try:
        assert reader.render(tiny_llama, chat_data.folder, 0, "messages", 100).rows
        reader.answer_seconds = 3
        first = mark_of(reader.process.pid)
        with pytest.raises(RowTooSlow, match="loop"):
            reader.render(tiny_llama, chat_data.folder, 0, "messages", 100, LOOPING)
        assert mark_of(first.pid) != first
        reader.answer_seconds = 20
        assert reader.render(tiny_llama, chat_data.folder, 0, "messages", 100).rows
    finally:
        reader.close()


def test_a_template_that_writes_without_end_runs_out_of_its_own_memory(reader, tiny_llama, chat_data):
    with pytest.raises(Exception, match="memory|template"):
        reader.render(tiny_llama, chat_data.folder, 0, "messages", 100, "{{ 'abcdefgh' * 3000000000 }}")
    assert reader.render(tiny_llama, chat_data.folder, 0, "messages", 100).rows


def test_the_process_ends_when_it_is_idle_and_is_started_again(settings, tiny_llama, chat_data):
    reader = Reader(settings, idle_seconds=0.2)
    try:
        reader.render(tiny_llama, chat_data.folder, 0, "messages", 100)
        reader.process.wait(timeout=30)
        assert reader.render(tiny_llama, chat_data.folder, 1, "messages", 100).rows
    finally:
        reader.close()


def test_the_process_is_nice_and_asks_no_network(reader, tiny_llama, chat_data):
    reader.render(tiny_llama, chat_data.folder, 0, "messages", 100)
    pid = reader.process.pid
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    assert b"HF_HUB_OFFLINE=1" in open(f"/proc/{pid}/environ", "rb").read()
    limit = next(line for line in open(f"/proc/{pid}/limits") if line.startswith("Max address space"))
    assert limit.split()[3].isdigit()


def test_the_process_ends_with_its_input(settings, tiny_llama, chat_data):
    reader = Reader(settings)
    try:
        reader.render(tiny_llama, chat_data.folder, 0, "messages", 100)
        reader.process.stdin.close()
        assert reader.process.wait(timeout=30) == 0
    finally:
        reader.close()


def test_very_long_rows_are_shown_where_it_matters():
    assert shown_ranges(100, 50) == [(0, 100)]
    assert shown_ranges(0, 50) == [(0, 0)]
    ranges = shown_ranges(1_000_000, 100_000)
    assert ranges[0] == (0, 6000) and ranges[-1][1] == 1_000_000
    assert any(first < 100_000 < end for first, end in ranges)
    assert sum(end - first for first, end in ranges) < 10_000


def test_what_is_learnt_besides_tokens_is_told(tiny_bert):
    tokenizer = load_tokenizer(tiny_bert)
    assert render_example({"text": "good", "label": "up"}, tokenizer, "classification", 100).aims == [("label", "up")]
    tagged = render_example({"tokens": ["Anna", "sings"], "tags": ["B-PER", "O"]}, tokenizer, "tokens", 100)
    assert tagged.aims == [("Anna", "B-PER"), ("sings", "O")]
    assert tagged.rows[0].trained == 2, "the first token of each word"
    pair = render_example({"anchor": "a", "positive": "b"}, tokenizer, "pairs", 100)
    assert [row.name for row in pair.rows] == ["anchor", "positive"]


def test_a_megabyte_in_one_row_is_shown_in_time(reader, tiny_llama, tmp_path):
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"text": "word " * 200_000}) + "\n")
    data = load_dataset([path])
    started = time.monotonic()
    row = reader.render(tiny_llama, data.folder, 0, "text", limit=512).rows[0]
    assert row.tokens > 1_000_000 and time.monotonic() - started < 120
