import json
import subprocess
import sys
import time

import pytest

from jobs.data import hash_of, load_dataset, load_validation, read_rows, split, summary
from storage.problems import DataInvalid


def labelled(counts: dict[str, int]) -> str:
    rows = [f"{label} text {index},{label}\n" for label, count in counts.items() for index in range(count)]
    return "text,label\n" + "".join(rows)


def test_rows_without_an_answer_are_left_out_and_said(write):
    rows = [{"question": f"q{index}", "answer": "" if index % 10 == 0 else "a"} for index in range(100)]
    path = write("a.jsonl", rows)
    data = load_dataset([path])
    assert summary(data) == {
        "format": "prompt-completion",
        "columns": {"prompt": "question", "completion": "answer"},
        "rows": 100,
        "kept": 90,
        "left_out": [{"file": "a.jsonl", "line": line, "reason": "no answer"} for line in range(1, 101, 10)],
        "findings": ["10 of 100 rows have no answer and are left out (lines 1, 11, 21 and 7 more)."],
    }
    json.dumps(summary(data))
    assert data.preview == rows[:5]
    assert data.sha256 == hash_of([path])


def test_one_row_left_out_is_said_in_the_singular(write):
    path = write("a.csv", labelled({"a": 9, "b": 9}) + " ,a\n")
    [finding] = load_dataset([path]).findings
    assert finding == "1 of 19 rows has no text and is left out (line 20)."


def test_several_files_are_one_dataset(write):
    first = write("a.csv", "question,answer\na,b\nc,\n")
    second = write("b.jsonl", [{"answer": "d", "question": "e", "extra": 1}, {"question": "f"}])
    third = write("c.csv", "question,answer\ng,h\n")
    data = load_dataset([first, second, third])
    assert (data.rows, data.kept) == (5, 3)
    assert data.column_names == ["question", "answer", "extra"]
    assert data.findings == ["2 of 5 rows have no answer and are left out (a.csv line 3 and b.jsonl line 2)."]
    assert data.sha256 == hash_of([first, second, third])


def test_a_folder_is_a_dataset_and_says_what_it_leaves_for_testing(write, tmp_path):
    write("set/train.csv", labelled({"a": 9, "b": 9}))
    write("set/test.csv", labelled({"a": 9, "b": 9}))
    data = load_dataset([tmp_path / "set"])
    assert data.rows == 18
    assert data.findings == ["test.csv in the folder set is not trained on."]


def test_rare_labels_spellings_and_repeated_rows_are_findings(write):
    data = load_dataset([write("a.csv", labelled({"Good": 9, "good": 9, "bad": 2}) + "bad text 0,bad\n")])
    assert data.kept == 21
    assert data.findings == [
        "1 of 3 labels has fewer than 5 rows to learn from: 'bad' (3).",
        "The labels 'Good' and 'good' differ in upper and lower case only and count as different.",
        "1 of 21 rows repeats an earlier row and is kept.",
    ]


def test_nearly_as_many_labels_as_rows_are_a_finding(write):
    data = load_dataset(
        [write("a.csv", labelled({f"label{index}": 1 for index in range(30)}))], task="text-classification"
    )
    assert data.findings == ["Column 'label' has 30 different labels in 30 rows. Is it the right column?"]


def test_a_first_line_that_is_data_is_a_finding(write):
    rows = "".join(f"text {index},{'ham' if index % 2 else 'spam'}\n" for index in range(20))
    data = load_dataset([write("a.csv", rows)])
    assert data.findings[0].startswith("a.csv names a column 'spam', and line 3 has that as its value.")


def test_plain_text_says_how_it_was_cut(write):
    data = load_dataset([write("a.txt", "one\ntwo\n\nthree\n")])
    assert data.format == "text"
    assert list(data.examples) == [{"text": "one\ntwo"}, {"text": "three"}]
    assert data.findings == ["a.txt is plain text: each paragraph (separated by blank lines) is one row."]


def test_validation_is_read_like_the_training_data(write):
    train = load_dataset([write("a.csv", "body,kind\n" + labelled({"x": 9, "y": 9}).split("\n", 1)[1])])
    held = write("b.csv", "kind,body\nx,new one\ny,\nz,new two\nx,x text 0\nx,new three\n")
    data = load_validation([held], train)
    assert data.columns == {"text": "body", "label": "kind"}
    assert data.examples[0] == {"text": "new one", "label": "x"}
    assert data.labels == ["x", "y"]
    assert [(row.line, row.reason) for row in data.left_out] == [
        (3, "no text"),
        (4, "a label that no training row has ('z')"),
    ]
    assert "1 of 3 validation rows is also in the training data" in data.findings[-1]


def test_validation_may_have_one_label_only_but_must_have_the_columns(write):
    train = load_dataset([write("a.csv", labelled({"x": 9, "y": 9}))])
    assert load_validation([write("b.csv", "text,label\nnew,x\n")], train).kept == 1
    with pytest.raises(DataInvalid, match="no column 'label', only text, class"):
        load_validation([write("c.csv", "text,class\nnew,x\n")], train)
    with pytest.raises(DataInvalid, match=r"None of the 1 rows .* \('q'\)"):
        load_validation([write("d.csv", "text,label\nnew,q\n")], train)


def test_banking77_is_recognised_and_split_by_label(shared_file):
    data = load_dataset([shared_file("banking77/train.csv")])
    assert (data.task, data.columns) == ("text-classification", {"text": "text", "label": "category"})
    assert (data.rows, data.kept, len(data.labels), data.findings) == (10003, 10003, 77, [])
    held = load_validation([shared_file("banking77/test.csv")], data)
    assert (held.kept, held.left_out_count) == (3080, 0)
    train, validation = split(data.examples, 0.1, 42, [example["label"] for example in data.examples])
    assert (len(train), len(validation)) == (9003, 1000)
    assert {example["label"] for example in validation} == set(data.labels)


def test_gsm8k_is_recognised(shared_file):
    data = load_dataset([shared_file("gsm8k/train.jsonl")])
    assert (data.task, data.format) == ("text-generation", "prompt-completion")
    assert data.columns == {"prompt": "question", "completion": "answer"}
    assert (data.rows, data.kept, data.findings) == (3000, 3000, [])
    assert data.examples[0]["messages"][1]["content"].endswith("#### 72")


def test_translation_pairs_are_recognised_inside_their_object(shared_file):
    data = load_dataset([shared_file("wmt_en_ro/train.json")])
    assert data.columns == {"source": "translation.en", "target": "translation.ro"}
    assert data.kept == 11


def test_a_hundred_thousand_rows_take_seconds(write):
    turns = [{"role": "user", "content": "why " * 40}, {"role": "assistant", "content": "because " * 40}]
    path = write("big.jsonl", (json.dumps({"messages": turns}) + "\n") * 100_000)
    start = time.monotonic()
    assert sum(1 for _ in read_rows(path)) == 100_000
    assert load_dataset([path]).kept == 100_000
    assert time.monotonic() - start < 120  # a hang; measured: about 4 on one core


def test_importing_it_loads_no_heavy_library():
    heavy = "{'torch', 'transformers', 'datasets', 'pyarrow', 'numpy', 'pandas'}"
    code = f"import sys, jobs.data; print(sorted({heavy} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
