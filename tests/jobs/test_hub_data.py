"""Datasets from the Hub, from a small one on this machine that the real datasets and huggingface_hub libraries ask."""

import json

import pytest

from jobs.hub_data import HubReference, keep_hub_data, pinned_reference, read_reference
from jobs.recipe_reader import read_recipe
from jobs.submit import check_recipe, run_record
from storage.problems import DiskFull, HubProblem
from tests.hub_server import HubServer

CARD = """---
configs:
- config_name: en
  data_files:
  - {split: train, path: en/train.jsonl}
  - {split: test, path: en/test.jsonl}
- config_name: de
  data_files: de/*.jsonl
---
"""


def rows(count: int, word: str) -> str:
    return "".join(json.dumps({"question": f"{word} {number}", "answer": f"it is {number}"}) + "\n" for number in range(count))


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")

    def write(name: str, content: str) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    write("plain/README.md", "# Questions\n")
    write("plain/data/train-00000-of-00002.jsonl", rows(20, "first"))
    write("plain/data/train-00001-of-00002.jsonl", rows(10, "second"))
    write("plain/data/test-00000-of-00001.jsonl", rows(5, "test"))
    write("plain/prepare.py", "raise SystemExit('nobody may run this')\n")
    write("languages/README.md", CARD)
    for name, count in (("en/train", 8), ("en/test", 4), ("de/all", 6)):
        write(f"languages/{name}.jsonl", rows(count, name))
    write("script/script.py", "raise SystemExit('nobody may run this')\n")
    write("pictures/train/one.png", "x")
    return {f"me/{path.name}": path for path in folder.iterdir()}


@pytest.fixture
def hub(repositories, monkeypatch):
    with HubServer({}, datasets=repositories) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield server


@pytest.mark.parametrize(("text", "reference"), [
    ("me/plain", HubReference("me/plain")),
    ("me/plain:test", HubReference("me/plain", "test")),
    (" me/plain:en:test@v1.0 ", HubReference("me/plain", "en", "test", "v1.0")),
    ("me/plain@refs/convert/parquet", HubReference("me/plain", revision="refs/convert/parquet")),
    ("plain", None), ("a/b/c", None), ("me/plain:a:b:c", None), ("me/..", None), ("me/plain@../x", None), ("/data/rows", None),
])
def test_a_reference_names_a_dataset_a_config_a_split_and_a_revision(text, reference):
    assert read_reference(text) == reference


def test_a_split_is_kept_with_its_commit_and_never_fetched_twice(services, hub):
    said = []
    dataset = keep_hub_data(services, HubReference("me/plain"), lambda done, total: said.append((done, total)))
    commit = hub.commit("datasets/me/plain")
    assert dataset.origin == {"kind": "hub", "hub_id": "me/plain", "config": "default", "split": "train", "revision": commit}
    assert dataset.name == "me/plain:default:train"
    assert [file["name"] for file in dataset.files] == ["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"]
    kept = (services.settings.uploads_dir / dataset.files[1]["path"]).read_text()
    assert kept == rows(10, "second")
    assert said[-1] == (dataset.bytes, dataset.bytes)
    assert not [request for request in hub.requests if request.path.endswith(("prepare.py", "test-00000-of-00001.jsonl"))]
    assert list(services.settings.temporary_dir.iterdir()) == []
    before = len(hub.requests)
    again = keep_hub_data(services, read_reference(pinned_reference(dataset)))
    assert (again, len(hub.requests)) == (dataset, before), "what is pinned and kept needs no network"


def test_a_recipe_with_a_dataset_of_the_hub_is_pinned_in_its_record(services, hub):
    recipe = read_recipe({"base_model": "demo-base", "dataset": {
        "source": "me/languages:en:train", "validation": "me/languages:en:test"}})
    record = run_record(check_recipe(services, recipe))
    commit = hub.commit("datasets/me/languages")
    assert record["data"]["sources"][0]["hub"] == f"me/languages:en:train@{commit}"
    assert (record["data"]["train_rows"], record["data"]["validation_rows"]) == (8, 4)
    kept = services.datasets.find(record["recipe"]["dataset"]["source"])
    assert kept.origin["revision"] == commit


@pytest.mark.parametrize(("reference", "said"), [
    ("me/languages", "has several configs; it has en, de. Name one, for example me/languages:en:train."),
    ("me/languages:fr:train", "has no config 'fr'; it has en, de"),
    ("me/languages:en:dev", "has no split 'dev'; it has train, test. Name one, for example me/languages:en:train."),
    ("me/script", "the studio never runs code that comes with data"),
    ("me/pictures", "does not consist of files that can be read here: it has train/one.png"),
])
def test_what_a_dataset_lacks_is_said_with_what_it_has(services, hub, reference, said):
    with pytest.raises(HubProblem) as problem:
        keep_hub_data(services, read_reference(reference))
    assert said in str(problem.value)
    assert services.datasets.all() == []
    assert list(services.settings.temporary_dir.iterdir()) == []


def test_a_config_alone_has_its_split_chosen(services, hub):
    assert keep_hub_data(services, HubReference("me/languages", "de")).origin["split"] == "train"


def test_a_dataset_that_is_missing_private_gated_or_out_of_reach_is_told_apart(services, hub, monkeypatch):
    def said(reference: str) -> str:
        with pytest.raises(HubProblem) as problem:
            keep_hub_data(services, read_reference(reference))
        return str(problem.value)

    assert "The Hub has no dataset 'me/nothing', or it is private" in said("me/nothing")
    assert "has no revision 'v9'" in said("me/plain@v9")
    hub.private.add("datasets/me/plain")
    assert "for a private dataset, set HF_TOKEN" in said("me/plain")
    hub.private.clear()
    hub.gated.add("datasets/me/plain")
    assert f"is gated. Accept its terms on {hub.url}/datasets/me/plain" in said("me/plain")
    hub.gated.clear()
    hub.fail_with = 500
    assert "answered HTTP 500" in said("me/plain")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9 cannot be reached" in said("me/plain")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "because HF_HUB_OFFLINE is set" in said("me/plain")


def test_a_download_that_was_cut_goes_on_where_it_stopped(services, hub, monkeypatch):
    monkeypatch.setattr("jobs.hub_data.RETRY_WAITS", ())
    size = len(rows(20, "first"))
    whole = keep_hub_data(services, HubReference("me/plain", "test"))
    hub.cut_after = None
    monkeypatch.setattr("jobs.hub_data._fetch", _cutting(hub, size // 2))
    with pytest.raises(HubProblem, match="cannot be reached"):
        keep_hub_data(services, HubReference("me/plain"))
    hub.cut_after = None
    monkeypatch.undo()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    dataset = keep_hub_data(services, HubReference("me/plain"))
    assert [request.range for request in hub.gets("train-00000-of-00002.jsonl")][-1].startswith("bytes=")
    assert (services.settings.uploads_dir / dataset.files[0]["path"]).read_text() == rows(20, "first")
    assert whole.id != dataset.id


def _cutting(hub, after: int):
    """The fetching of files, over a network that goes away after so many bytes of them."""
    from jobs.hub_data import _fetch

    def fetch(*values) -> None:
        hub.cut_after = after
        _fetch(*values)
    return fetch


def test_a_dataset_that_does_not_fit_on_the_disk_is_refused_before_it_is_fetched(services, hub):
    from dataclasses import replace

    full = replace(services, settings=replace(services.settings, free_space_floor=10**18))
    with pytest.raises(DiskFull):
        keep_hub_data(full, HubReference("me/plain"))
    assert not hub.gets("train-00000-of-00002.jsonl")
