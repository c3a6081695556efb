"""What the Data page shows, without a browser."""

import json
import re
from dataclasses import replace

import pytest

from jobs.checking import execute_check
from jobs.checks import ReadAs, ask_check
from jobs.data.health.report import Count, Finding, Report, RowAt, TokenCounts
from jobs.imports import first_look, read_again
from jobs.preparing.rendered import Piece, Rendered, RenderedRow, Stretch
from jobs.uploads import keep_files
from storage.records import DataCheck, Dataset
from studio.read_fields import read_and_note, read_as_noted
from studio.views import data_view, dataset_view, report_view
from studio.views.data_view import read_data
from studio.views.dataset_list import dataset_list
from studio.views.rendered_view import Place, rendered_row, visible

NASTY = "<img src=x onerror=alert(1)> ${name} {{x}}"


def check(state="finished", **values) -> DataCheck:
    fields = {"id": "c1", "dataset_id": "d1", "wanted": {}, "phase": "", "done": 0.0, "problem": "", "report": None,
              "asked_at": 0.0, "beat_at": 0}
    return DataCheck(state=state, **{**fields, **values})


def report(**values) -> dict:
    return Report(**{"rows": 10, "kept": 9, "left_out": 1, "findings": [], **values}).model_dump(mode="json")


def dataset(id="d1", **values) -> Dataset:
    fields = {"name": "rows.csv", "sha256": f"hash of {id}", "bytes": 10, "files": [{"name": "rows.csv", "bytes": 10}],
              "created_at": 1.0, "family": "d1"}
    return Dataset(id=id, **{**fields, **values})


def row(*pieces: Piece, name="", problem="") -> RenderedRow:
    count, trained = sum(len(piece.ids) for piece in pieces), sum(piece.trained for piece in pieces)
    return RenderedRow(name, count, trained, trained, [Stretch(0, list(pieces))], problem)


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


# ---- a row as the model gets it


def test_what_is_learnt_what_is_context_and_what_is_special_look_different():
    shown = Rendered([row(Piece([1], "<|user|>", False, True), Piece([2], "Hi", False, False), Piece([3], "Yo", True, False),
                          Piece([4], "<|end|>", True, True))], [], "t", "")
    html = rendered_row(shown, Place(3, 9, "a.jsonl", 7), 100)
    for look, text in (("special", "&lt;|user|&gt;"), ("context", "Hi"), ("learnt", "Yo"), ("special st-learnt", "&lt;|end|&gt;")):
        assert re.search(rf'<span class="st-{look}">.*?<i title="\d">{re.escape(text)}</i>', html)
    for text in ("Row 3 of 9", "a.jsonl, line 7", "4 tokens, 2 of them learnt", "Not learnt: ", "Learnt: "):
        assert text in html
    assert "Cut here" not in html


def test_the_place_of_the_cut_is_marked_once_and_what_follows_is_struck():
    pieces = [Piece([number], f"w{number} ", number > 2, False) for number in range(6)]
    html = rendered_row(Rendered([row(*pieces)], [], "", ""), Place(1, 1), 4)
    assert html.count("Cut here, after 4 tokens") == 1 and "2 cut off" in html
    before, after = html.split("Cut here")
    assert "w3" in before and "w4" in after and "st-learnt st-cut" in after
    lost = replace(row(*pieces), trained_kept=0)
    assert "Nothing that is learnt is left" in rendered_row(Rendered([lost], [], "", ""), Place(1, 1), 2)


def test_a_character_of_several_tokens_stays_on_its_side_of_the_cut():
    html = rendered_row(Rendered([row(Piece([1, 2, 3, 4], "🙂", True, False), Piece([5], "!", True, False))], [], "", ""),
                        Place(1, 1), 2)
    assert 'title="1 2 3 4"' in html and html.index("🙂") < html.index("Cut here") < html.index(">!<")


def test_hostile_text_in_rows_and_tags_is_escaped():
    shown = Rendered([row(Piece([1], NASTY, True, False), name=NASTY)], [(NASTY, NASTY), ("b", "O")], NASTY, NASTY)
    assert "<img" not in rendered_row(shown, Place(1, 1, NASTY, 1), 10)
    assert "<img" not in rendered_row(Rendered([row(problem=NASTY)], [("label", NASTY)], "", ""), Place(1, 1), 10)


def test_characters_that_turn_or_hide_text_can_be_seen():
    assert visible("a\nb\tc") == "a↵\nb⇥\tc"
    assert visible("x\u202egnp.exe\u200b\x00\x9b") == "x[U+202E]gnp.exe[U+200B]␀[U+009B]"
    assert visible("عربي नमस्ते 👩\u200d🚀") == "عربي नमस्ते 👩\u200d🚀", "letters and their joiners stay"


def test_several_sequences_of_an_example_have_their_names():
    rows = [row(Piece([1], "a", True, False), name="chosen"), row(Piece([2], "b", True, False), name="rejected")]
    html = rendered_row(Rendered(rows, [], "", ""), Place(1, 1), 10)
    assert "The better answer" in html and "The worse answer" in html


# ---- the health report


def test_findings_have_their_severity_rows_and_buttons():
    found = [Finding(kind="exact_duplicates", severity="warning", sentence="2 rows repeat.", count=40,
                     mends=["deduplicate", "gone"],
                     rows=[RowAt(file="a.csv", line=1200, index=7, excerpt=NASTY, note="the same as line 3")]),
             Finding(kind="broken", severity="problem", sentence=NASTY, count=1, rows=[RowAt(file="a.csv", line=4)])]
    html = report_view.whole_report(check(report=report(findings=found)), 512, "mend-box", "row-box")
    for text in ("Warning", "Problem", "2 rows repeat.", "the first 1 of 40", "a.csv, line 1,200", "the same as line 3",
                 'data-ask="mend c1 exact_duplicates deduplicate" data-ask-target="mend-box"', "Keep one of each",
                 'data-ask="row 7" data-ask-target="row-box"'):
        assert text in html
    assert "<img" not in html and html.count('data-ask="row') == 1, "a row that is left out is not shown"


def test_a_report_without_findings_says_so_and_a_short_one_has_the_worst():
    assert "Nothing was found" in report_view.whole_report(check(report=report()), 512, "m", "r")
    found = [Finding(kind=f"k{number}", severity="note", sentence=f"Sentence {number}.") for number in range(5)]
    html = report_view.short_report(check(report=report(findings=found)), "/data?id=d1&base=x")
    assert "Sentence 2." in html and "Sentence 3." not in html and "and 2 more findings" in html
    assert 'href="/data?id=d1&amp;base=x"' in html


@pytest.mark.parametrize(("limit", "sentence"), [
    (100, "At 100 tokens, no row is cut."), (50, "At 50 tokens, 1% of the rows (10) are cut."),
    (20, "At 20 tokens, 51% of the rows (510) are cut.")])
def test_the_lengths_say_what_the_limit_cuts_and_which_one_would_do(limit, sentence):
    counts = TokenCounts(base="b", lengths=[(10, 490), (30, 500), (90, 10)])
    html = report_view.token_chart(counts, limit, "row-box")
    assert sentence in text_of(html)
    assert "From 90 tokens on, under 1% of them are." in html
    assert ('data-ask="length 90"' in html) == (limit != 90)
    assert ("st-over" in html) == (limit < 90) and "st-within" in html


def test_a_few_very_long_rows_do_not_press_the_others_together():
    counts = TokenCounts(base="b", lengths=[(length, 100) for length in range(10, 60)] + [(900_000, 1)])
    html = report_view.token_chart(counts, 64, "r")
    assert html.count("<rect") > 15 and "+</span>" in html


@pytest.mark.parametrize("lengths", [[(0, 3)], [(1, 1)], [(8, 1), (9, 1)], [(4096, 10**7)]])
def test_any_lengths_can_be_drawn(lengths):
    assert "<rect" in report_view.token_chart(TokenCounts(base="b", lengths=lengths), 512, "r")


def test_labels_are_bars_and_the_rest_is_counted():
    bars = report_view.count_bars("Labels", [Count(name=f"label {number}", count=number + 1) for number in range(40)])
    assert bars["bars"][0] == {"name": "label 39", "count": "40", "share": "4.9%", "width": 100}
    assert len(bars["bars"]) == 25 and "15 more" in bars["rest"]
    assert report_view.count_bars("Labels", []) is None


def test_progress_says_what_is_being_done_and_why_nothing_is():
    assert "Checking every row" in report_view.progress(check("running", phase="checking", done=0.42), True)
    assert 'aria-valuenow="42"' in report_view.progress(check("running", phase="checking", done=0.42), True)
    assert "no worker is running" in report_view.progress(check("queued"), False)
    assert "no worker" not in report_view.progress(check("queued"), True)
    assert "&lt;img" in report_view.progress(check("failed", problem=NASTY), True)
    assert report_view.progress(check(), True) == "" == report_view.progress(None, True)


# ---- a version of a dataset


def test_a_version_says_how_it_was_made_and_names_the_others():
    first = dataset(rows=12, origin={"kind": "upload"})
    second = dataset("d2", version=2, rows=1000, parent_id="d1",
                     origin={"kind": "mend", "mend": "drop", "changed": 1234, "rows_before": 2234, "rows_after": 1000})
    html = dataset_view.about(second, None, ["text"], [second, first], first, [], now=61.0)
    for text in ("1,234 of 2,234 rows dropped", "Uploaded", "Version 2", "/data?id=d1", "1,000 rows", "hash of d2", "no run",
                 "1 min ago"):
        assert text in html
    assert "Version 2 of 2" in dataset_view.title(second, [second, first])
    assert "Back to version 1" in dataset_view.notice(second, first) and dataset_view.notice(first, None) == ""
    assert "Versions" not in dataset_view.about(first, None, [], [first], None, [])


@pytest.mark.parametrize(("origin", "words"), [
    ({}, "Uploaded"), ({"kind": "folder", "path": NASTY}, f"Taken from the folder {NASTY}"),
    ({"kind": "split", "mend": "split", "part": "validation", "rows_before": 50, "rows_after": 5},
     "The part to measure with: 5 of 50"),
    ({"kind": "mend", "mend": "trim", "changed": 3, "rows_before": 9, "unreadable": 2},
     "White space at the ends trimmed in 3 of 9 rows; 2 lines that cannot be read are not in it"),
    ({"kind": "mend", "mend": "new", "changed": 3}, "Mended"), ({"kind": "of tomorrow"}, "of tomorrow")])
def test_where_data_comes_from_is_a_sentence(origin, words):
    made = dataset(origin=origin)
    assert dataset_view.made_by(made).startswith(words)
    assert "<img" not in dataset_view.about(made, None, [NASTY], [made, made], None, [])


def test_the_way_to_the_train_page_carries_what_was_chosen():
    html = dataset_view.links(dataset(), "org/base", 384, "chatml")
    assert 'href="/?data=d1&amp;base=org%2Fbase&amp;max_length=384&amp;chat_template=chatml"' in html
    assert "chat_template" not in dataset_view.links(dataset(), "", 384)
    for form in ("jsonl", "csv", "parquet"):
        assert f"/data/d1/export?format={form}" in html


def test_the_library_links_to_data_and_tells_versions():
    html = dataset_list([dataset("d2", version=2, rows=7), dataset()], {}, now=2.0)
    assert 'href="/data?id=d2"' in html and "Version 2 of 2" in html and "Version 1 of 2" in html


# ---- how data is read


@pytest.fixture
def table(services, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("question,answer,other\n" + "".join(f"Why {n}?,Because {n}.,Or not {n}.\n" for n in range(20)))
    return keep_files(services, [path])


def test_what_a_person_chose_is_remembered_and_a_choice_that_does_not_work_is_not(services, table):
    chosen = {"prompt": "question", "completion": "other"}
    assert read_and_note(services, table.id, "prompt-completion", chosen).problems == ()
    assert read_as_noted(services, table.id).found.columns == chosen
    assert read_and_note(services, table.id, "prompt-completion", {"prompt": "nothing"}).problems
    noted = services.datasets.find(table.id)
    assert read_as_noted(services, table.id).found.reason == "Chosen by hand."
    assert (noted.columns, noted.format, noted.task, noted.rows) == (chosen, "prompt-completion", "text-generation", 20)


def test_what_was_only_recognised_keeps_its_reason(services, table):
    first = read_as_noted(services, table.id).found
    assert services.datasets.find(table.id).columns == first.columns
    assert read_as_noted(services, table.id).found.reason == first.reason != "Chosen by hand."


def test_large_data_is_only_looked_at_until_its_report_has_read_it(services, table, monkeypatch):
    monkeypatch.setattr(data_view, "READ_AT_ONCE", 10)
    view = read_data(services, table.id)
    assert view.data is None and view.found.columns["completion"] == "answer"
    assert view.column_names == ("question", "answer", "other")
    assert "Its rows are being read" in view.html and "Why 0?" in view.html
    assert read_again(services, table, first_look(services, table)) is None
    asked = ask_check(services, table, ReadAs(view.found.task, view.found.format, view.found.columns))
    execute_check(services, services.checks.claim(asked.id))
    assert services.checks.find(asked.id).state == "finished"
    read = read_data(services, table.id)
    assert read.data.kept == 20 and "All 20 rows can be used" in read.html


def test_a_file_that_changed_is_looked_at_anew(services, table):
    assert first_look(services, table).found.format == "prompt-completion"
    path = services.settings.uploads_dir / table.files[0]["path"]
    path.unlink()
    path.write_text("".join(json.dumps({"text": f"Line {number}."}) + "\n" for number in range(9)))
    assert first_look(services, table).found.format == "text"
