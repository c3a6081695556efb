import threading

import pytest

from jobs.downloads import download_base_model
from jobs.recipe_reader import read_recipe
from jobs.submit import check_recipe, submit
from storage.problems import RecipeInvalid
from tests.hub_server import HubServer


@pytest.fixture
def hub(tiny_llama, monkeypatch):
    with HubServer({"tiny/llama": tiny_llama, "tiny/gated": tiny_llama}, gated=["tiny/gated"]) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield hub


def fetch(services, hub_id: str, stopping: threading.Event | None = None):
    services.downloads.ask(hub_id)
    download_base_model(services, hub_id, stopping or threading.Event())
    return services.downloads.get(hub_id)


def test_a_download_ends_on_the_shelf_and_a_run_records_its_commit(services, hub, chats):
    done = fetch(services, "tiny/llama")
    assert (done.state, done.problem) == ("finished", "") and done.done_bytes == done.total_bytes > 0
    assert "tiny/llama" in [entry.name for entry in services.shelf.list()]
    run = submit(services, read_recipe({"base_model": "tiny/llama", "dataset": {"source": str(chats)}}))
    assert (run.base["hub_id"], run.base["revision"]) == ("tiny/llama", hub.commit("tiny/llama"))


@pytest.mark.parametrize("hub_id, said", [("tiny/gated", "HF_TOKEN"), ("tiny/nobody", "tiny/nobody")])
def test_a_model_that_cannot_be_had_says_why(services, hub, hub_id, said):
    failed = fetch(services, hub_id)
    assert failed.state == "failed" and said in failed.problem


def test_a_hub_that_cannot_be_reached_says_that_the_shelf_still_works(services, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    failed = fetch(services, "tiny/llama")
    assert failed.state == "failed" and "127.0.0.1:9" in failed.problem and "shelf" in failed.problem


def test_a_download_that_a_stopping_worker_left_goes_on_with_the_next(services, hub):
    stopping = threading.Event()
    stopping.set()
    assert fetch(services, "tiny/llama", stopping).state == "queued"
    download_base_model(services, "tiny/llama", threading.Event())
    assert services.downloads.get("tiny/llama").state == "finished"


def test_a_recipe_with_a_model_that_is_not_here_says_how_to_get_it(services, chats):
    with pytest.raises(RecipeInvalid, match="python app.py models get tiny/llama"):
        check_recipe(services, read_recipe({"base_model": "tiny/llama", "dataset": {"source": str(chats)}}))
