import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from jobs.data_folders import FolderNotAllowed, keep_from_folder, list_folder
from jobs.imports import read_dataset
from jobs.recipe import DatasetChoice, Recipe
from jobs.recipe_reader import read_recipe
from jobs.services import open_services
from jobs.sources import Mixture, keep_data, load_data, refuse_paths, split_rows
from jobs.submit import check_recipe, load_examples, run_record, submit
from storage.problems import DataInvalid, NotFound, RecipeInvalid
from storage.records import RunState
from storage.settings import REPOSITORY
from tests.in_process import train_here


@pytest.fixture
def write(tmp_path):
    """Writes a file of rows, and returns its path as a recipe names it."""
    def write(name: str, rows: list) -> str:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
        return str(path)
    return write


def questions(count: int, word: str = "q") -> list[dict]:
    return [{"question": f"{word} {number}", "answer": f"{word} is {number}"} for number in range(count)]


def instructions(count: int) -> list[dict]:
    return [{"instruction": f"do {number}", "input": "this", "output": f"done {number}"} for number in range(count)]


def labelled(count: int, labels: str = "ab") -> list[dict]:
    return [{"text": f"text {number} of {labels}", "label": labels[number % len(labels)]} for number in range(count)]


def recipe(task: str = "text-generation", **dataset) -> Recipe:
    return read_recipe({"base_model": "demo-base", "task": task, "dataset": dataset})


def load(services, chosen: Recipe):
    data = load_data(services, chosen, keep_data(services, chosen.dataset))
    return data, *split_rows(data, chosen.dataset.validation, chosen.seed)


# ---- several sources


def test_sources_of_different_formats_are_mixed_by_their_weights(services, write):
    chosen = recipe(source=[write("a.jsonl", questions(100)), write("b.jsonl", instructions(50))], weights=[2, 0.5])
    data, train, held = load(services, chosen)
    assert (data.format, data.rows, data.kept) == ("messages", 150, 150)
    assert data.findings[:2] == ["100 of 150 rows come from a.jsonl, and with the weight 2 an epoch uses each 2 times.",
                                 "50 of 150 rows come from b.jsonl, and with the weight 0.5 an epoch uses 50% of them."]
    assert Counter(held.sources()) == {0: 10, 1: 5}, "a tenth of each"
    uses = Counter(turns["messages"][0]["content"] for turns in train)
    assert Counter(uses.values()) == {2: 90, 1: 22}
    assert sum(uses.values()) == len(train) == 202
    held_back = {turns["messages"][0]["content"] for turns in held}
    assert len(held_back) == 15 and not held_back & set(uses)


def test_the_same_seed_uses_the_same_rows_and_another_one_others(services, write):
    sources = [write("a.jsonl", questions(40)), write("b.jsonl", questions(40, "other"))]
    def used(seed):
        chosen = recipe(source=sources, weights=[1, 0.5]).model_copy(update={"seed": seed})
        return [example["messages"][0]["content"] for example in load(services, chosen)[1]]
    assert used(1) == used(1)
    assert used(1) != used(2)


def test_a_mixture_is_read_like_any_sequence_of_examples(services, write):
    sources = [write("a.jsonl", questions(6)), write("b.jsonl", instructions(4))]
    data, _, _ = load(services, recipe(source=sources, weights=[1, 1]))
    examples = data.examples
    texts = [example["messages"][0]["content"] for example in examples]
    assert [examples[number]["messages"][0]["content"] for number in range(10)] == texts
    assert texts[5:7] == ["q 5", "do 0\n\nthis"] and examples[-1] == list(examples)[-1]
    assert [example["messages"][0]["content"] for example in examples[8:2:-3]] == texts[8:2:-3]
    assert examples.places() == [(0, line) for line in range(1, 7)] + [(1, line) for line in range(1, 5)]
    assert len(set(examples.digests())) == 10
    taken = examples.take([9, 0, 0])
    assert (taken.places(), list(taken.sources()), len(taken.digests())) == ([(1, 4), (0, 1), (0, 1)], [1, 0, 0], 3)
    assert data.files == ["a.jsonl", "b.jsonl"]


def test_rows_that_two_sources_share_are_told_and_never_on_both_sides(services, write):
    sources = [write("a.jsonl", questions(50)), write("b.jsonl", questions(50)[:20] + questions(30, "new"))]
    data, train, held = load(services, recipe(source=sources, weights=[1, 1], validation=0.3))
    assert "20 of the rows of b.jsonl are also in the sources before it." in data.findings
    assert not set(train.digests()) & set(held.digests())


def test_labels_of_all_sources_are_learnt_and_each_keeps_its_share(services, write):
    sources = [write("a.jsonl", labelled(60, "ab")), write("b.jsonl", labelled(30, "bc"))]
    data, _, held = load(services, recipe("text-classification", source=sources, weights=[1, 3], validation=0.2))
    assert data.labels == ["a", "b", "c"]
    assert Counter((source, example["label"]) for source, example in zip(held.sources(), held, strict=True)) == {
        (0, "a"): 6, (0, "b"): 6, (1, "b"): 3, (1, "c"): 3}


@pytest.mark.parametrize(("first", "second", "said"), [
    (questions(20), [{"prompt": "p", "chosen": f"c {n}", "rejected": "r"} for n in range(20)],
     "b.jsonl was read as preference and a.jsonl as prompt-completion"),
    (questions(20), [{"other": n} for n in range(20)], "b.jsonl: "),
])
def test_sources_that_one_model_cannot_learn_from_are_refused_with_both_names(services, write, first, second, said):
    chosen = recipe(source=[write("a.jsonl", first), write("b.jsonl", second)], weights=[1, 1])
    with pytest.raises((DataInvalid, RecipeInvalid), match=said):
        load(services, chosen)


@pytest.mark.parametrize(("dataset", "said"), [
    ({"source": ["a.csv", "b.csv"], "weights": [1]}, "dataset.weights has 1 weight for 2 sources. Give one for each source"),
    ({"source": []}, "dataset.source is empty"),
    ({"source": ["nowhere.csv", "gone.csv"], "weights": [1, 2]}, "There is no file 'nowhere.csv'(.|\n)*no file 'gone.csv'"),
    ({"source": ["nowhere.csv"], "weights": [-1]}, "dataset.weights.0 is -1. It must be greater than 0."),
])
def test_every_problem_with_sources_and_weights_is_a_sentence(services, dataset, said):
    with pytest.raises((RecipeInvalid, NotFound), match=said):
        keep_data(services, recipe(**dataset).dataset)


def test_several_files_without_weights_are_one_table_as_before(services, write):
    kept = keep_data(services, recipe(source=[write("a.jsonl", questions(3)), write("b.jsonl", questions(3, "o"))]).dataset)
    assert not isinstance(kept, Mixture)
    assert [file["name"] for file in kept.files] == ["a.jsonl", "b.jsonl"]


def test_kept_data_is_mixed_by_id_and_the_record_tells_what_came_from_where(services, write):
    ids = [keep_data(services, recipe(source=write(name, rows)).dataset).id
           for name, rows in (("a.jsonl", questions(30)), ("b.jsonl", instructions(10)))]
    held = write("held.jsonl", questions(5, "held"))
    checked = check_recipe(services, recipe(source=ids, weights=[1, 3], validation=held))
    record = run_record(checked)
    stored = record["recipe"]["dataset"]
    assert (stored["source"], stored["weights"], stored["format"], stored["columns"]) == (ids, [1, 3], "auto", {})
    named = ("dataset_id", "format", "rows", "weight", "train_rows")
    told = [[source[name] for name in named] for source in record["data"]["sources"]]
    assert told == [[ids[0], "prompt-completion", 30, 1, 30], [ids[1], "instruction", 10, 3, 30]]
    assert (record["data"]["train_rows"], record["data"]["validation_rows"]) == (60, 5)
    json.dumps(record)
    data, train, validation = load_examples(services, Recipe.model_validate(record["recipe"]))
    assert (list(train), list(validation)) == (list(checked.train), list(checked.validation))


def test_a_mixture_trains_as_its_weights_say(services, tiny_llama, write):
    sources = [write("a.jsonl", questions(4)), write("b.jsonl", instructions(6))]
    run = submit(services, read_recipe({
        "base_model": str(tiny_llama), "training": {"epochs": 1, "batch_size": 1, "max_length": 64},
        "dataset": {"source": sources, "weights": [2, 0.5], "validation": "none"}}))
    assert run.data["train_rows"] == 2 * 4 + 3
    train_here(services)
    run = services.runs.get(run.id)
    assert (run.state, run.step) == (RunState.FINISHED, 11), run.problem


# ---- allowed folders


@pytest.fixture
def shared(tmp_path):
    folder = tmp_path / "shared"
    (folder / "inner").mkdir(parents=True)
    (folder / "rows.csv").write_text("text,label\na,b\n")
    (folder / "inner" / "more.JSONL").write_text('{"text": "a"}\n')
    (folder / "film.mp4").write_text("x")
    (folder / ".hidden.csv").write_text("x")
    (tmp_path / "secret.csv").write_text("secret\n")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "out").symlink_to(tmp_path)
    (folder / "inside.csv").symlink_to(folder / "rows.csv")
    (folder / "round").symlink_to(folder / "round")
    return folder


@pytest.fixture
def allowing(settings, shared):
    return open_services(replace(settings, data_folders=(shared, shared.parent / "gone")))


def test_an_allowed_folder_lists_its_data_and_nothing_outside(allowing, shared):
    view = list_folder(allowing.settings, shared)
    assert (view.parent, view.folders) == (None, ["inner"])
    assert [file.name for file in view.files] == ["inside.csv", "rows.csv"]
    assert view.files[1].bytes == len("text,label\na,b\n")
    inner = list_folder(allowing.settings, shared / "inner")
    assert (inner.parent, [file.name for file in inner.files]) == (shared, ["more.JSONL"])


def test_files_of_an_allowed_folder_are_copied_and_kept_under_their_hash(allowing, shared):
    dataset = keep_from_folder(allowing, shared, ["rows.csv"])
    assert dataset.origin == {"kind": "folder", "path": str(shared)}
    kept = allowing.settings.uploads_dir / dataset.files[0]["path"]
    assert kept.read_text() == "text,label\na,b\n"
    assert kept.stat().st_ino != (shared / "rows.csv").stat().st_ino
    (shared / "rows.csv").write_text("changed")
    assert kept.read_text() == "text,label\na,b\n"


@pytest.mark.parametrize("path", [
    "..", "../secret.csv", "link.csv", "out/secret.csv", "/etc/passwd", "round", "inner/../../secret.csv"])
def test_no_path_leads_out_of_an_allowed_folder(allowing, shared, path):
    with pytest.raises(FolderNotAllowed, match="STUDIO_DATA_FOLDERS"):
        keep_from_folder(allowing, shared, [path])
    with pytest.raises(FolderNotAllowed):
        list_folder(allowing.settings, shared / path)


def test_the_studios_own_files_are_no_data_of_an_allowed_folder(settings):
    services = open_services(replace(settings, data_folders=(settings.home.parent,)))
    assert settings.home.name not in list_folder(services.settings, settings.home.parent).folders
    with pytest.raises(FolderNotAllowed):
        list_folder(services.settings, settings.home / "uploads")


def test_without_the_setting_nothing_is_allowed(services, shared):
    with pytest.raises(FolderNotAllowed, match="no folder"):
        list_folder(services.settings, shared)


def test_a_page_may_name_kept_data_only(services, write):
    path = write("a.jsonl", questions(3))
    kept = keep_data(services, recipe(source=path).dataset)
    assert refuse_paths(services, {"source": kept.id, "validation": 0.1}) == []
    assert refuse_paths(services, {"source": [kept.id], "validation": "none"}) == []
    refused = refuse_paths(services, {"source": path, "validation": "/etc/passwd"})
    assert refused == [f"'{name}' is no data of this studio. Upload the file, or choose data that is here."
                       for name in (path, "/etc/passwd")]


# ---- the Hub is in test_hub_data.py


def test_reading_sources_needs_neither_torch_nor_the_datasets_library():
    code = ("import sys, jobs.sources, jobs.data_folders, jobs.resumable;"
            "print([name for name in ('torch', 'transformers', 'datasets', 'huggingface_hub', 'pyarrow') if name in sys.modules])")
    found = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True, env=os.environ)
    assert found.stdout.strip() == "[]"


def test_what_a_folder_names_for_testing_is_said_and_not_trained_on(services, tmp_path):
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text("question,answer\n" + "".join(f"{name} {number},b\n" for number in range(5)))
    kept = keep_data(services, DatasetChoice(source=str(tmp_path)))
    assert [file["name"] for file in kept.files] == ["train.csv"]
    said = f"test.csv in the folder {tmp_path.name} is not trained on."
    assert read_dataset(services, kept).findings == [said]
