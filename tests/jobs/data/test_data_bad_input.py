"""Every kind of bad input gets a sentence with the file, the value, and what to do."""

import io
import zipfile

import pytest

from jobs.data import load_dataset, read_rows
from storage.problems import DataInvalid

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(40)


def problem(*paths, **choices) -> str:
    with pytest.raises(DataInvalid) as raised:
        load_dataset(list(paths), **choices)
    assert raised.value.kind == "data_invalid"
    return str(raised.value)


def zip_bytes(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt", "a.parquet"])
def test_an_empty_file(write, name, content):
    assert problem(write(name, content)) == f"{name} is empty. Upload a file with at least one row."


def test_a_table_with_a_header_only(write):
    assert "has column names (text, label) but no rows" in problem(write("a.csv", "text,label\n"))


def test_an_empty_list(write):
    assert problem(write("a.json", "[]")) == "a.json holds an empty list. Upload a file with at least one row."


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (PNG, "a PNG image"),
        (b"\xff\xd8\xff\xe0" + bytes(20), "a JPEG image"),
        (b"%PDF-1.7\n%abc", "a PDF document"),
        (zip_bytes("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook"),
        (b"\x7fELF" + bytes(20), "a program"),
        (b"MZ\x90\x00" + bytes(20), "a program"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"abc\x00\x01\x02def", "a binary file"),
    ],
)
@pytest.mark.parametrize("name", ["photo.csv", "photo.jsonl", "photo.txt", "photo.parquet"])
def test_a_file_of_the_wrong_kind(write, name, content, kind):
    assert problem(write(name, content)).startswith(f"{name} is {kind}, not a table. ")


def test_an_image_renamed_to_csv_says_what_to_upload(write):
    assert problem(write("photo.csv", PNG)) == (
        "photo.csv is a PNG image, not a table. "
        "Upload CSV, TSV, JSON, JSONL, Parquet, Arrow, CoNLL or plain text, or a zip or gzip of these."
    )


def test_a_text_file_named_parquet(write):
    message = problem(write("a.parquet", "text,label\na,b\n"))
    assert "a Parquet file that cannot be read: damaged or cut short (it does not begin with PAR1)" in message


def test_a_parquet_file_cut_short(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": ["a"] * 1000}), path)
    path.write_bytes(path.read_bytes()[:-20])
    assert problem(path).startswith("a.parquet is a Parquet file that cannot be read: damaged or cut short (")


def test_a_kind_of_file_that_is_not_read(write):
    assert problem(write("a.xyz", "word O\n")).startswith("a.xyz is a '.xyz' file, not a table.")


def test_a_missing_file(tmp_path):
    assert "There is no file" in problem(tmp_path / "gone.csv")


def test_no_file_and_a_folder_without_data(tmp_path):
    assert "No data file was given" in problem()
    assert "holds no data file" in problem(tmp_path)


def left_out(path) -> list[tuple[int, str]]:
    data = load_dataset([path])
    rows = [(row.line, row.reason) for row in data.left_out]
    assert data.rows == data.kept + len(rows)
    return rows


def test_broken_json_on_line_4312_is_left_out_and_said(write):
    lines = ['{"question": "a", "answer": "b"}\n'] * 5000
    lines[4311] = '{"question": "a much longer question" "answer": "b"}\n'
    path = write("broken.jsonl", "".join(lines))
    assert left_out(path) == [(4312, "invalid JSON (Expecting ',' delimiter at character 39)")]
    assert load_dataset([path]).findings[0] == (
        "1 of 5,000 rows has invalid JSON (Expecting ',' delimiter at character 39) and is left out (line 4,312)."
    )


def test_all_broken_json_lines_are_left_out_and_counted(write):
    lines = ['{"question": "a", "answer": "b"}\n'] * 20
    for index in (3, 7, 8, 15):
        lines[index] = '{"question": "a"\n'
    lines[8] = '["question"]\n'
    path = write("broken.jsonl", "".join(lines))
    assert left_out(path)[2] == (9, "a list where an object with named values belongs")
    assert load_dataset([path]).findings[0].startswith("3 of 20 rows have invalid JSON (Expecting ',' delimiter at ")


def test_a_file_of_broken_lines_is_refused(write):
    assert problem(write("a.jsonl", '{"text": "a\n{"text": "b\n')).startswith(
        "None of the 2 rows of a.jsonl can be used: "
        "2 have invalid JSON (Invalid control character at character 12) (lines 1 and 2)."
    )


def test_a_broken_json_document_names_the_line(write):
    path = write("a.json", '[\n {"text": "a"},\n {"text": "b"\n {"text": "c"}\n]')
    assert problem(path).startswith("a.json, line 4: this is not valid JSON (Expecting ',' delimiter at character 2).")


def test_text_named_json(write):
    assert problem(write("a.json", "hello there\n")).startswith("a.json, line 1: this is not valid JSON")
    assert "1 has invalid JSON (Expecting value at character 1) (line 1)" in problem(write("a.jsonl", "hello there\n"))


def test_json_nested_too_deeply(write):
    assert "nested too deeply" in problem(write("a.jsonl", '{"text": ' + "[" * 200_000 + "\n"))


def test_json_that_holds_several_lists_or_none(write):
    assert "several lists (train, test)" in problem(write("a.json", '{"train": [{"a": 1}], "test": [{"a": 1}]}'))
    assert "an object without a list of rows" in problem(write("b.json", '{"text": ["a", "b"], "label": ["x", "y"]}'))
    assert left_out(write("c.json", '[{"text": "a"}, "b"]')) == [(2, "a text where an object with named values belongs")]


def test_rows_that_do_not_fit_the_header_are_left_out(write):
    assert left_out(write("a.csv", "text,label\na,x\nb, c,y\nd,x\ne,y\n")) == [(3, "3 values where the header has 2")]
    path = write("b.csv", "text,label\n" + "a,x\nb,y\n" * 5 + "a\n" * 5)
    assert left_out(path) == [(line, "1 value where the header has 2") for line in range(12, 17)]
    assert "5 of 15 rows have 1 value where the header has 2 and are left out (lines 12, 13, 14 and 2 more)." in \
        load_dataset([path]).findings


def test_a_quotation_mark_that_is_never_closed(write):
    rows = left_out(write("a.csv", "text,label\na,x\nb,y\n" + '"open,y\n'))
    assert rows == [(4, "a quotation mark that is never closed")]


def test_a_quotation_mark_that_swallows_rows_takes_only_its_own(write):
    text = "text,label\n" + "a,x\nb,y\n" * 10
    assert left_out(write("a.csv", text + '"open,y\nc,x\nd,"closed"\ne,y\n')) == [(22, "a quotation mark that is never closed")]
    swallowed = text + 'a,"open\n' + "c,x\n" * 20 + 'd,"\n' + "e,y\n"
    assert left_out(write("b.csv", swallowed))[0] == (22, "a quotation mark that is never closed")
    whole = 'text,label\n"' + "a line, of many\n" * 30 + 'one text",x\nb,y\n'
    assert len(load_dataset([write("c.csv", whole.replace("a line, of many", "a line of many"))]).examples) == 2


def test_two_columns_of_one_name_are_told_apart_and_said(write):
    data = load_dataset([write("a.csv", "text,text,text (2),label\na,b,c,x\nd,e,f,y\n")])
    assert data.column_names == ["text", "text (3)", "text (2)", "label"]
    assert data.findings[0] == "a.csv names a column twice; the later one is called 'text (3)'."


def test_a_damaged_letter_in_a_utf8_file_costs_its_row(write):
    text = "text,label\ncafé,x\nna".encode() + b"\xefve,y\nno,x\n"
    assert left_out(write("a.csv", text)) == [(3, "a byte (0xEF) that is not UTF-8")]
    assert left_out(write("a.jsonl", '{"text": "café"}\n{"text": "'.encode() + b"\xef\"}\n")) == [
        (2, "a byte (0xEF) that is not UTF-8")]


def test_text_in_no_known_encoding(write):
    assert "line 2: the byte 0x81 is not valid UTF-8 or any Windows code page" in problem(write("a.txt", b"one\n\x81two\n"))


def test_a_missing_column_is_named_beside_those_found(write):
    path = write("a.csv", "text,category\na,x\nb,y\n")
    assert problem(path, task="text-classification", columns={"text": "text", "label": "intent"}) == (
        "The dataset has no column 'intent', only text, category. "
        "Choose one of these, or rename the column in the file."
    )


def test_all_missing_columns_are_named_at_once(write):
    path = write("a.csv", "text,category\na,x\nb,y\n")
    assert "no columns 'body' and 'intent'" in problem(path, columns={"text": "body", "label": "intent"})


def test_columns_in_which_nothing_is_recognised(write):
    path = write("a.csv", "text\nhello\nthere\n")
    message = problem(path, task="text-classification")
    assert "recognised in the columns text: Labelled texts needs text and label" in message
    assert "Choose by hand" in message


def test_formats_parts_and_tasks_that_do_not_exist(write):
    path = write("a.csv", "text,label\na,x\nb,y\n")
    assert "The data format 'alpaca' does not exist. Choose auto or one of messages" in problem(path, format="alpaca")
    wrong = problem(path, format="classification", task="text-generation")
    assert "The data format 'classification' does not go with the task text-generation." in wrong
    assert "no data format for the task 'juggling'" in problem(path, task="juggling")
    assert "No data format has the parts colour" in problem(path, columns={"colour": "text"})
    twice = {"text": "text", "label": "text"}
    assert "Column 'text' cannot be both text and label" in problem(path, columns=twice)


def test_empty_labels(write):
    path = write("a.csv", "text,label\nhello,\nthere,\n")
    assert problem(path, task="text-classification") == (
        "The label column 'label' is empty in every row of a.csv. Fill it in, or choose another column as the label."
    )


def test_one_class_labels(write):
    path = write("a.csv", "text,label\n" + "hello,spam\nthere,spam\n" * 5)
    assert problem(path, task="text-classification").startswith("Every row has the label 'spam' (column 'label').")


def test_rows_without_an_answer_when_none_has_one(write):
    path = write("a.jsonl", [{"question": "a", "answer": ""}, {"question": "b", "answer": None}, {"question": "c"}])
    assert problem(path) == (
        "None of the 3 rows of a.jsonl can be used: 3 have no answer (lines 1, 2 and 3). "
        "Fill in what is missing, or choose other columns, then try again."
    )


def test_too_few_rows_with_an_answer(write):
    rows = (
        [{"question": "a", "answer": ""}] * 5 + [{"question": "", "answer": "a"}] + [{"question": "b", "answer": "c"}]
    )
    assert problem(write("a.jsonl", rows)).startswith(
        "Only 1 of the 7 rows of a.jsonl can be used: 5 have no answer (lines 1, 2, 3 and 2 more) "
        "and 1 has no prompt (line 6)."
    )


def test_files_with_other_columns_are_named(write):
    first = write("a.csv", "question,answer\na,b\n")
    other = write("b.csv", "text,label\na,b\n")
    assert problem(first, other).startswith("b.csv has other columns (text, label) than a.csv (question, answer).")


def test_everything_that_is_wrong_with_several_files_is_said_at_once(write):
    message = problem(write("photo.csv", PNG), write("good.csv", "text\na\n"), write("bad.jsonl", '{"a"\n{"b"\n'))
    first, second = message.splitlines()
    assert first.startswith("photo.csv is a PNG image")
    assert second.startswith("None of the 2 rows of bad.jsonl can be used")


def test_reading_goes_on_after_a_broken_row(write):
    rows = list(read_rows(write("a.jsonl", '{"a": 1}\n{"a": \n{"a": 3}\n')))
    assert [(row.line, row.values) for row in rows] == [(1, {"a": 1}), (2, None), (3, {"a": 3})]
