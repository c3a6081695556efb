"""Answers go into data: a new dataset, or the next version of one that takes them."""

import json

import pytest

from jobs.imports import read_dataset
from jobs.judging.collecting import EXAMPLES, PREFERENCES, CannotCollect, collect, fitting
from jobs.judging.export import example, preferences
from jobs.uploads import dataset_paths, keep_files
from storage.records import Verdict


def kept(services, **named):
    answers = [{"answerer": id, "name": id, "text": f"{id} says", **named.get(id, {})} for id in ("base", "p", "s")]
    made = services.comparisons.keep(base_model="b", task="text-generation", conversation=[{"role": "user", "content": "One?"}],
                                     settings={}, answers=answers)
    return services.comparisons.judge(made.id, Verdict.BEST, "p")


def read(services, dataset):
    data = read_dataset(services, dataset, dataset.format, dataset.columns, dataset.task)
    return list(data.examples)


def test_answers_become_new_data_and_then_its_next_versions(services):
    comparison = kept(services)
    first = collect(services, [example(comparison, "p")], EXAMPLES, "Answers")
    assert (first.name, first.version, first.rows, first.format) == ("Answers", 1, 1, "messages")
    second = collect(services, [example(comparison, "s")], EXAMPLES, dataset=first)
    assert (second.parent_id, second.version, second.rows) == (first.id, 2, 2) and [d.id for d in fitting(services)] == [second.id]
    assert [row["messages"][1]["content"] for row in read(services, second)] == ["p says", "s says"]
    assert len(read(services, first)) == 1, "the version before stays as it is"


def test_a_judged_comparison_becomes_pairs(services):
    made = collect(services, list(preferences(kept(services))), PREFERENCES, "Likes")
    rows = read(services, made)
    assert [(row["chosen"][-1]["content"], row["rejected"][-1]["content"]) for row in rows] == [("p says", "base says"),
                                                                                            ("p says", "s says")]
    other = {"conversation": [{"role": "user", "content": "Another?"}]}
    assert len(list(preferences(kept(services, s=other)))) == 1, "an answer to something else is no alternative"
    with pytest.raises(CannotCollect, match="rows of another kind"):
        collect(services, [{"messages": []}], EXAMPLES, dataset=made)
    with pytest.raises(CannotCollect, match="nothing to add"):
        collect(services, [], PREFERENCES)


def test_answers_fit_into_questions_and_answers(services, tmp_path):
    path = tmp_path / "faq.csv"
    path.write_text("ask,reply,source\n" + "".join(f"Question {n}?,Answer {n},book\n" for n in range(4)))
    dataset = keep_files(services, [path], notes={"task": "text-generation", "format": "prompt-completion", "rows": 4,
                                                  "columns": {"prompt": "ask", "completion": "reply"}})
    made = collect(services, [example(kept(services), "p")], EXAMPLES, dataset=dataset)
    lines = [json.loads(line) for line in dataset_paths(services, made)[0].read_text().splitlines()]
    assert len(lines) == 5 and lines[-1] == {"ask": "One?", "reply": "p says"} and lines[0]["source"] == "book"
    long = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}] * 2}
    with pytest.raises(CannotCollect, match="longer conversation"):
        collect(services, [long], EXAMPLES, dataset=dataset)
    assert [version.version for version in services.datasets.versions(made.family)] == [2, 1]
