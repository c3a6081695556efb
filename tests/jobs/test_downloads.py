import threading
import time

import pytest

from jobs.downloads import download_base_model
from jobs.recipe_reader import read_recipe
from jobs.submit import check_recipe, submit
from storage.problems import RecipeInvalid
from tests.faults.record import full, record
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


@pytest.fixture
def under_way(services, hub):
    """Starts a download as the worker does, in a thread; gives the thread once some bytes have come."""
    def start() -> threading.Thread:
        services.downloads.ask("tiny/llama")
        thread = threading.Thread(target=download_base_model, args=(services, "tiny/llama", threading.Event()), daemon=True)
        thread.start()
        deadline = time.monotonic() + 120
        while not services.downloads.get("tiny/llama").total_bytes:
            assert thread.is_alive() and time.monotonic() < deadline
            time.sleep(0.02)
        return thread
    return start


def test_a_download_that_is_cancelled_while_it_waits_never_starts(services, hub):
    for _ in range(10 if full() else 2):
        services.downloads.ask("tiny/llama")
        assert services.downloads.cancel("tiny/llama").state == "cancelled"
        download_base_model(services, "tiny/llama", threading.Event())  # its ring comes all the same
        assert services.downloads.get("tiny/llama").state == "cancelled" and not hub.requests
        assert services.downloads.waiting() == [] == services.downloads.active(), "reconcile would start it again"


@pytest.mark.parametrize("bytes_per_second", [200_000, 100])  # slow, and silent: minutes between two blocks
def test_a_download_that_is_cancelled_on_its_way_ends_and_goes_on_from_there_when_asked_again(
    services, hub, under_way, bytes_per_second, tmp_path
):
    seconds, times = [], 10 if full() else 2
    for _ in range(times):
        hub.bytes_per_second = bytes_per_second
        thread, began = under_way(), time.monotonic()
        services.downloads.cancel("tiny/llama")
        thread.join(20)
        seconds.append(time.monotonic() - began)
        assert not thread.is_alive() and seconds[-1] < 5
        assert services.downloads.get("tiny/llama").state == "cancelled"
        assert services.downloads.waiting() == [], "reconcile would start it again"
    kept = {path.name: path.stat().st_size for path in services.settings.models_dir.glob("hub/tiny--llama/*/*")}
    assert "config.json" in kept and "studio.json" not in kept
    hub.bytes_per_second = None
    hub.requests.clear()
    assert fetch(services, "tiny/llama").state == "finished"
    assert not hub.gets("config.json"), "what had arrived is fetched again"
    record("F8 download", bytes_per_second=bytes_per_second, cancels=times, slowest_seconds=round(max(seconds), 2), started_again=0)


def test_a_download_that_has_ended_stays_as_it_ended(services, hub):
    assert fetch(services, "tiny/llama").state == "finished"
    assert services.downloads.cancel("tiny/llama").state == "finished"
    assert fetch(services, "tiny/nobody").state == "failed"
    assert services.downloads.cancel("tiny/nobody").state == "failed"


def test_a_transfer_that_was_cancelled_cannot_touch_the_one_that_was_asked_for_after_it(services):
    services.downloads.ask("tiny/llama")
    old = services.downloads.claim("tiny/llama")
    services.downloads.cancel("tiny/llama")
    assert not services.downloads.progress(old, state="finished")
    services.downloads.ask("tiny/llama")
    assert services.downloads.claim("tiny/llama") and not services.downloads.progress(old, state="finished")
    assert services.downloads.get("tiny/llama").state == "running"
