"""Popular datasets are recognised by their columns, and by what these hold where the columns are called a, b and c."""

import json
from string import ascii_lowercase

import pytest
from recognition_rows import (
    COUNT,
    ENGLISH,
    GERMAN,
    PEOPLE,
    PLACES,
    ROMANIAN,
    RUSSIAN,
    THINGS,
    TOOL,
    answer,
    chat,
    document,
    paraphrase,
    problem,
    question,
    rows,
    sentence,
    sharegpt,
    solution,
    tagged,
    transcript,
    with_tools,
)

from jobs.data import FORMATS, recognise

NUMBERED = {tag: number for number, tag in enumerate(("O", "B-PER", "I-PER", "B-LOC"))}


def same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def alpaca(with_text: bool):
    def make(number, chance):
        given = sentence(chance) if number % 3 == 0 else ""
        row = {
            "instruction": f"Say something about the {THINGS[number % 16]}, number {number}.",
            "input": given,
            "output": answer(number),
        }
        return row | ({"text": f"Below is an instruction. {row['instruction']} {answer(number)}"} if with_text else {})

    return rows(make)


def labelled(text: str, label: str, values: list, more: dict | None = None):
    return rows(lambda number, chance: {text: sentence(chance), label: values[number % len(values)], **(more or {})}, 4 * COUNT)


def paired(first: str, second: str, label: str, values: list):
    def make(number, chance):
        text = sentence(chance)
        return {
            first: text,
            second: paraphrase(text, chance) if number % 2 else sentence(chance),
            label: values[number % len(values)],
        }

    return rows(make, 4 * COUNT)


def translated(first: str, second: str, one: list[str], other: list[str]):
    return [{first: one[number % 6], second: other[number % 6]} for number in range(COUNT)]


def summed_up(whole: str, part: str, more: str = ""):
    def make(number, chance):
        text = document(chance)
        return ({more: f"{number:07x}-doc"} if more else {}) | {whole: text, part: text.split(". ")[0] + " and it was good."}

    return rows(make)


def tagged_rows(tokens: str, tags: str, numbers: bool = False, extra: tuple[str, ...] = (), as_text=None):
    def make(number, chance):
        words, names = tagged(number)
        marks = [NUMBERED[name] for name in names] if numbers else names
        other = [number % 2 for number in range(len(words))]
        row = {tokens: words, **{name: other for name in extra}, tags: marks}
        return {name: as_text(value) for name, value in row.items()} if as_text else row

    return rows(make)


def preferred(prompt: str, chosen: str, rejected: str):
    return [{prompt: problem(number), chosen: solution(number, True), rejected: solution(number, False)} for number in range(COUNT)]


def triplets(anchor: str, positive: str, negative: str):
    def make(number, chance):
        text = sentence(chance)
        return {anchor: text, positive: paraphrase(text, chance), negative: sentence(chance)}

    return rows(make)


def replies(number, chance, good=True):
    return [{"role": "assistant", "content": solution(number, good)}]


BY_NAME_ONLY = "by name only"  # under other names, nothing in the content tells

# name, rows, format, columns by part, and what is different where the columns are called a, b and c
DATASETS = [
    ("ultrachat", rows(lambda n, c: {"messages": chat(n, c, 4)}), "messages", same("messages")),
    (
        "ultrachat-200k",
        rows(lambda n, c: {"prompt": question(n), "prompt_id": f"{n:064x}", "messages": chat(n, c)}),
        "messages",
        same("messages"),
    ),
    (
        "openhermes",
        rows(lambda n, c: {"conversations": sharegpt(n, c), "source": "airoboros", "skip_prompt_formatting": False}),
        "messages",
        {"messages": "conversations"},
        {"format": None},
    ),
    (
        "sharegpt-with-system-and-tools",
        rows(lambda n, c: {"conversations": sharegpt(n, c), "system": "You count.", "tools": json.dumps([TOOL["function"]])}),
        "messages",
        {"messages": "conversations", "system": "system", "tools": "tools"},
        {"columns": {"messages": "a"}},
    ),
    (
        "openai-tools",
        rows(lambda n, c: {"messages": with_tools(n, c), "tools": [TOOL], "parallel_tool_calls": False}),
        "messages",
        same("messages", "tools"),
        {"format": None},
    ),
    (
        "openai-functions",
        rows(lambda n, c: {"messages": chat(n, c), "functions": [TOOL["function"]]}),
        "messages",
        {"messages": "messages", "tools": "functions"},
        {"columns": {"messages": "a"}},
    ),
    (
        "chat-as-json-text",
        rows(lambda n, c: {"id": n, "conversation": json.dumps(chat(n, c))}),
        "messages",
        {"messages": "conversation"},
    ),
    ("chat-as-pandas-text", rows(lambda n, c: {"chat": str(chat(n, c))}), "messages", {"messages": "chat"}),
    (
        "belle",
        rows(lambda n, c: {"conversation": [{"human": question(n), "assistant": answer(n)}]}),
        "messages",
        {"messages": "conversation"},
    ),
    ("hh-rlhf-one-side", rows(lambda n, c: {"text": transcript(n, True)}), "messages", {"messages": "text"}),
    ("alpaca", alpaca(False), "instruction", same("instruction", "input", "output")),
    ("alpaca-with-text", alpaca(True), "instruction", same("instruction", "input", "output"), BY_NAME_ONLY),
    (
        "alpaca-without-input",
        [{key: row[key] for key in ("instruction", "output")} for row in alpaca(False)],
        "instruction",
        same("instruction", "output"),
        {"format": "prompt-completion", "columns": {"prompt": "a", "completion": "b"}},
    ),
    (
        "dolly",
        [
            {"instruction": r["instruction"], "context": r["input"], "response": r["output"], "category": "open_qa"}
            for r in alpaca(False)
        ],
        "instruction",
        {"instruction": "instruction", "input": "context", "output": "response"},
        BY_NAME_ONLY,
    ),
    (
        "squad",
        rows(
            lambda n, c: {
                "id": f"56be4db0acb8001400a502{n}",
                "title": PLACES[n % 4],
                "context": document(c),
                "question": question(n),
                "answers": {"text": [PEOPLE[n % 16]], "answer_start": [n]},
            }
        ),
        "instruction",
        {"instruction": "question", "input": "context", "output": "answers.text"},
        BY_NAME_ONLY,
    ),
    (
        "gsm8k",
        rows(lambda n, c: {"question": problem(n), "answer": solution(n, True)}),
        "prompt-completion",
        {"prompt": "question", "completion": "answer"},
    ),
    (
        "prompt-and-completion",
        rows(lambda n, c: {"prompt": question(n), "completion": answer(n)}),
        "prompt-completion",
        same("prompt", "completion"),
    ),
    (
        "openorca",
        rows(lambda n, c: {"id": f"niv.{n}", "system_prompt": "You help.", "question": question(n), "response": answer(n)}),
        "prompt-completion",
        {"prompt": "question", "completion": "response", "system": "system_prompt"},
        BY_NAME_ONLY,
    ),
    (
        "metamath",
        rows(lambda n, c: {"type": f"GSM_{'AB'[n % 2]}", "query": problem(n), "response": solution(n, True)}),
        "prompt-completion",
        {"prompt": "query", "completion": "response"},
        BY_NAME_ONLY,
    ),
    (
        "prompt-and-completion-as-turns",
        rows(lambda n, c: {"prompt": chat(n, c)[:1], "completion": chat(n, c)[1:]}),
        "prompt-completion",
        same("prompt", "completion"),
    ),
    ("tinystories", rows(lambda n, c: {"text": document(c)}), "text", same("text")),
    (
        "wikipedia",
        rows(lambda n, c: {"id": str(n), "url": f"https://x.org/{n}", "title": PLACES[n % 16], "text": document(c)}),
        "text",
        same("text"),
        BY_NAME_ONLY,
    ),
    (
        "c4",
        rows(lambda n, c: {"text": document(c), "timestamp": f"2019-04-{n + 1:02}T00:00:00", "url": f"https://x.org/{n}"}),
        "text",
        same("text"),
        BY_NAME_ONLY,
    ),
    (
        "fineweb",
        rows(
            lambda n, c: {
                "text": document(c),
                "id": f"<urn:uuid:{n:032x}>",
                "dump": f"CC-MAIN-{n % 3}",
                "url": f"https://x/{n}",
                "file_path": f"s3://x/{n}",
                "language": "en",
                "language_score": 0.9 + n % 7 / 100,
                "token_count": 100 + n * n,
            }
        ),
        "text",
        same("text"),
        BY_NAME_ONLY,
    ),
    (
        "the-stack",
        rows(lambda n, c: {"content": f"def f{n}():\n    return {n}\n", "path": f"src/{n}.py", "size": 10 + n, "license": "mit"}),
        "text",
        {"text": "content"},
        BY_NAME_ONLY,
    ),
    ("guanaco", rows(lambda n, c: {"text": f"### Human: {question(n)}### Assistant: {answer(n)}"}), "text", same("text")),
    ("gsm8k-preference", preferred("prompt", "chosen", "rejected"), "preference", same("prompt", "chosen", "rejected")),
    (
        "orca-dpo-pairs",
        [{"system": "You help.", "question": r["p"], "chosen": r["c"], "rejected": r["r"]} for r in preferred("p", "c", "r")],
        "preference",
        {"prompt": "question", "chosen": "chosen", "rejected": "rejected", "system": "system"},
        BY_NAME_ONLY,
    ),
    (
        "stack-exchange-paired",
        [{"qid": n, **r} for n, r in enumerate(preferred("question", "response_j", "response_k"))],
        "preference",
        {"prompt": "question", "chosen": "response_j", "rejected": "response_k"},
        {"columns": {"prompt": "b", "chosen": "c", "rejected": "d"}},
    ),
    (
        "hh-rlhf",
        rows(lambda n, c: {"chosen": transcript(n, True), "rejected": transcript(n, False)}),
        "preference",
        same("chosen", "rejected"),
    ),
    (
        "implicit-prompt",
        rows(lambda n, c: {"chosen": chat(n, c), "rejected": chat(n, c)[:1] + replies(n, c, False)}),
        "preference",
        same("chosen", "rejected"),
    ),
    (
        "ultrafeedback",
        rows(
            lambda n, c: {
                "prompt": chat(n, c)[0]["content"],
                "prompt_id": f"{n:064x}",
                "chosen": chat(n, c),
                "rejected": chat(n, c)[:1] + replies(n, c, False),
                "messages": chat(n, c),
                "score_chosen": 8.5,
                "score_rejected": 7.0 + n % 3,
            }
        ),
        "preference",
        same("prompt", "chosen", "rejected"),
        BY_NAME_ONLY,
    ),
    (
        "explicit-turns",
        rows(lambda n, c: {"prompt": chat(n, c)[:1], "chosen": replies(n, c), "rejected": replies(n, c, False)}),
        "preference",
        same("prompt", "chosen", "rejected"),
    ),
    (
        "openai-dpo",
        rows(
            lambda n, c: {
                "input": {"messages": chat(n, c)[:1], "tools": [], "parallel_tool_calls": True},
                "preferred_output": replies(n, c),
                "non_preferred_output": replies(n, c, False),
            }
        ),
        "preference",
        {"prompt": "input.messages", "chosen": "preferred_output", "rejected": "non_preferred_output"},
        BY_NAME_ONLY,
    ),
    (
        "texts-that-begin-alike",
        [{"chosen": f"{problem(n)} Answer: {n}", "rejected": f"{problem(n)} Answer: {n + 1}"} for n in range(COUNT)],
        "preference",
        same("chosen", "rejected"),
    ),
    (
        "kto-mix",
        rows(lambda n, c: {"prompt": chat(n, c)[:1], "completion": replies(n, c, n % 2 == 0), "label": n % 2 == 0}),
        "binary-preference",
        same("prompt", "completion", "label"),
    ),
    (
        "kto-texts",
        rows(lambda n, c: {"prompt": problem(n), "completion": solution(n, n % 2 == 0), "label": n % 2 == 0}),
        "binary-preference",
        same("prompt", "completion", "label"),
    ),
    (
        "kto-numbers",
        rows(lambda n, c: {"prompt": problem(n), "response": solution(n, n % 2 == 0), "label": n % 2}),
        "binary-preference",
        {"prompt": "prompt", "completion": "response", "label": "label"},
        BY_NAME_ONLY,
    ),
    (
        "llama-factory-kto",
        rows(lambda n, c: {"messages": chat(n, c), "label": n % 3 == 0}),
        "binary-preference",
        {"completion": "messages", "label": "label"},
    ),
    (
        "banking77",
        labelled("text", "category", ["card_arrival", "lost_card", "top_up"]),
        "classification",
        {"text": "text", "label": "category"},
    ),
    ("imdb", labelled("text", "label", [0, 1]), "classification", same("text", "label")),
    ("ag-news", labelled("text", "label", [0, 1, 2, 3]), "classification", same("text", "label")),
    (
        "sst2",
        [{"idx": n, **r} for n, r in enumerate(labelled("sentence", "label", [0, 1]))],
        "classification",
        {"text": "sentence", "label": "label"},
        {"columns": {"text": "b", "label": "c"}},
    ),
    ("trec", labelled("text", "coarse_label", ["HUM", "LOC", "NUM"]), "classification", {"text": "text", "label": "coarse_label"}),
    ("clinc", labelled("text", "intent", ["weather", "alarm", "oos"]), "classification", {"text": "text", "label": "intent"}),
    (
        "tweets",
        labelled("tweet", "sentiment", ["positive", "negative", "neutral"]),
        "classification",
        {"text": "tweet", "label": "sentiment"},
    ),
    (
        "disaster-tweets",
        [{"id": n, "keyword": "fire", "location": PLACES[n % 16], **r} for n, r in enumerate(labelled("text", "target", [0, 1]))],
        "classification",
        {"text": "text", "label": "target"},
        BY_NAME_ONLY,
    ),
    ("spam", labelled("v2", "v1", ["ham", "spam"]), "classification", {"text": "v2", "label": "v1"}),
    (
        "emotion-names",
        labelled("text", "label", [0, 1, 2], {"language": "en"}),
        "classification",
        same("text", "label"),
        BY_NAME_ONLY,
    ),
    (
        "amazon-polarity",
        [
            {"label": r["label"], "title": f"A {THINGS[n % 16]}", "content": r["text"]}
            for n, r in enumerate(labelled("text", "label", [0, 1]))
        ],
        "classification",
        {"text": "content", "label": "label"},
        BY_NAME_ONLY,
    ),
    (
        "mnli",
        paired("premise", "hypothesis", "label", [0, 1, 2]),
        "classification",
        {"text": "premise", "text_pair": "hypothesis", "label": "label"},
    ),
    (
        "qqp",
        paired("question1", "question2", "is_duplicate", [0, 1]),
        "classification",
        {"text": "question1", "text_pair": "question2", "label": "is_duplicate"},
    ),
    (
        "mrpc",
        paired("sentence1", "sentence2", "label", ["equivalent", "not_equivalent"]),
        "classification",
        {"text": "sentence1", "text_pair": "sentence2", "label": "label"},
    ),
    (
        "qnli",
        paired("question", "sentence", "label", [0, 1]),
        "classification",
        {"text": "question", "text_pair": "sentence", "label": "label"},
    ),
    (
        "boolq",
        paired("question", "passage", "label", [0, 1]),
        "classification",
        {"text": "question", "text_pair": "passage", "label": "label"},
    ),
    (
        "stsb",
        paired("sentence1", "sentence2", "score", [n / 7 for n in range(35)]),
        "regression",
        {"text": "sentence1", "text_pair": "sentence2", "score": "score"},
    ),
    (
        "stsb-label",
        paired("sentence1", "sentence2", "label", [n / 7 for n in range(35)]),
        "regression",
        {"text": "sentence1", "text_pair": "sentence2", "score": "label"},
    ),
    (
        "readability",
        labelled("excerpt", "target", [n / 9 - 3 for n in range(60)]),
        "regression",
        {"text": "excerpt", "score": "target"},
    ),
    ("scores-as-text", labelled("text", "score", [str(n / 9) for n in range(60)]), "regression", same("text", "score")),
    (
        "prices",
        labelled("text", "rating", [(n * n * 37) % 1000 for n in range(96)]),
        "regression",
        {"text": "text", "score": "rating"},
    ),
    (
        "conll2003",
        tagged_rows("tokens", "ner_tags", numbers=True, extra=("pos_tags", "chunk_tags")),
        "tokens",
        {"tokens": "tokens", "tags": "ner_tags"},
        BY_NAME_ONLY,
    ),
    ("wnut17", tagged_rows("tokens", "tags"), "tokens", same("tokens", "tags")),
    ("wikiann", tagged_rows("tokens", "ner_tags", numbers=True), "tokens", {"tokens": "tokens", "tags": "ner_tags"}),
    ("tags-as-json-text", tagged_rows("words", "labels", as_text=json.dumps), "tokens", {"tokens": "words", "tags": "labels"}),
    ("tags-as-pandas-text", tagged_rows("Sentence", "Tag", as_text=str), "tokens", {"tokens": "Sentence", "tags": "Tag"}),
    (
        "tags-as-numpy-text",
        tagged_rows("tokens", "ner_tags", as_text=lambda value: "[" + " ".join(repr(item) for item in value) + "]"),
        "tokens",
        {"tokens": "tokens", "tags": "ner_tags"},
    ),
    ("slots", tagged_rows("utterance", "slots", as_text=" ".join), "tokens", {"tokens": "utterance", "tags": "slots"}),
    (
        "all-nli-pair",
        [{"anchor": r["a"], "positive": r["b"]} for r in triplets("a", "b", "c")],
        "pairs",
        same("anchor", "positive"),
    ),
    (
        "quora-duplicates",
        [{"question1": r["a"], "question2": r["b"]} for r in triplets("a", "b", "c")],
        "pairs",
        {"anchor": "question1", "positive": "question2"},
    ),
    (
        "query-and-passage",
        rows(lambda n, c: {"query": question(n), "passage": document(c)}),
        "pairs",
        {"anchor": "query", "positive": "passage"},
        BY_NAME_ONLY,
    ),
    ("all-nli-triplet", triplets("anchor", "positive", "negative"), "triplets", same("anchor", "positive", "negative")),
    (
        "ms-marco",
        triplets("query", "positive", "negative"),
        "triplets",
        {"anchor": "query", "positive": "positive", "negative": "negative"},
    ),
    (
        "simcse-nli",
        triplets("sent0", "sent1", "hard_neg"),
        "triplets",
        {"anchor": "sent0", "positive": "sent1", "negative": "hard_neg"},
    ),
    (
        "bge",
        [{"query": r["a"], "pos": [r["b"]], "neg": [r["c"]]} for r in triplets("a", "b", "c")],
        "triplets",
        {"anchor": "query", "positive": "pos", "negative": "neg"},
    ),
    (
        "wmt16",
        [{"translation": r} for r in translated("en", "ro", ENGLISH, ROMANIAN)],
        "translation",
        {"source": "translation.en", "target": "translation.ro"},
        {"columns": {"source": "a.en", "target": "a.ro"}},
    ),
    ("en-ro", translated("en", "ro", ENGLISH, ROMANIAN), "translation", {"source": "en", "target": "ro"}),
    (
        "en-de-sentences",
        translated("English words/sentences", "German words/sentences", ENGLISH, GERMAN),
        "translation",
        {"source": "English words/sentences", "target": "German words/sentences"},
    ),
    ("source-and-target", translated("source", "target", ENGLISH, RUSSIAN), "translation", same("source", "target")),
    (
        "text-en-text-de",
        translated("text_en", "text_de", ENGLISH, GERMAN),
        "translation",
        {"source": "text_en", "target": "text_de"},
    ),
    ("xsum", summed_up("document", "summary", "id"), "summarisation", same("document", "summary"), BY_NAME_ONLY),
    ("cnn-dailymail", summed_up("article", "highlights"), "summarisation", {"document": "article", "summary": "highlights"}),
    ("samsum", summed_up("dialogue", "summary"), "summarisation", {"document": "dialogue", "summary": "summary"}),
    ("billsum", summed_up("text", "summary"), "summarisation", {"document": "text", "summary": "summary"}),
]


def case(name, dataset, format, columns, otherwise=None):
    return pytest.param(dataset, format, columns, otherwise, id=name)


CASES = [case(*entry) for entry in DATASETS]


@pytest.mark.parametrize(("dataset", "format", "columns", "otherwise"), CASES)
def test_popular_datasets_are_recognised(dataset, format, columns, otherwise):
    found = recognise(dataset)
    assert (found.format, found.columns) == (format, columns), found.reason
    assert found.task == FORMATS[format].task
    assert found.reason.endswith(".") and any(f"'{column}'" in found.reason for column in columns.values())
    assert recognise(dataset, found.task).format == format


@pytest.mark.parametrize(
    ("dataset", "format", "columns", "otherwise"), [entry for entry in CASES if entry.values[3] != BY_NAME_ONLY]
)
def test_the_same_content_is_recognised_under_names_that_say_nothing(dataset, format, columns, otherwise):
    letters = dict(zip(dataset[0], ascii_lowercase, strict=False))
    expected = {"format": format, "columns": {part: letters.get(column) for part, column in columns.items()}} | (otherwise or {})
    found = recognise([{letters[name]: value for name, value in row.items()} for row in dataset])
    assert found.format == (expected["format"] or format), found.reason
    if expected["format"]:
        assert found.columns == expected["columns"], found.reason


def test_the_table_of_datasets_is_large_and_covers_every_format():
    assert len(DATASETS) >= 60
    assert {entry[2] for entry in DATASETS} == set(FORMATS)
