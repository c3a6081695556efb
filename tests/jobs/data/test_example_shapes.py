"""What rows of each format become: values as they are, and a reason for every row that is left out."""

import json

import pytest

from jobs.data import LoadedData, load_dataset, read_rows, recognise

ASKED = {"role": "user", "content": "Hi"}
ANSWERED = {"role": "assistant", "content": "Hello"}
OTHER = {"role": "assistant", "content": "Go away"}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Says it", "parameters": {"type": "object"}}}


@pytest.fixture
def load(write):
    def load_rows(rows: list, **choices) -> LoadedData:
        return load_dataset([write("a.jsonl", rows)], **choices)

    return load_rows


def reasons(data: LoadedData) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for row in data.left_out]


# ---- OpenAI's files as they are


def test_openai_chat_files_keep_tools_calls_and_weights(load):
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo", "days": 2}'}}
    row = {
        "messages": [
            {"role": "system", "content": "You know the weather."},
            {"role": "user", "content": "And in Oslo?", "name": "ada"},
            {"role": "assistant", "content": None, "tool_calls": [call], "weight": 0},
            {"role": "tool", "tool_call_id": "call_1", "content": "22 degrees"},
            {"role": "assistant", "content": "Warm: 22 degrees.", "weight": 1},
        ],
        "tools": [TOOL],
        "parallel_tool_calls": False,
    }
    data = load([row])
    assert (data.format, data.columns) == ("messages", {"messages": "messages", "tools": "tools"})
    example = data.examples[0]
    assert example["tools"] == [TOOL]
    assert example["messages"] == [
        {"role": "system", "content": "You know the weather."},
        {"role": "user", "content": "And in Oslo?", "name": "ada"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [call | {"function": {"name": "weather", "arguments": {"city": "Oslo", "days": 2}}}],
            "weight": 0,
        },
        {"role": "tool", "content": "22 degrees", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "Warm: 22 degrees.", "weight": 1},
    ]


def test_openai_files_of_the_older_kind_with_functions(load):
    function = {"name": "weather", "parameters": {"type": "object"}}
    row = {
        "messages": [
            ASKED,
            {"role": "assistant", "function_call": {"name": "weather", "arguments": "{}"}},
            {"role": "function", "name": "weather", "content": "rain"},
            ANSWERED,
        ],
        "functions": [function],
    }
    example = load([row]).examples[0]
    assert example["tools"] == [{"type": "function", "function": function}]
    assert example["messages"][1] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {}}}],
    }
    assert example["messages"][2] == {"role": "tool", "content": "rain", "name": "weather"}


def test_openai_preference_files(load):
    row = {
        "input": {"messages": [ASKED], "tools": [TOOL], "parallel_tool_calls": True},
        "preferred_output": [ANSWERED],
        "non_preferred_output": [OTHER],
    }
    data = load([row, row | {"input": {"messages": [ASKED], "tools": []}}])
    assert data.format == "preference"
    assert list(data.examples) == [
        {"prompt": [ASKED], "chosen": [ANSWERED], "rejected": [OTHER], "tools": [TOOL]},
        {"prompt": [ASKED], "chosen": [ANSWERED], "rejected": [OTHER]},
    ]


def test_answers_with_the_weight_0_are_context(load):
    silent = ANSWERED | {"weight": 0}
    data = load(
        [{"messages": [ASKED, ANSWERED]}, {"messages": [ASKED, silent]}, {"messages": [ASKED, ANSWERED | {"weight": 2}]}] * 1
        + [{"messages": [ASKED, silent, ASKED, ANSWERED]}]
    )
    assert list(data.examples) == [{"messages": [ASKED, ANSWERED]}, {"messages": [ASKED, silent, ASKED, ANSWERED]}]
    assert reasons(data) == [
        (2, "no answer to learn from (all have the weight 0)"),
        (3, "an answer with the weight 2, where 0 or 1 belongs"),
    ]


# ---- conversations


def test_sharegpt_calls_and_observations_become_calls_and_tools(load):
    row = {
        "conversations": [
            {"from": "human", "value": "Weather?"},
            {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "Oslo"}}'},
            {"from": "observation", "value": '{"degrees": 22}'},
            {"from": "gpt", "value": "22 degrees"},
        ],
        "tools": json.dumps([TOOL["function"]]),
    }
    example = load([row]).examples[0]
    assert [turn["role"] for turn in example["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert example["messages"][1]["tool_calls"] == [
        {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
    ]
    assert example["messages"][2]["content"] == '{"degrees": 22}'
    assert example["tools"] == [TOOL]


def test_odd_orders_and_empty_turns_stay_as_they_are(load):
    rows = [
        {"messages": [ASKED, ASKED, ANSWERED]},
        {"messages": [ANSWERED, ASKED, ANSWERED]},
        {"messages": [{"role": "user", "content": "  "}, ANSWERED]},
        {"messages": [ASKED, {"role": "assistant", "content": ""}, ASKED, ANSWERED]},
    ]
    data = load(rows)
    assert list(data.examples) == rows
    assert data.findings == []


def test_what_comes_after_the_last_answer_is_not_used_and_said(load):
    call = ANSWERED | {"tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {}}}]}
    data = load([{"messages": [ASKED, call, {"role": "tool", "content": "1"}]}, {"messages": [ASKED, ANSWERED]}])
    assert data.examples[0] == {"messages": [ASKED, call]}
    assert data.findings[0] == "1 of 2 rows has a turn after the last answer that answers nothing; it is not learnt from."


def test_tools_that_are_not_tools_leave_the_row_out(load):
    data = load([{"messages": [ASKED, ANSWERED], "tools": tools} for tools in ([TOOL], "[]", None, ["no"], *[[TOOL]] * 9)])
    assert reasons(data) == [(4, "tools that are not a list of objects")]
    assert [("tools" in example) for example in data.examples[:4]] == [True, False, False, True]


def test_earlier_answers_in_a_prompt_are_context(load):
    row = {"prompt": [ASKED, OTHER, ASKED], "completion": [ANSWERED]}
    assert load([row]).examples[0] == {"messages": [ASKED, OTHER | {"weight": 0}, ASKED, ANSWERED]}


def test_a_transcript_ends_its_turns_where_the_next_one_speaks(load):
    text = "\n\nHuman: One\n\ntwo\n\nAssistant:  Three \n\nHuman: Four\n\nAssistant: Five"
    assert load([{"b": text}] * 2).examples[0]["messages"] == [
        {"role": "user", "content": "One\n\ntwo"},
        {"role": "assistant", "content": " Three "},
        {"role": "user", "content": "Four"},
        {"role": "assistant", "content": "Five"},
    ]


def test_translations_and_summaries_become_a_question_and_an_answer_without_other_words(load):
    data = load([{"translation": {"en": " Good day ", "ro": "Bună ziua"}}, {"translation": {"en": "Yes", "ro": "Da"}}])
    assert data.examples[0] == {
        "messages": [{"role": "user", "content": " Good day "}, {"role": "assistant", "content": "Bună ziua"}]
    }
    data = load([{"article": "A long text.", "highlights": "Short."}, {"article": "Another long text.", "highlights": ""}])
    assert reasons(data) == [(2, "no summary")]


# ---- preferences


def test_the_prompt_is_what_both_conversations_share(load):
    rows = [
        {"chosen": [ASKED, ANSWERED, ASKED, ANSWERED], "rejected": [ASKED, ANSWERED, ASKED, OTHER]},
        {"chosen": [ASKED, ANSWERED], "rejected": [ASKED, OTHER, ASKED, OTHER]},
        {"chosen": [ASKED, ANSWERED], "rejected": [ASKED, ANSWERED]},
        {"chosen": [ASKED, ANSWERED], "rejected": [{"role": "user", "content": "Else"}, OTHER]},
        {"chosen": [ASKED, ANSWERED], "rejected": [ASKED, {"role": "assistant", "content": " "}]},
    ]
    data = load(rows[:2] * 3 + rows[2:])
    assert data.examples[0] == {"prompt": [ASKED, ANSWERED, ASKED], "chosen": [ANSWERED], "rejected": [OTHER]}
    assert data.examples[1] == {"prompt": [ASKED], "chosen": [ANSWERED], "rejected": [OTHER, ASKED, OTHER]}
    assert reasons(data) == [
        (7, "a chosen answer that is the same as the rejected one"),
        (8, "a chosen and a rejected answer to different questions"),
        (9, "an empty rejected answer"),
    ]


def test_a_prompt_that_the_conversations_repeat_is_there_once(load):
    row = {"prompt": "Hi", "chosen": [ASKED, ANSWERED], "rejected": [ASKED, OTHER]}
    assert load([row]).examples[0] == {"prompt": [ASKED], "chosen": [ANSWERED], "rejected": [OTHER]}


def test_transcripts_as_preferences(load):
    start = "\n\nHuman: Hi\n\nAssistant: "
    data = load([{"chosen": f"{start}Hello", "rejected": f"{start}Go away"}] * 2)
    assert data.format == "preference"
    assert data.examples[0] == {"prompt": [ASKED], "chosen": [ANSWERED], "rejected": [OTHER]}


def test_a_system_message_and_plain_answers_as_preferences(load):
    row = {"system": "Be kind", "question": "Hi", "chosen": "Hello", "rejected": "Go away"}
    assert load([row]).examples[0] == {
        "prompt": [{"role": "system", "content": "Be kind"}, ASKED],
        "chosen": [ANSWERED],
        "rejected": [OTHER],
    }


def test_one_answer_with_a_verdict(load):
    rows = [{"prompt": "Hi", "completion": "Hello", "label": True}, {"prompt": "Hi", "completion": "Go away", "label": False}] * 9
    data = load(
        [*rows, {"prompt": "Hi", "completion": "Hello", "label": None}, {"prompt": "Hi", "completion": "Hello", "label": "maybe"}]
    )
    assert data.format == "binary-preference"
    assert data.examples[:2][0] == {"prompt": [ASKED], "completion": [ANSWERED], "desirable": True}
    assert data.examples[1] == {"prompt": [ASKED], "completion": [OTHER], "desirable": False}
    assert reasons(data) == [(19, "no label"), (20, "a label that is neither true nor false ('maybe')")]


def test_a_verdict_on_a_whole_conversation_is_on_its_last_answer(load):
    data = load([{"messages": [ASKED, OTHER, ASKED, ANSWERED], "label": index % 2 == 0} for index in range(4)])
    assert data.examples[1] == {"prompt": [ASKED, OTHER, ASKED], "completion": [ANSWERED], "desirable": False}


# ---- labels, numbers, tags, pairs


def test_pairs_of_texts_with_a_label(load):
    rows = [{"premise": f"A man {index} runs.", "hypothesis": "He moves.", "label": index % 3} for index in range(30)]
    data = load([*rows, {"premise": "Alone.", "hypothesis": "", "label": 1}])
    assert data.examples[1] == {"text": "A man 1 runs.", "text_pair": "He moves.", "label": "1"}
    assert data.labels == ["0", "1", "2"]
    assert reasons(data) == [(31, "no second text")]


def test_numbers_are_floats_and_what_is_none_is_left_out(load):
    rows = [{"text": f"A text {index}", "score": str(index / 4)} for index in range(20)]
    data = load([*rows, *({"text": "x y", "score": score} for score in ("good", "", "nan", 7, True))])
    assert (data.format, data.labels) == ("regression", [])
    assert data.examples[3] == {"text": "A text 3", "score": 0.75}
    assert data.examples[20] == {"text": "x y", "score": 7.0}
    assert reasons(data) == [
        (21, "a score that is not a number ('good')"),
        (22, "no score"),
        (23, "a score that is not a number ('nan')"),
        (25, "a score that is not a number ('True')"),
    ]


def test_tags_are_collected_as_labels_and_lengths_must_agree(load):
    rows = [{"tokens": ["EU", " rejects", "call"], "ner_tags": [3, 0, 12]}] * 6
    data = load(
        [*rows, {"tokens": ["a", "b"], "ner_tags": [1]}, {"tokens": [], "ner_tags": []}, {"tokens": ["a"], "ner_tags": [None]}]
    )
    assert data.labels == ["0", "3", "12"]
    assert data.examples[0] == {"tokens": ["EU", " rejects", "call"], "tags": ["3", "0", "12"]}
    assert reasons(data) == [
        (7, "different numbers of tokens and tags (2 and 1)"),
        (8, "no tokens"),
        (9, "a token without a tag"),
    ]


def test_tags_in_the_cells_of_a_table(write):
    lists = "\n".join(f'"[""EU"", ""rejects""]","[""B-ORG"", ""{tag}""]"' for tag in ("O", "B-X", "O"))
    data = load_dataset([write("a.csv", f"words,labels\n{lists}\n")])
    assert (data.format, data.labels) == ("tokens", ["B-ORG", "B-X", "O"])
    assert data.examples[1] == {"tokens": ["EU", "rejects"], "tags": ["B-ORG", "B-X"]}


def test_pairs_and_triplets_keep_their_texts(load):
    rows = [{"query": "Who? ", "pos": ["I."], "neg": ["You."]}, {"query": "Why?", "pos": ["So."], "neg": []}]
    data = load([*rows, rows[0]])
    assert data.examples[0] == {"anchor": "Who? ", "positive": "I.", "negative": "You."}
    assert reasons(data) == [(2, "no negative text")]
    data = load([{"anchor": "Who?", "positive": "I."}])
    assert list(data.examples) == [{"anchor": "Who?", "positive": "I."}]


# ---- what a person chooses


@pytest.mark.parametrize(
    ("format", "columns"),
    [
        ("instruction", {"instruction": "a", "output": "b"}),
        ("prompt-completion", {"prompt": "a", "completion": "b"}),
        ("text", {"text": "c"}),
        ("translation", {"source": "a", "target": "b"}),
        ("summarisation", {"document": "a", "summary": "b"}),
        ("preference", {"prompt": "a", "chosen": "b", "rejected": "c"}),
        ("pairs", {"anchor": "a", "positive": "b"}),
        ("triplets", {"anchor": "a", "positive": "b", "negative": "c"}),
    ],
)
def test_a_format_chosen_by_hand_takes_the_columns_in_order(load, format, columns):
    rows = [{"a": f"one {index}", "b": f"two {index}", "c": f"the third text {index}"} for index in range(5)]
    data = load(rows, format=format)
    assert (data.format, data.columns, data.kept) == (format, columns, 5)


def test_better_and_worse_can_be_exchanged(load):
    rows = [{"a": [ASKED, ANSWERED], "b": [ASKED, OTHER]}] * 3
    assert load(rows).columns == {"chosen": "a", "rejected": "b"}
    assert load(rows, columns={"chosen": "b"}).columns == {"chosen": "b", "rejected": "a"}
    assert load(rows, columns={"chosen": "b", "rejected": "a"}).examples[0]["chosen"] == [OTHER]


def test_a_task_limits_the_formats():
    rows = [{"premise": f"A man {index} runs.", "hypothesis": f"He moves {index}.", "label": index % 2} for index in range(30)]
    assert recognise(rows).format == recognise(rows, "text-classification").format == "classification"
    assert recognise(rows, "sentence-similarity").columns == {"anchor": "premise", "positive": "hypothesis"}
    assert recognise(rows, "text-generation").format == "prompt-completion"


def test_a_close_call_says_what_else_it_could_be():
    rows = [{"a": [ASKED, ANSWERED], "b": index % 3 == 0} for index in range(9)]
    found = recognise(rows)
    assert found.reason == (
        "Column 'b' holds true and false, which is read as the verdict on the last answer of 'a'. "
        "It could also be read as: Chat messages."
    )


# ---- the real data


@pytest.mark.parametrize(
    ("file", "format", "columns"),
    [
        ("banking77/train.csv", "classification", {"text": "text", "label": "category"}),
        ("gsm8k/train.jsonl", "prompt-completion", {"prompt": "question", "completion": "answer"}),
        ("gsm8k/preference.jsonl", "preference", {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}),
        ("wmt_en_ro/train.json", "translation", {"source": "translation.en", "target": "translation.ro"}),
    ],
)
def test_the_real_data_is_recognised_with_its_names_and_without(shared_file, file, format, columns):
    data = load_dataset([shared_file(file)])
    assert (data.format, data.columns, data.left_out_count) == (format, columns, 0)
    rows = [row.values for row in read_rows(shared_file(file))]
    rows = [row["translation"] if "translation" in row else row for row in rows]
    found = recognise([dict(zip("abc", row.values(), strict=False)) for row in rows])
    assert (found.format, list(found.columns.values())) == (format, list("abc")[: len(columns)])


def test_the_real_tagged_words_are_recognised(shared_file):
    data = load_dataset([shared_file("wnut17/train.conll")])
    assert (data.format, data.task, data.kept) == ("tokens", "token-classification", 3394)
    assert "O" in data.labels and "B-location" in data.labels
