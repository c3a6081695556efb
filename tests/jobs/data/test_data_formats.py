import pytest

from jobs.data import CLASSIFICATION, FORMATS, GENERATION, LoadedData, find_format, load_dataset, recognise
from storage.problems import DataInvalid

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
SHAREGPT = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]


def labelled(count=30, text="text", label="label"):
    return [{text: f"this is text number {index}", label: "ham" if index % 3 else "spam"} for index in range(count)]


@pytest.mark.parametrize(
    ("row", "format", "columns"),
    [
        ({"messages": CHAT}, "messages", {"messages": "messages"}),
        ({"conversations": SHAREGPT, "id": "x1"}, "messages", {"messages": "conversations"}),
        ({"stuff": CHAT, "system": "Be kind"}, "messages", {"messages": "stuff", "system": "system"}),
        ({"instruction": "Add", "input": "1 2", "output": "3"}, "instruction", None),
        (
            {"instruction": "Add", "context": "1 2", "response": "three", "category": "maths"},
            "instruction",
            {"instruction": "instruction", "input": "context", "output": "response"},
        ),
        ({"prompt": "a", "completion": "b"}, "prompt-completion", None),
        ({"question": "a", "answer": "b"}, "prompt-completion", {"prompt": "question", "completion": "answer"}),
        ({"Question": "a", "Answer": 7}, "prompt-completion", {"prompt": "Question", "completion": "Answer"}),
        ({"query": "a", "response": "b"}, "prompt-completion", {"prompt": "query", "completion": "response"}),
        ({"id": "n1", "en": "good day", "fr": "bonjour"}, "translation", {"source": "en", "target": "fr"}),
        (
            {"translation": {"en": "good day", "fr": "bonjour"}},
            "translation",
            {"source": "translation.en", "target": "translation.fr"},
        ),
        ({"prompt": CHAT[:1], "completion": CHAT[1:]}, "prompt-completion", None),
        ({"id": 1, "text": "Once upon a time"}, "text", {"text": "text"}),
        ({"poem": "Once upon a time"}, "text", {"text": "poem"}),
    ],
)
def test_formats_for_generation_are_recognised_by_content(row, format, columns):
    rows = [{key: f"{value} {n}" if isinstance(value, str) else value for key, value in row.items()} for n in range(9)]
    for task in (GENERATION, None):
        found = recognise(rows, task)
        assert found.format == format
        assert found.columns == (columns or {name: name for name in row})
        assert found.task == GENERATION
        assert found.reason.endswith(".")


@pytest.mark.parametrize(
    "rows",
    [
        labelled(),
        labelled(text="tweet", label="sentiment"),
        labelled(4),
        labelled(text="note", label="kind"),
        [{**row, "label": int(row["label"] == "spam")} for row in labelled()],
        [{**row, "id": str(index)} for index, row in enumerate(labelled())],
    ],
)
def test_labelled_texts_suggest_classification(rows):
    found = recognise(rows)
    assert (found.format, found.task) == ("classification", CLASSIFICATION)
    assert set(found.columns) == {"text", "label"}


def test_the_same_table_serves_both_tasks():
    rows = labelled()
    assert recognise(rows, CLASSIFICATION).format == "classification"
    assert recognise(rows, GENERATION).format == "prompt-completion"


def test_answers_that_repeat_are_still_answers():
    rows = [{"question": f"Is {index} even?", "answer": "yes" if index % 2 == 0 else "no"} for index in range(40)]
    assert recognise(rows).format == "prompt-completion"
    assert recognise(rows, CLASSIFICATION).columns == {"text": "question", "label": "answer"}


def test_the_named_label_wins_over_its_number():
    rows = [{**row, "label_text": row["label"], "label": 1} for row in labelled()]
    assert recognise(rows).columns == {"text": "text", "label": "label_text"}


@pytest.mark.parametrize("entry", FORMATS.values(), ids=lambda entry: entry.name)
def test_every_format_explains_itself_and_its_parts(entry):
    assert entry.title and entry.help.endswith(".")
    assert entry.required and all(part.help.endswith(".") for part in entry.parts)
    assert find_format(entry.name, entry.task) is entry


def examples(write, rows, **choices) -> list[dict]:
    return list(load(write, rows, **choices).examples)


def load(write, rows, **choices) -> LoadedData:
    return load_dataset([write("a.jsonl", rows)], **choices)


def test_sharegpt_turns_become_roles_and_content(write):
    system = {"from": "system", "value": "Be kind"}
    assert examples(write, [{"conversations": [system, *SHAREGPT]}]) == [
        {"messages": [{"role": "system", "content": "Be kind"}, *CHAT]}
    ]


def test_content_in_text_parts_is_joined(write):
    parts = [{"type": "text", "text": "He"}, {"type": "text", "text": "llo"}]
    assert examples(write, [{"messages": [CHAT[0], {"role": "assistant", "content": parts}]}]) == [{"messages": CHAT}]


def test_an_empty_system_message_is_dropped(write):
    assert examples(write, [{"messages": [{"role": "system", "content": ""}, *CHAT]}]) == [{"messages": CHAT}]


def test_conversations_written_as_json_in_a_csv_are_read(write):
    path = write("a.csv", 'id,messages\n1,"' + str(CHAT).replace("'", '""') + '"\n')
    assert list(load_dataset([path]).examples) == [{"messages": CHAT}]


def test_a_conversation_ends_with_its_last_answer(write):
    data = load(write, [{"messages": [*CHAT, {"role": "user", "content": "And?"}]}, {"messages": CHAT}])
    assert list(data.examples) == [{"messages": CHAT}, {"messages": CHAT}]
    assert "1 of 2 rows has a question after the last answer; that question is not learnt from." in data.findings


def test_conversations_that_cannot_be_used_are_left_out_with_the_reason(write):
    critic = {"role": "critic", "content": "22 degrees"}
    image = {"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}
    rows = [{"messages": CHAT}] * 6 + [
        {"messages": CHAT[:1]},
        {"messages": [CHAT[0], critic, CHAT[1]]},
        {"messages": [image, CHAT[1]]},
        {"messages": [CHAT[0], {"role": "assistant", "content": " "}]},
        {"messages": []},
    ]
    data = load(write, rows)
    assert [(row.line, row.reason) for row in data.left_out] == [
        (7, "no answer of the assistant"),
        (8, "a turn with the unknown role 'critic'"),
        (9, "a turn with a part of the type 'image_url', which is not text"),
        (10, "an empty answer"),
        (11, "no messages"),
    ]


def test_instruction_and_input_make_the_question(write):
    rows = [
        {"instruction": "Add.", "input": "1 2", "output": "3", "system": "You count."},
        {"instruction": "Greet.", "input": "", "output": "Hello", "system": ""},
    ]
    first, second = examples(write, rows)
    assert [turn["content"] for turn in first["messages"]] == ["You count.", "Add.\n\n1 2", "3"]
    assert [turn["role"] for turn in first["messages"]] == ["system", "user", "assistant"]
    assert [turn["content"] for turn in second["messages"]] == ["Greet.", "Hello"]


def test_prompt_and_completion_become_two_turns_and_keep_their_spaces(write):
    assert examples(write, [{"prompt": "def f():", "completion": "    return 1"}]) == [
        {"messages": [{"role": "user", "content": "def f():"}, {"role": "assistant", "content": "    return 1"}]}
    ]
    assert examples(write, [{"prompt": CHAT[:1], "completion": CHAT[1:]}]) == [{"messages": CHAT}]


def test_answers_that_are_not_text_are_left_out(write):
    rows = [{"question": "a", "answer": "b"}] * 3 + [{"question": "a", "answer": ["b", "c"]}]
    assert next(load(write, rows).left_out).reason == "an answer that is a list, not text"


def test_half_a_character_is_left_out(write):
    data = load(write, [{"text": "caf\u00e9 \U0001f600"}, {"text": "b\ud800"}])
    assert list(data.examples) == [{"text": "caf\u00e9 \U0001f600"}]
    assert next(data.left_out).reason.startswith("half a character")


def test_numbers_and_truth_values_as_labels_become_text_in_order(write):
    rows = [{"text": f"t{index}", "label": index % 12} for index in range(48)]
    data = load(write, rows, task=CLASSIFICATION)
    assert data.labels == [str(index) for index in range(12)]
    rows = [{"text": f"t{index}", "label": float(index % 2)} for index in range(48)]
    assert load(write, rows, task=CLASSIFICATION).labels == ["0", "1"]
    rows = [{"text": f"t{index}", "label": index % 2 == 0} for index in range(48)]
    assert load(write, rows, task=CLASSIFICATION).labels == ["false", "true"]


def test_labels_lose_the_spaces_around_them(write):
    rows = [{"text": f"t{index}", "label": ["a", "a ", "b"][index % 3]} for index in range(30)]
    assert load(write, rows).labels == ["a", "b"]


def test_columns_chosen_by_hand_settle_the_format(write):
    rows = [{"text": f"t{index}", "label": "ab"[index % 2], "note": f"n{index}"} for index in range(10)]
    data = load(write, rows, columns={"prompt": "note", "completion": "text"})
    assert (data.format, data.task, data.reason) == ("prompt-completion", GENERATION, "Chosen by hand.")
    assert load(write, rows, columns={"text": "note"}, task=GENERATION).examples[0] == {"text": "n0"}


def test_parts_that_were_not_chosen_are_recognised(write):
    rows = [{"text": f"t{index}", "label": "ab"[index % 2], "other": f"n{index}"} for index in range(10)]
    assert load(write, rows, columns={"label": "other"}, task=CLASSIFICATION).columns == {
        "text": "text",
        "label": "other",
    }
    assert load(write, rows, columns={"text": "other"}, task=CLASSIFICATION).columns == {
        "text": "other",
        "label": "label",
    }


def test_an_optional_part_chosen_as_none_is_not_recognised_again(write):
    rows = [{"instruction": "Add.", "input": "1 2", "output": "3"}]
    chosen = {"instruction": "instruction", "input": None, "output": "output"}
    assert load(write, rows, columns=chosen).columns == {"instruction": "instruction", "output": "output"}


def test_a_format_chosen_by_hand_recognises_its_columns(write):
    rows = [{"instruction": "Add", "output": "3", "essay": "Long words about adding"}]
    assert load(write, rows, format="text").columns == {"text": "essay"}
    with pytest.raises(DataInvalid, match="Chat messages needs messages"):
        load(write, rows, format="messages")
