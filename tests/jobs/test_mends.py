import gzip
import json
import tracemalloc
from array import array
from datetime import datetime

import pytest

from jobs.checks import ReadAs, ask_check
from jobs.data import load_dataset, read_rows
from jobs.data.health.check import check_now
from jobs.housekeeping import delete, delete_for_good, plan_deletion
from jobs.imports import read_dataset
from jobs.mends import MENDS, NothingLeft, NothingToMend, ReportNeeded, mend
from jobs.recipe_reader import read_recipe
from jobs.submit import check_recipe, load_examples, submit
from jobs.uploads import dataset_paths, keep_files
from storage.problems import NotFound
from storage.records import Dataset

MESSY = [
    {"id": 1, "question": " What is two and two? ", "answer": "four"},
    {"id": 2, "question": "Who\u200b sings?", "answer": "The\x00 choir"},
    {"id": 3, "question": "What is two and two?", "answer": "four"},
    {"id": 4, "question": "Where may I write?", "answer": "To ann.lee@posteo.org, or call 4111 1111 1111 1111"},
    {"id": 5, "question": "What is two and two?", "answer": "four"},
    {"id": 6, "question": "And three?", "answer": ""},
    *({"id": n, "question": f"What is {n} and {n}?", "answer": f"It is {2 * n}\nof course"} for n in range(7, 40)),
]


@pytest.fixture
def keep(services, tmp_path):
    def keep(rows, name="messy.jsonl") -> Dataset:
        path = tmp_path / name
        text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
        path.write_bytes(rows) if isinstance(rows, bytes) else path.write_text(text)
        return keep_files(services, [path])
    return keep


@pytest.fixture
def report(services):
    """A report of a dataset with one finding about some of its examples."""
    def report(dataset: Dataset, kind: str, rows: list[int], **wanted):
        check = services.checks.ask(f"check of {dataset.id}", dataset.id, wanted)
        folder = services.settings.checks_dir / check.id
        folder.mkdir(parents=True)
        with (folder / f"{kind}.bin").open("wb") as stream:
            array("Q", rows).tofile(stream)
        return check
    return report


def rows_in(services, dataset: Dataset) -> list[dict]:
    return [row.values for path in dataset_paths(services, dataset) for row in read_rows(path)]


def ids(services, dataset: Dataset) -> list[int]:
    return [row["id"] for row in rows_in(services, dataset)]


def test_a_mend_makes_a_version_and_leaves_the_old_one_as_it_was(services, keep):
    first = keep(MESSY)
    before = dataset_paths(services, first)[0].read_bytes()
    second = mend(services, first, None, "", "deduplicate")
    assert (second.family, second.version, second.parent_id, second.name) == (first.id, 2, first.id, "messy.jsonl")
    assert second.origin == {"kind": "mend", "mend": "deduplicate", "finding": "", "rows_before": 39, "rows_after": 38,
                             "unreadable": 0, "changed": 1}
    assert (second.task, second.format, second.rows) == ("text-generation", "prompt-completion", 38)
    assert second.columns == {"prompt": "question", "completion": "answer"}
    assert ids(services, second) == [n for n in range(1, 40) if n != 5]
    assert rows_in(services, second)[0] == MESSY[0]  # all columns, and spaces too
    assert services.datasets.find(first.id) == first and dataset_paths(services, first)[0].read_bytes() == before
    assert [dataset.version for dataset in services.datasets.versions(first.id)] == [2, 1]
    assert list(services.settings.temporary_dir.iterdir()) == []


def test_mends_are_chained_and_the_same_one_again_gives_the_same_version(services, keep):
    first = keep(MESSY)
    trimmed = mend(services, first, None, "", "trim")
    assert trimmed.origin["changed"] == 1 and rows_in(services, trimmed)[0]["question"] == "What is two and two?"
    different = mend(services, trimmed, None, "", "deduplicate")
    assert (different.version, different.parent_id) == (3, trimmed.id)
    assert ids(services, different) == [1, 2, 4, *range(6, 40)]
    assert mend(services, trimmed, None, "", "deduplicate").id == different.id
    with pytest.raises(NothingToMend, match=r"'Keep one of each' would change nothing in 'messy.jsonl' \(version 3\)"):
        mend(services, different, None, "", "deduplicate")
    assert len(services.datasets.versions(first.id)) == 3


def test_the_same_content_is_a_version_of_each_dataset_that_it_was_made_of(services, keep):
    first, other = keep(MESSY), keep(MESSY[:4] + MESSY[5:] + [MESSY[4], MESSY[4]])
    one, two = (mend(services, dataset, None, "", "deduplicate") for dataset in (first, other))
    assert ids(services, one) == ids(services, two)
    assert (one.family, two.family) == (first.id, other.id)


def test_characters_that_are_not_printable_are_removed(services, keep):
    cleaned = mend(services, keep(MESSY), None, "", "clean")
    rows = rows_in(services, cleaned)
    assert rows[1] == {"id": 2, "question": "Who sings?", "answer": "The choir"}
    assert rows[6]["answer"] == "It is 14\nof course" and cleaned.origin["changed"] == 1


def test_secrets_are_masked_in_the_columns_that_are_learnt_from(services, keep):
    rows = [{**row, "owner": "bob.ray@posteo.org"} for row in MESSY]
    masked = mend(services, keep(rows), None, "", "mask")
    found = rows_in(services, masked)[3]
    assert found["answer"] == "To [e-mail], or call [card number]" and found["owner"] == "bob.ray@posteo.org"
    only = mend(services, keep(rows), None, "card_numbers", "mask")
    assert rows_in(services, only)[3]["answer"] == "To ann.lee@posteo.org, or call [card number]"


def test_only_the_rows_of_a_finding_are_changed(services, keep, report):
    first = keep([{**row, "answer": f"{row['answer']} "} for row in MESSY])
    second = mend(services, first, report(first, "spaces_at_the_ends", [1, 3]), "spaces_at_the_ends", "trim")
    assert [row["answer"][-1] for row in rows_in(services, second)[:5]] == [" ", "r", " ", "1", " "]
    assert second.origin["changed"] == 3  # the row that is left out is in no report, and mended too


def test_texts_inside_turns_are_mended_and_roles_stay(services, keep):
    turns = [{"role": "user", "content": " Hi\x07 "}, {"role": "assistant", "content": [{"type": "text", "text": "Hello "}]}]
    plain = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    first = keep([{"messages": written} for written in (turns, json.dumps(turns), str(turns), *[plain] * 6)])
    second = mend(services, mend(services, first, None, "", "clean"), None, "", "trim")
    mended = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]}]
    rows = rows_in(services, second)
    assert rows[0]["messages"] == mended and rows[3]["messages"] == plain
    assert json.loads(rows[1]["messages"]) == json.loads(rows[2]["messages"]) == mended


def test_transcripts_stay_transcripts(services, keep):
    said = "\n\nHuman: Write to ann.lee@posteo.org\n\nAssistant: I will\u200b."
    first = keep([{"chosen": f"{said} {n}", "rejected": f"{said} No {n}"} for n in range(8)])
    second = mend(services, mend(services, first, None, "", "clean"), None, "", "mask")
    assert rows_in(services, second)[3]["chosen"] == "\n\nHuman: Write to [e-mail]\n\nAssistant: I will. 3"
    assert second.format == "preference"


def test_columns_inside_objects_are_mended_where_they_are(services, keep):
    rows = [{"translation": {"en": f" word {n}", "ro": f"cuvant {n}", "id": n}} for n in range(8)]
    second = mend(services, keep(rows), None, "", "trim")
    assert rows_in(services, second)[3] == {"translation": {"en": "word 3", "ro": "cuvant 3", "id": 3}}


def test_the_rows_of_a_finding_are_dropped_by_their_numbers_among_the_examples(services, keep, report):
    text = "id,question,answer\n" + "".join(f'{n},what is {n}?,{"" if n == 4 else f"it is {n}"}\n' for n in range(20))
    text += "20,too,many,values\n21,what is 21?,it is 21\n"
    first = keep(text, "table.csv")
    check = report(first, "near_duplicates", [3, 4, 19], task="text-generation", format="prompt-completion",
                   columns={"prompt": "question", "completion": "answer"})
    second = mend(services, first, check, "near_duplicates", "drop")
    assert ids(services, second) == [str(n) for n in (0, 1, 2, 4, *range(6, 20))]  # row 4 is no example, so example 4 is row 5
    assert second.origin == {"kind": "mend", "mend": "drop", "finding": "near_duplicates", "rows_before": 22, "rows_after": 18,
                             "unreadable": 1, "changed": 3}
    assert rows_in(services, second)[0] == {"id": "0", "question": "what is 0?", "answer": "it is 0"}
    assert ids(services, mend(services, first, check, "near_duplicates", "deduplicate")) == ids(services, second)


def test_a_finding_without_its_rows_asks_for_a_new_report(services, keep, report):
    first = keep(MESSY)
    check = report(first, "short", [3, 99])
    for asked, kind in ((None, "short"), (check, "another"), (check, "short"), (check, "../short")):
        with pytest.raises(ReportNeeded, match="Ask for a new report"):
            mend(services, first, asked, kind, "drop")
    with pytest.raises(NotFound, match="There is no mend 'polish'. Choose one of drop, deduplicate"):
        mend(services, first, None, "", "polish")
    assert len(services.datasets.versions(first.id)) == 1


def test_a_mend_of_a_real_report_puts_its_finding_right(services, keep):
    first = keep("".join(json.dumps(row) + "\n" for row in MESSY) + '{"broken": \n')

    def checked(dataset: Dataset):
        check = ask_check(services, dataset, ReadAs(dataset.task, dataset.format or "auto", dataset.columns))
        folder = services.settings.checks_dir / check.id
        folder.mkdir(exist_ok=True)  # two mends may come to the same rows
        data = read_dataset(services, dataset, dataset.format or "auto", dataset.columns, dataset.task or None)
        return check, check_now(data, folder=folder)

    check, report = checked(first)
    mended = [(finding.kind, name) for finding in report.findings for name in finding.mends]
    assert {"deduplicate", "clean", "mask", "trim", "drop", "keep_usable"} <= {name for _, name in mended}
    for kind, name in mended:
        version = mend(services, first, check, kind, name)
        assert version.origin["changed"] > 0
        assert kind not in [finding.kind for finding in checked(version)[1].findings], f"{name} for {kind}"


def test_only_usable_rows_are_kept(services, keep):
    text = "".join(json.dumps(row) + "\n" for row in MESSY) + '{"broken": \n'
    second = mend(services, keep(text), None, "", "keep_usable")
    assert ids(services, second) == [n for n in range(1, 40) if n != 6]
    assert second.origin["unreadable"] == 1 and second.origin["changed"] == 2
    data = read_dataset(services, second, second.format, second.columns, second.task)
    assert (data.rows, data.kept) == (38, 38)


def test_a_mend_that_would_leave_nothing_is_refused(services, keep, report):
    first = keep(MESSY[7:])
    with pytest.raises(NothingLeft, match="'Drop these rows' would leave no row"):
        mend(services, first, report(first, "short", list(range(32))), "short", "drop")


def test_a_version_is_read_as_the_dataset_was_and_gives_the_same_examples(services, keep, shared_data):
    words = "Ann B-PER\nlives O\nin O\nOslo B-LOC\n\nBo B-PER\nsings O\n\nEva B-PER\nis O\nhere O\n\n"
    for first in (keep(words * 2, "people.conll"),
                  keep(gzip.compress(b"question,answer\nwhat?,that\nwho?,she\nwhat?,that\nwhen?,now\n"), "asked.csv.gz"),
                  keep("text,class\n" + "".join(f'"row {n}, a",{n % 2}\n' for n in range(30)) * 2, "classes.csv"),
                  keep("A paragraph\nof lines.\n\nAnother one.\n\nA paragraph\nof lines.\n", "story.txt"),
                  keep((shared_data / "wmt_en_ro" / "train.json").read_text(), "pairs.json")):
        before = load_dataset(dataset_paths(services, first))
        name = "deduplicate" if first.name != "pairs.json" else "split"
        second = mend(services, first, None, "", name, validation=1)
        after = load_dataset(dataset_paths(services, second), second.format, second.columns, second.task)
        assert (after.format, after.columns) == (before.format, before.columns)
        assert set(after.examples.digests()) <= set(before.examples.digests()) and after.kept < before.kept


def test_times_and_bytes_of_parquet_become_text(services, keep, tmp_path):
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({"prompt": [f"p {n} " for n in range(6)], "completion": [f"c {n}" for n in range(6)],
                           "at": [datetime(2024, 5, n + 1, 12) for n in range(6)], "raw": [b"ok", b"\xff\x00", *[None] * 4],
                           "score": [float("nan"), 1.5, None, 2.0, 3.0, 4.0]})
    parquet.write_table(table, tmp_path / "rows.parquet")
    second = mend(services, keep_files(services, [tmp_path / "rows.parquet"]), None, "", "trim")
    rows = rows_in(services, second)
    assert rows[0] == {"prompt": "p 0", "completion": "c 0", "at": "2024-05-01 12:00:00.000000", "raw": "ok", "score": None}
    assert rows[1]["raw"] == "/wA=" and rows[1]["score"] == 1.5 and second.files[0]["name"] == "rows.jsonl"


def test_a_split_makes_a_part_to_train_on_and_one_to_measure_with(services, keep):
    first = keep([{"text": f"row {n}", "label": "xy"[n % 2], "speaker": f"s{n % 10}"} for n in range(40)] * 2)
    train = mend(services, first, None, "", "split", validation=0.2, seed=7, group_by="speaker")
    held = services.datasets.find(train.validation_id)
    assert (held.version, train.version, held.parent_id, train.parent_id) == (2, 3, first.id, first.id)
    assert train.origin == {"kind": "split", "mend": "split", "validation": 0.2, "seed": 7, "group_by": "speaker",
                            "part": "training", "rows_before": 80, "rows_after": 64, "unreadable": 0}
    assert held.origin["part"] == "validation" and held.name == "messy.jsonl (validation)"
    parts = [rows_in(services, part) for part in (train, held)]
    assert sorted(json.dumps(row) for part in parts for row in part) == sorted(map(json.dumps, rows_in(services, first)))
    assert not {row["speaker"] for row in parts[0]} & {row["speaker"] for row in parts[1]}
    assert {row["label"] for row in parts[0]} == {"x", "y"}
    mended = mend(services, train, None, "", "deduplicate")
    assert mended.validation_id == held.id  # what it is measured with goes along
    with pytest.raises(NothingToMend, match="'Split' would change nothing"):
        mend(services, first, None, "", "split", validation=0)


def test_a_run_on_the_part_to_train_on_is_measured_with_the_other(services, keep, tiny_llama):
    train = mend(services, keep(MESSY[6:]), None, "", "split", validation=5)
    recipe = {"base_model": str(tiny_llama), "dataset": {"source": train.id}}
    run = submit(services, read_recipe(recipe))
    assert run.recipe["dataset"]["validation"] == train.validation_id
    assert (run.data["train_rows"], run.data["validation_rows"], run.data["version"]) == (28, 5, 3)
    assert [len(part) for part in load_examples(services, read_recipe(run.recipe))[1:]] == [28, 5]
    asked = {**recipe, "dataset": {**recipe["dataset"], "validation": 0.5}}
    assert len(check_recipe(services, read_recipe(asked)).validation) == 14


def test_a_run_keeps_groups_together(services, keep, tiny_llama):
    first = keep([{"prompt": f"p {n}", "completion": f"c {n}", "story": n // 5} for n in range(50)])
    recipe = {"base_model": str(tiny_llama), "dataset": {"source": first.id, "validation": 0.2, "group_by": "story"}}
    run = submit(services, read_recipe(recipe))
    data, train, held = load_examples(services, read_recipe(run.recipe))
    assert (len(train), len(held), run.data["group_by"]) == (40, 10, "story")
    assert not set(train.groups()) & set(held.groups())


def test_deleting_a_version_leaves_those_that_were_made_of_it(services, keep):
    first = keep(MESSY)
    second = mend(services, first, None, "", "trim")
    third = mend(services, second, None, "", "deduplicate")
    assert plan_deletion(services, "dataset", first.id).depends == ["No run used it.", "Version 2, which was made of it, stays."]
    services.checks.ask("a report", first.id, {})
    for dataset in (first, second):
        delete(services, "dataset", dataset.id)
        delete_for_good(services, "dataset", dataset.id)
    assert [dataset.id for dataset in services.datasets.versions(first.id)] == [third.id]
    assert len(rows_in(services, third)) == 37
    fourth = mend(services, third, None, "", "clean")
    assert (fourth.family, fourth.version, fourth.parent_id) == (first.id, 4, third.id)


def test_a_part_to_measure_with_says_what_needs_it(services, keep):
    train = mend(services, keep(MESSY[6:]), None, "", "split", validation=5)
    assert "'messy.jsonl' (version 3) is measured with it." in plan_deletion(services, "dataset", train.validation_id).depends


def test_every_mend_explains_itself():
    assert all(name == entry.name and entry.title and entry.help.endswith(".") for name, entry in MENDS.items())


def test_a_large_file_is_mended_in_little_memory(services, keep):
    line = json.dumps({"prompt": "why " * 100, "completion": "because " * 100}) + "\n"
    first = keep("".join(line.replace("because", f"{n}", 1) for n in range(30_000)), "large.jsonl")  # 36 MB
    read_dataset(services, first)
    tracemalloc.start()
    trimmed = mend(services, first, None, "", "trim")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert trimmed.rows == 30_000 and peak < 16 * 1024**2
