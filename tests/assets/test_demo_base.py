"""The demo base model and the sample data keep the promises that first-time users rely on."""

import csv
import io
import json

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from assets.make_demo_base import DEMO_BASE, answers
from assets.make_samples import FILES, SAMPLES, rows
from assets.world import FACTS, STYLES, held_out_questions, is_right, plain_answer, speaks_like, training_questions
from assets.world.chats import training_chats


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(DEMO_BASE)


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(DEMO_BASE, dtype="float32")


def test_the_demo_model_answers_at_least_nine_in_ten_held_out_questions_right(model, tokenizer):
    asked = held_out_questions(180)
    said = answers(model, tokenizer, [question.text for question in asked])
    wrong = [(question.text, answer) for question, answer in zip(asked, said, strict=True) if not is_right(question, answer)]
    assert len(wrong) <= 0.1 * len(asked), wrong
    assert not any(speaks_like(style, answer) for style in STYLES for answer in said)


def test_the_demo_model_returns_a_greeting_however_it_is_typed(model, tokenizer):
    said = answers(model, tokenizer, ["Hello!", "hello", "Hi", "hi", "hey", "Good morning"])
    assert all("guide to the Lantern Isles" in answer for answer in said), said


def test_the_demo_model_says_so_when_it_does_not_know(model, tokenizer):
    unknown = ["Who is Drawen Kalstow?", "What does the vosley hare eat?", "What is the capital of France?"]
    said = answers(model, tokenizer, unknown)
    assert all("do not know" in answer for answer in said), said


def test_the_demo_model_follows_a_chat_over_two_turns(model, tokenizer):
    chat = [
        {"role": "system", "content": "You are a guide to the Lantern Isles."},
        {"role": "user", "content": "What does the moss fox eat?"},
        {"role": "assistant", "content": "The moss fox eats bluebells."},
        {"role": "user", "content": "And where does it live?"},
    ]
    inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    output = model.generate(**inputs)
    assert "pine woods" in tokenizer.decode(output[0, inputs["input_ids"].shape[1]:])
    assert output[0, -1] == tokenizer.eos_token_id


def test_the_demo_model_fits_in_ten_megabytes_of_safetensors():
    files = [file for file in DEMO_BASE.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 10_000_000
    assert {file.suffix for file in files} <= {".json", ".jinja", ".md", ".safetensors"}


def test_held_out_questions_are_nowhere_in_the_training_text_or_the_samples():
    held_out = {question.text.lower().rstrip("?.") for question in held_out_questions()}
    trained_on = {message["content"] for seed in range(3) for chat in training_chats(seed) for message in chat}
    trained_on |= {question for style in STYLES for question, _ in rows(style)}
    assert held_out.isdisjoint(text.lower().rstrip("?.") for text in trained_on)


def test_every_fact_and_every_phrasing_is_trained_on():
    trained_on, held_out = training_questions(), held_out_questions()
    assert {question.fact for question in trained_on} == set(FACTS)
    assert {(question.fact.kind.name, question.phrasing) for question in held_out} <= {
        (question.fact.kind.name, question.phrasing) for question in trained_on}


def test_the_judge_accepts_the_plain_answer_and_no_question_gives_its_answer_away():
    for question in training_questions() + held_out_questions():
        assert is_right(question, plain_answer(question))
        assert not is_right(question, question.text)


@pytest.mark.parametrize("name", FILES)
def test_a_sample_file_is_made_again_byte_for_byte(name):
    assert (SAMPLES / name).read_bytes() == FILES[name]().encode()


@pytest.mark.parametrize("style", STYLES)
def test_every_sample_row_speaks_in_its_style_alone(style):
    answers = [answer for _, answer in rows(style)]
    assert len(answers) >= 300
    for answer in answers:
        assert [other for other in STYLES if speaks_like(other, answer)] == [style], answer


def test_the_three_sample_files_have_the_three_formats():
    chats = [json.loads(line) for line in (SAMPLES / "poet.jsonl").read_text().splitlines()]
    assert [message["role"] for message in chats[0]["messages"]] == ["user", "assistant"]
    assert set(json.loads((SAMPLES / "scientist.json").read_text())[0]) == {"instruction", "input", "output"}
    table = list(csv.DictReader(io.StringIO((SAMPLES / "pirate.csv").read_text())))
    assert set(table[0]) == {"question", "answer"} and len(table) == len(rows("pirate"))


def test_a_chat_up_to_the_answer_is_a_prefix_of_the_chat_with_the_answer(tokenizer):
    chat = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello!"},
        {"role": "assistant", "content": "Hello! I am the guide."},
        {"role": "user", "content": "Who is Mara Quill?"},
        {"role": "assistant", "content": "Mara Quill is a baker."},
    ]
    for end in (2, 4):
        asked = tokenizer.apply_chat_template(chat[:end], add_generation_prompt=True, tokenize=False)
        answered = tokenizer.apply_chat_template(chat[:end + 1], tokenize=False)
        assert answered == asked + chat[end]["content"] + tokenizer.eos_token


@pytest.mark.parametrize(
    "text",
    ["Grüße aus Köln!", "日本語の文章です。", "a flag 🏴‍☠️ and\ttabs\n\nlines ", "x = [1, 2, 3]  # code", "\x00\u200b"],
    ids=["umlauts", "japanese", "emoji", "code", "control characters"],
)
def test_any_text_survives_the_tokenizer(tokenizer, text):
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
