"""Pushing an adapter to a Hub on this machine that speaks huggingface_hub's own protocol."""

import json
import os
import subprocess
import sys
import time

import pytest

from jobs.models.hub_push import push_adapter
from jobs.models.problems import (
    HubBusy,
    HubCardRefused,
    HubNameRefused,
    HubOffline,
    HubPushCut,
    HubPushFailed,
    HubPushRefused,
    HubTokenMalformed,
    HubTokenMissing,
)
from storage.problems import ArtefactCorrupt, NotFound
from tests.adapters import publish_adapter
from tests.conftest import ROOT
from tests.hub_server import Fault, HubServer

REPO = "me/my-adapter"
COMMIT = 7  # the number of the request that commits: create, look, card, preupload, batch, upload, verify, commit


@pytest.fixture
def hub(monkeypatch):
    with HubServer({}, tokens=["hf_good", "hf_reader"]) as hub:
        hub.readers.add("hf_reader")
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


@pytest.fixture
def run_id(services):
    return publish_adapter(services)


@pytest.fixture
def push(services, run_id):
    def push(repo_id=REPO, token="hf_good", **options):
        return push_adapter(services, run_id, repo_id, token, **{"retry_waits": (0.01,) * 4, **options})
    return push


def held(hub, services, run_id) -> bool:
    """Whether the repository holds the adapter's files, byte for byte."""
    there, folder = hub.files(f"{REPO}@main"), services.settings.adapters_dir / services.adapters.get(run_id).folder
    return all(there[path.name].read_bytes() == path.read_bytes() for path in folder.iterdir())


def test_an_adapter_arrives_in_one_commit_in_a_private_repository(hub, push, services, run_id):
    assert push() == f"{hub.url}/{REPO}"
    assert hub.commits == {REPO: ["Add the adapter poet"]} and REPO in hub.private
    assert held(hub, services, run_id)


def test_a_public_repository_is_made_on_request(hub, push):
    push(private=False)
    assert hub.commits and not hub.private


def test_the_same_content_is_not_committed_again_and_a_new_one_is(hub, push, services, run_id):
    push()
    hub.requests.clear()
    push()
    assert len(hub.commits[REPO]) == 1 and not [request for request in hub.requests if request.method == "PUT"]
    other = publish_adapter(services)
    push_adapter(services, other, REPO, "hf_good")
    assert len(hub.commits[REPO]) == 2 and held(hub, services, other)


def test_the_token_never_reaches_the_storage_of_large_files(hub, push):
    push()
    uploads = [request for request in hub.requests if request.method == "PUT"]
    assert uploads and all(request.authorization is None for request in uploads)


def test_a_commit_whose_answer_was_lost_is_found_and_not_made_again(hub, push, services, run_id):
    hub.faults = {COMMIT: Fault(acts=True)}
    push()
    assert hub.commits[REPO] == ["Add the adapter poet"] and held(hub, services, run_id)
    commits = [number for number, request in enumerate(hub.requests) if request.path == f"/api/models/{REPO}/commit/main"]
    assert commits == [COMMIT]


def test_a_commit_that_comes_through_late_does_not_add_to_the_one_after_it(hub, push, services, run_id):
    # the first commit is still on its way when we give up on it, look, find nothing and commit again; it lands after that
    hub.faults = {COMMIT: Fault(stall=1, acts=True)}
    push(stall_seconds=0.4)
    deadline = time.monotonic() + 60
    while len(commits := [request for request in hub.requests if request.path == f"/api/models/{REPO}/commit/main"]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert sorted(request.status for request in commits) == [200, 412]
    assert hub.commits[REPO] == ["Add the adapter poet"] and held(hub, services, run_id)


def test_a_busy_hub_is_given_the_time_it_asks_for(hub, push):
    hub.faults = {1: Fault(status=429, retry_after=1), COMMIT: Fault(status=500)}
    push()
    assert len(hub.commits[REPO]) == 1
    hub.faults = {hub.count_anew() or 0: Fault(status=429, retry_after=3600)}
    with pytest.raises(HubBusy, match="Try again in 3600 seconds"):
        push()


@pytest.mark.parametrize("token, problem, said", [
    (None, HubTokenMissing, "set HF_TOKEN"), (" ", HubTokenMissing, "write permission"),
    ("hf_se cret", HubTokenMalformed, "Copy it anew"), ("hf_other", HubPushRefused, "HTTP 401"),
    ("hf_reader", HubPushRefused, "HTTP 403"),
])
def test_a_token_that_may_not_write_says_how_to_get_one_that_may(hub, push, token, problem, said):
    with pytest.raises(problem, match=said) as raised:
        push(token=token)
    assert raised.value.kind == "auth_hub" and "hf_" not in str(raised.value) and not hub.commits


@pytest.mark.parametrize("name", ["my-adapter", "me/my/adapter", "../x", "me/reserved-name"])
def test_a_name_that_cannot_be_one_is_refused(hub, push, name):
    with pytest.raises(HubNameRefused, match="Choose another"):
        push(name)
    assert not hub.commits


def test_a_refused_model_card_says_what_to_do(hub, push):
    hub.card_problem = '"base_model" with value "b" is not valid.'
    with pytest.raises(HubCardRefused, match='"base_model".*upload the folder'):
        push()
    assert hub.commits == {REPO: []}


def test_without_a_network_the_host_is_named_and_trying_again_is_safe(hub, push, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubPushCut, match=r"127\.0\.0\.1:9 cannot be reached.*not committed twice"):
        push()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubOffline):
        push()


def test_a_fault_of_the_hub_that_stays_is_told_with_its_status(hub, push):
    hub.faults = {number: Fault(status=503) for number in range(9)}
    with pytest.raises(HubPushFailed, match="HTTP 503"):
        push()


def test_a_damaged_adapter_and_a_run_without_one_are_not_pushed(hub, push, services, run_id):
    with pytest.raises(NotFound):
        push_adapter(services, "nobody", REPO, "hf_good")
    folder = services.settings.adapters_dir / services.adapters.get(run_id).folder
    (folder / "adapter_model.safetensors").write_bytes(b"\0" * 60_000)
    with pytest.raises(ArtefactCorrupt):
        push()
    assert not hub.requests


def test_the_command_line_pushes_with_the_token_of_the_environment(hub, services, settings, run_id):
    def export(*options, **environment):
        return subprocess.run([sys.executable, str(ROOT / "app.py"), "export", run_id, "--to-hub", REPO, "--json", *options],
                              env={**os.environ, "STUDIO_HOME": str(settings.home), **environment}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)

    refused = export()
    assert refused.returncode == 2 and "set HF_TOKEN" in " ".join(refused.stderr.split())
    done = export("--public", HF_TOKEN="hf_good")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"run_id": run_id, "hub_address": f"{hub.url}/{REPO}"}
    assert held(hub, services, run_id) and not hub.private and "hf_good" not in done.stdout + done.stderr
