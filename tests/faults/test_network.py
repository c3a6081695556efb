"""F17: the network goes away at the n-th byte of a download and of a push, or the Hub is busy, faulty or silent."""

import hashlib
import logging
import time
from itertools import count
from types import SimpleNamespace

import pytest

from jobs.downloads import download_base_model
from jobs.models.hub import download, read_record
from jobs.models.hub_push import push_adapter
from jobs.models.problems import HubTokenMalformed, HubUnreachable
from tests.adapters import publish_adapter
from tests.faults.proxy import FailingNetwork
from tests.faults.record import full, record
from tests.hub_server import Fault, HubServer

MODEL = "tiny/llama"
TOKEN = "hf_Secret0123456789"
AT_ONCE = (0.01,) * 4
PUSH_REQUESTS = 8  # create, look, card, preupload, batch, upload, verify, commit
LAST_BYTES = 2  # drops that may find a transfer over before them, since not all of them have the same number of bytes
WAYS = (Fault(), Fault(acts=True), Fault(status=429), Fault(status=500))


@pytest.fixture
def hub(tiny_llama, monkeypatch):
    from huggingface_hub.utils import _http

    with HubServer({MODEL: tiny_llama}, tokens=[TOKEN]) as hub:
        # its own waits between the tries of an upload, a second and more, would be all that a sweep spends its time on
        monkeypatch.setattr(_http, "time", SimpleNamespace(**vars(time) | {"sleep": lambda seconds: time.sleep(0.01)}))
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield hub


def spread(total: int, few: int, many: int) -> list[int]:
    """Byte numbers over the whole transfer, its first and its last among them."""
    steps = many if full() else few
    return sorted({1 + (total - 1) * step // (steps - 1) for step in range(steps)})


def whole(folder, source) -> bool:
    """Whether the folder is a finished download of the source: its record, and every file by size and hash."""
    found = read_record(folder)
    for name, entry in found.files.items():
        content = (folder / name).read_bytes()
        assert entry == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        assert content == (source / name).read_bytes()
    return "model.safetensors" in found.files and not list(folder.glob("*.part"))


def test_a_download_that_the_network_drops_at_any_byte_ends_whole(hub, tiny_llama, tmp_path, monkeypatch):
    def fetch(network, name):
        monkeypatch.setenv("HF_ENDPOINT", network.url)
        return download(MODEL, tmp_path / name, keep_free=0, retry_waits=AT_ONCE)

    with FailingNetwork(hub.port) as network:
        assert whole(fetch(network, "undisturbed"), tiny_llama)
        total = network.carried
    drops, dropped, later = spread(total, 12, 200), 0, 0
    for drop_at in drops:
        with FailingNetwork(hub.port, drop_at) as network:
            assert whole(fetch(network, f"short-{drop_at}"), tiny_llama), f"dropped at byte {drop_at}"
            dropped += network.dropped
        with FailingNetwork(hub.port, drop_at, for_good=True) as network:
            try:
                folder = fetch(network, f"long-{drop_at}")  # what is dropped after the last byte of content hurts nobody
            except HubUnreachable as problem:
                assert "cannot be reached" in str(problem)
                assert not list((tmp_path / f"long-{drop_at}").glob("hub/*/*/studio.json"))
                network.mend()
                folder, later = fetch(network, f"long-{drop_at}"), later + 1
            assert whole(folder, tiny_llama), f"dropped for good at byte {drop_at}"
            dropped += network.dropped
    resumed = [request for request in hub.requests if request.status == 206]
    assert resumed and later >= len(drops) - LAST_BYTES and dropped >= 2 * (len(drops) - LAST_BYTES)
    record("F17 download", bytes=total, transfers=2 * len(drops), drops=dropped, resumed=len(resumed), whole=2 * len(drops))


def test_a_push_that_the_network_drops_at_any_byte_commits_once(hub, services, monkeypatch):
    run_id = publish_adapter(services)

    def push(network, name):
        monkeypatch.setenv("HF_ENDPOINT", network.url)
        hub.large.clear()
        push_adapter(services, run_id, name, TOKEN, retry_waits=AT_ONCE)

    with FailingNetwork(hub.port) as network:
        push(network, "me/drop-nowhere")
        total = network.carried
    drops, dropped = spread(total, 10, 150), 0
    for drop_at in drops:
        name = f"me/drop-{drop_at:07}"
        with FailingNetwork(hub.port, drop_at) as network:
            push(network, name)
            dropped += network.dropped
        assert len(hub.commits[name]) == 1 and pushed(hub, services, run_id, name), f"dropped at byte {drop_at}"
    assert dropped >= len(drops) - LAST_BYTES
    record("F17 push", bytes=total, transfers=len(drops), drops=dropped, committed_once=len(drops))


def pushed(hub, services, run_id, name) -> bool:
    there, adapter = hub.files(f"{name}@main"), services.adapters.get(run_id)
    return all(hashlib.sha256(there[file["name"]].read_bytes()).hexdigest() == file["sha256"] for file in adapter.files)


def test_a_push_commits_once_whatever_happens_to_any_of_its_requests(hub, services):
    run_id, names = publish_adapter(services), count()
    for fault in WAYS:
        for number in range(PUSH_REQUESTS):
            name = f"me/fault-{next(names)}"
            hub.large.clear()
            hub.count_anew()
            hub.faults = {number: fault}
            push_adapter(services, run_id, name, TOKEN, retry_waits=AT_ONCE)
            assert len(hub.commits[name]) == 1 and pushed(hub, services, run_id, name), f"{fault} at request {number}"
    record("F17 push, each request", faults=len(hub.commits), committed_once=len(hub.commits))


def test_a_download_goes_on_after_a_fault_at_any_of_its_requests(hub, tiny_llama, tmp_path):
    tried = 0
    for fault in WAYS:
        for number in count():
            hub.count_anew()
            hub.faults = {number: fault}
            hub.requests.clear()
            folder = download(MODEL, tmp_path / str(tried), keep_free=0, retry_waits=AT_ONCE)
            assert whole(folder, tiny_llama), f"{fault} at request {number}"
            tried += 1
            if len(hub.requests) <= number:
                break  # there was no such request, so each had its turn
    assert tried > 4 * len(WAYS)
    record("F17 download, each request", faults=tried - len(WAYS), whole=tried - len(WAYS))


@pytest.mark.parametrize("acts", [False, True])
def test_a_silent_hub_is_noticed_by_a_push_which_still_commits_once(hub, services, acts):
    run_id = publish_adapter(services)
    for number in range(PUSH_REQUESTS) if full() else (1, PUSH_REQUESTS - 1):
        name = f"me/silent-{number}"
        hub.large.clear()
        hub.count_anew()
        hub.faults = {number: Fault(stall=30, acts=acts)}
        began = time.monotonic()
        push_adapter(services, run_id, name, TOKEN, retry_waits=AT_ONCE, stall_seconds=0.5)
        assert 0.5 <= time.monotonic() - began < 10
        assert len(hub.commits[name]) == 1 and pushed(hub, services, run_id, name)


def test_a_silent_hub_is_noticed_by_a_download_in_the_middle_of_a_file(hub, tiny_llama, tmp_path):
    hub.bytes_per_second = 500  # half a minute between two blocks
    with pytest.raises(HubUnreachable, match="timed out"):
        download(MODEL, tmp_path, keep_free=0, retry_waits=(), stall_seconds=0.5)
    hub.bytes_per_second = None
    hub.faults = {number: Fault(stall=30) for number in (hub.count_anew() or 0, 2)}
    assert whole(download(MODEL, tmp_path, keep_free=0, retry_waits=AT_ONCE, stall_seconds=0.5), tiny_llama)


def test_the_token_is_in_nothing_that_is_written(hub, services, monkeypatch, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    run_id, said = publish_adapter(services), []
    for number, fault in enumerate(WAYS):
        hub.count_anew()
        hub.faults = {number: fault, number + PUSH_REQUESTS: fault}
        services.downloads.ask(MODEL)
        download_base_model(services, MODEL, SimpleNamespace(is_set=lambda: False))
        push_adapter(services, run_id, f"me/told-{number}", TOKEN, retry_waits=AT_ONCE)
    hub.faults, hub.fail_with = {}, 403
    services.downloads.ask("tiny/refused")
    download_base_model(services, "tiny/refused", SimpleNamespace(is_set=lambda: False))
    said.append(services.downloads.get("tiny/refused").problem)
    hub.fail_with = None
    monkeypatch.setenv("HF_TOKEN", f"{TOKEN}\n{TOKEN}")  # httpx2 would quote it in its refusal of the header
    services.downloads.ask("tiny/malformed")
    download_base_model(services, "tiny/malformed", SimpleNamespace(is_set=lambda: False))
    said.append(services.downloads.get("tiny/malformed").problem)
    with pytest.raises(HubTokenMalformed) as refused:
        push_adapter(services, run_id, "me/malformed", f"{TOKEN}\n{TOKEN}")
    said.append(str(refused.value))

    assert all(said) and any(request.authorization == f"Bearer {TOKEN}" for request in hub.requests)
    assert caplog.text, "nothing was logged, so nothing was looked at"
    written = [caplog.text, *capfd.readouterr(), *said]
    files = [path for path in services.settings.home.rglob("*") if path.is_file()]
    assert not [text for text in written if TOKEN in text]
    assert files and not [path for path in files if TOKEN.encode() in path.read_bytes()]
    record("F17 token", files=len(files), log_lines=len(caplog.records), found=0)
