import csv
import io
import json
import re
import tracemalloc
from datetime import datetime

import pytest

from jobs.data import inspect_file, read_rows
from jobs.data.exporting import Export, ExportInvalid, column_names, csv_cell, harmless


def exported(paths, format: str) -> bytes:
    return b"".join(Export(paths, format).parts())


def as_table(content: bytes) -> list[dict]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"), ("+1 800 x", "'+1 800 x"), ("-sum(A1)", "'-sum(A1)"), ("@cmd", "'@cmd"), ("\ta", "'\ta"),
        ("\ra", "'\ra"),
        ("-5", "-5"), ("+3.5e-2", "+3.5e-2"), ("-.5", "-.5"), ("a=1", "a=1"), ("", ""), (" =1", " =1"), ("'quoted'", "'quoted'"),
        ("'=1", "''=1"), ("- a point", "'- a point"), ("-5\n=1", "'-5\n=1"),
    ],
)
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe_and_numbers_do_not(text, cell):
    assert harmless(text) == cell
    assert (cell[1:] if re.match(r"'+[=+\-@\t\r]", cell) else cell) == text  # as docs/using.md says how to get it back


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""), (True, "true"), (-5, "-5"), (2.5, "2.5"), (float("nan"), ""), (["=1"], '["=1"]'), ({"a": "ü"}, '{"a":"ü"}'),
        (datetime(2024, 1, 2, 3), "2024-01-02T03:00:00"), (b"=x", "'=x"), (b"\xff", "/w=="),
        ("half \ud800", "half ?"), (10**30, str(10**30)),
    ],
)
def test_every_value_has_a_cell(value, cell):
    assert csv_cell(value) == cell


def test_csv_has_every_column_and_row_and_quotes_what_needs_it(write):
    rows = [{"text": 'a "b", c\nd\re', "n": 1}, {"text": "=HYPERLINK(1)", "late": [1, {"x": None}]}, {"-name": "x"}]
    content = exported([write("rows.jsonl", rows)], "csv")
    assert as_table(content) == [
        {"text": 'a "b", c\nd\re', "n": "1", "late": "", "'-name": ""},
        {"text": "'=HYPERLINK(1)", "n": "", "late": '[1,{"x":null}]', "'-name": ""},
        {"text": "", "n": "", "late": "", "'-name": "x"}]


def test_json_lines_are_the_rows_untouched(write):
    rows = [{"text": "=1+1", "n": 1.0, "big": 2**70, "é": None}, {"turns": [{"role": "user", "content": "'x"}], "empty": ""}]
    again = write("again.jsonl", exported([write("rows.jsonl", rows)], "jsonl"))
    assert [row.values for row in read_rows(again)] == rows


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_a_table_goes_out_and_comes_in_again(write, format):
    path = write("rows.csv", "question;answer\nGrüße?;ja; nein\n".replace("ja; nein", '"ja; nein"') + "b;c\n" * 3000)
    export = Export([path], format)
    again = write(f"again.{format}", b"".join(export.parts()))
    assert [row.values for row in read_rows(again)] == [row.values for row in read_rows(path)]
    assert (export.rows, export.unreadable) == (3001, 0)


def test_several_files_are_one_and_broken_lines_are_counted(write):
    paths = [write("a.jsonl", '{"a": 1}\n{"a": \n{"a": 3}\n'), write("b.csv", "b,c\n1,2\n1,2,3\n")]
    export = Export(paths, "csv")
    assert as_table(b"".join(export.parts())) == [
        {"a": "1", "b": "", "c": ""}, {"a": "3", "b": "", "c": ""}, {"a": "", "b": "1", "c": "2"}]
    assert (export.rows, export.unreadable) == (3, 2)
    assert column_names([inspect_file(path) for path in paths]) == ["a", "b", "c"]


def test_parquet_keeps_types_where_a_column_has_one_and_text_where_it_has_not(write):
    from pyarrow import parquet

    rows = [{"n": 1, "mixed": 1, "turns": [{"role": "user", "content": "a"}], "odd": {}}] * 1500
    rows += [{"n": 2.5, "mixed": "=x", "turns": [{"role": "user", "content": "a", "weight": 0}], "gone": None}]
    rows += [{"n": 3, "mixed": [1, "a"], "flag": True, "huge": 2**80}]
    table = parquet.read_table(io.BytesIO(exported([write("rows.jsonl", rows)], "parquet")))
    assert {field.name: str(field.type) for field in table.schema} == {
        "n": "double", "mixed": "string", "turns": "list<element: struct<role: string, content: string, weight: int64>>",
        "odd": "string", "gone": "string", "flag": "bool", "huge": "string"}
    assert table.num_rows == 1502
    assert table["mixed"].to_pylist()[-3:] == ["1", "=x", '[1,"a"]'] and table["huge"].to_pylist()[-1] == str(2**80)


def test_parquet_comes_out_as_it_went_in(write, tmp_path):
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({"raw": [b"\xff", b"a"], "n": [1, 2], "tags": [["a"], []]})
    parquet.write_table(table, tmp_path / "rows.parquet")
    again = parquet.read_table(io.BytesIO(exported([tmp_path / "rows.parquet"], "parquet")))
    assert again.to_pylist() == table.to_pylist() and again.schema.types == table.schema.types


def test_other_forms_and_places_are_refused(write):
    path = write("rows.csv", "a,b\n1,2\n")
    with pytest.raises(ExportInvalid, match="exported as jsonl, csv, parquet, not as 'xlsx'"):
        Export([path], "xlsx")
    with pytest.raises(ExportInvalid, match="is one of the files that are exported"):
        Export([path], "csv").write(path)
    target = path.with_name("out.csv")
    Export([path], "csv").write(target)
    assert target.read_bytes() == b"a,b\r\n1,2\r\n" and {file.name for file in path.parent.iterdir()} == {"rows.csv", "out.csv"}


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_a_large_file_is_exported_in_little_memory(write, format):
    path = write("large.jsonl", "".join(json.dumps({"a": "why " * 100, "b": "x" * 500, "n": n}) + "\n" for n in range(12_000)))
    tracemalloc.start()
    parts = [len(part) for part in Export([path], format).parts()]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(parts) > 10_000_000 and max(parts) < 2**20 and peak < 5 * 1024**2
