import json

import pytest

from jobs.data import files_in, hash_of, inspect_file, look, read_rows
from jobs.data.readers import json_document
from jobs.data.sampling import sample_rows

TABLE = [{"text": "good, very good", "label": "yes"}, {"text": 'she said "no"', "label": "no"}]
CSV = 'text,label\n"good, very good",yes\n"she said ""no""",no\n'


def values(path):
    return [row.values for row in read_rows(path)]


def lines(path):
    return [row.line for row in read_rows(path)]


def test_csv_rows_carry_the_line_on_which_they_begin(write):
    path = write("a.csv", 'text,label\none,x\n\n"two\nlines",y\nthree,z\n')
    assert lines(path) == [2, 4, 6]
    assert values(path)[1] == {"text": "two\nlines", "label": "y"}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_any_usual_separator_is_found(write, separator):
    rows = "".join(separator.join(cells) + "\n" for cells in [("text", "label"), ("well, yes", "a"), ("no", "b")])
    content = rows.replace("well, yes", '"well, yes"')
    assert values(write("a.csv", content)) == [{"text": "well, yes", "label": "a"}, {"text": "no", "label": "b"}]


def test_quotation_marks_in_tab_separated_text_are_kept_where_nothing_is_quoted(write):
    path = write("a.tsv", 'text\tlabel\n"Well" he said\ta\nno\tb\n')
    assert values(path)[0]["text"] == '"Well" he said'


def test_a_csv_of_one_column_keeps_its_commas(write):
    assert values(write("a.csv", "text\nhello, world\n")) == [{"text": "hello, world"}]


def test_very_large_csv_fields_are_read(write):
    assert len(values(write("a.csv", f'text,label\n"{"x" * 500_000}",y\n'))[0]["text"]) == 500_000


def test_empty_cells_at_the_end_of_a_spreadsheet_line_are_ignored(write):
    assert values(write("a.csv", "text,label,,\na,b,,\n")) == [{"text": "a", "label": "b"}]


def test_json_lines_carry_their_line(write):
    path = write("a.jsonl", '{"a": 1}\n\n{"a": {"b": [2]}}\n')
    assert [(row.line, row.values) for row in read_rows(path)] == [(1, {"a": 1}), (3, {"a": {"b": [2]}})]


@pytest.mark.parametrize("document", [TABLE, {"data": TABLE}, {"version": "1.0", "rows": TABLE}])
@pytest.mark.parametrize("indent", [None, 2])
def test_json_is_read_as_a_list_or_as_an_object_around_one(write, document, indent):
    path = write("a.json", json.dumps(document, indent=indent))
    assert values(path) == TABLE
    assert lines(path) == [1, 2]


def test_one_conversation_in_a_json_file_is_one_row(write):
    row = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
    assert values(write("a.json", json.dumps(row))) == [row]
    assert values(write("b.json", json.dumps(row, indent=1))) == [row]
    assert values(write("c.jsonl", [row])) == [row]


def test_parquet_keeps_nested_values(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"messages": [{"role": "user", "content": "hi"}], "n": 1}, {"messages": [], "n": None}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert values(tmp_path / "a.parquet") == rows
    assert lines(tmp_path / "a.parquet") == [1, 2]


def test_plain_text_is_one_row_for_each_paragraph(write):
    path = write("a.txt", "\none\ntwo\n\n\nthree, four\n")
    assert [(row.line, row.values) for row in read_rows(path)] == [
        (2, {"text": "one\ntwo"}),
        (6, {"text": "three, four"}),
    ]


def test_plain_text_without_blank_lines_is_one_row_for_each_line(write):
    assert values(write("a.txt", "one\ntwo\n\n")) == [{"text": "one"}, {"text": "two"}]


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("lines.json", '{"text": "a"}\n{"text": "b"}\n', "jsonl"),
        ("list.jsonl", '[{"text": "a"},\n {"text": "b"}]', "json"),
        ("pretty.jsonl", '{\n "data": [\n  {"text": "a"}\n ]\n}', "json"),
        ("lines.csv", '{"text": "a", "n": 1}\n{"text": "b", "n": 2}\n', "jsonl"),
        ("list.txt", '[{"text": "a"}]', "json"),
        ("table.txt", "text\tlabel\na\tx\nb\ty\n", "table"),
        ("table.json", "text,label\na,x\nb,y\n", "table"),
        ("noname", "text,label\na,x\nb,y\n", "table"),
        ("verse.txt", "[Verse]\nO, my love,\nO, my rose,\n", "text"),
        ("prose.txt", "Yes, he did.\nNo, she did.\n", "text"),
    ],
)
def test_content_decides_where_the_name_misleads(write, name, content, kind):
    assert inspect_file(write(name, content)).kind == kind


def test_tabs_in_a_csv_are_recognised_and_mentioned(write):
    source = inspect_file(write("a.csv", "text\tlabel\na, b\tx\nc\ty\n"))
    assert source.separator == "\t"
    assert source.notes == ["a.csv is separated by tabs and was read so."]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.jsonl"])
def test_usual_encodings_are_read(write, name, encoding):
    content = {
        "a.csv": "text,label\ncafé – “naïve”,x\n",
        "a.txt": "café – “naïve”",
        "a.jsonl": '{"text": "café – “naïve”"}\n',
    }[name]
    assert values(write(name, content, encoding))[0]["text"] == "café – “naïve”"


def test_a_guessed_encoding_is_mentioned(write):
    [note] = inspect_file(write("a.csv", "text,label\ncafé,x\n", "cp1252")).notes
    assert "Windows-1252" in note


def test_a_character_that_the_sample_cuts_in_half_does_no_harm(write):
    path = write("a.txt", "a" + "é" * 200_000)
    assert len(values(path)[0]["text"]) == 200_001


def test_the_hash_is_over_the_bytes_of_the_files_in_order(write):
    a, b, both = write("a.csv", "text\na\n"), write("b.csv", "b\n"), write("c.csv", "text\na\nb\n")
    assert hash_of([a, b]) == hash_of([both]) != hash_of([b, a])


def test_rows_are_streamed(write):
    path = write("a.jsonl", '{"a": 1}\n' * 1000 + "broken\n")
    assert next(read_rows(path)).values == {"a": 1}


def test_a_folder_gives_its_tables_without_those_for_testing(write, tmp_path):
    for name in ("set/train.csv", "set/more.csv", "set/test.csv", "set/README.md", "set/dev-1.csv"):
        write(name, CSV)
    train, others = files_in(tmp_path / "set")
    assert [path.name for path in train] == ["more.csv", "train.csv"]
    assert [path.name for path in others] == ["dev-1.csv", "test.csv"]


def test_large_files_are_sampled_all_over_without_being_read(write):
    """Like Banking77, whose rows are sorted by their label: the first ones alone have a single one."""
    labels = [f"label {number}" for number in range(80)]
    text = "text,label\n" + "".join(f"{'some words ' * 40}{number},{label}\n" for label in labels for number in range(1000))
    seen = look([write("sorted.csv", text)])
    assert len(text) > 32 << 20
    assert (seen.found.task, seen.found.columns) == ("text-classification", {"text": "text", "label": "label"})
    assert "40 different values" in seen.found.reason
    assert seen.preview[0]["label"] == "label 0"
    lines = (f'{{"text": "{"größe " * 60}{number}", "label": "{number // 1250}"}}\n' for number in range(50_000))
    sample = sample_rows(inspect_file(write("wide.jsonl", "".join(lines), "utf-16")))
    assert len({row.values["label"] for row in sample.rows}) == 40
    assert all(row.values is not None for row in sample.rows) and not sample.whole


def test_parquet_is_sampled_from_groups_all_over_it(tmp_path):
    import pyarrow
    from pyarrow import parquet

    rows = 200_000
    table = pyarrow.table({"text": [f"{number} {number * 7919 % 10_007} " * 20 for number in range(rows)],
                           "label": [str(number // 2000) for number in range(rows)]})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=5000, compression="none", use_dictionary=False)
    sample = sample_rows(inspect_file(tmp_path / "a.parquet"))
    assert len({row.values["label"] for row in sample.rows}) == 40


def test_conll_sentences_are_rows_of_tokens_and_tags(write):
    text = "-DOCSTART- -X- O\n\n# a comment\nEU NNP B-ORG\nrejects VBZ O\n\n \n#hashtag NN O\n"
    assert [(row.line, row.values) for row in read_rows(write("a.conll", text))] == [
        (4, {"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]}),
        (8, {"tokens": ["#hashtag"], "tags": ["O"]}),
    ]


def test_the_real_conll_files_are_read_whole(shared_file):
    for name, count in (("train", 3394), ("dev", 1009)):
        rows = list(read_rows(shared_file(f"wnut17/{name}.conll")))
        assert len(rows) == count and all(row.values for row in rows)


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_arrow_is_read_in_both_its_ways(tmp_path, kind):
    import pyarrow

    rows = [{"messages": [{"role": "user", "content": "hi"}], "n": 1}, {"messages": [], "n": None}]
    table = pyarrow.Table.from_pylist(rows)
    with pyarrow.OSFile(str(tmp_path / "a.arrow"), "wb") as sink:
        with (pyarrow.ipc.new_file if kind == "file" else pyarrow.ipc.new_stream)(sink, table.schema) as writer:
            writer.write_table(table)
    assert values(tmp_path / "a.arrow") == rows


@pytest.mark.parametrize("chunk", [16, 17, 64])
def test_json_is_read_the_same_wherever_its_text_is_cut(write, monkeypatch, chunk):
    rows = [{"text": "wörter \U0001f600 " * 9, "n": [1.5e-3, -7, None, True, {"a": "\\\"]"}]}] * 9
    monkeypatch.setattr(json_document, "CHUNK", chunk)
    for name, document in (("a", rows), ("b", {"version": 12345, "data": rows, "more": "x" * 99})):
        for indent in (None, 2):
            for plain in (True, False):
                path = write(f"{name}.json", json.dumps(document, indent=indent, ensure_ascii=plain))
                assert values(path) == rows
