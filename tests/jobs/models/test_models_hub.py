import hashlib
import json
import os
import struct
import subprocess
import sys
import threading

import pytest

from jobs.models.hub import download, read_record, split_hub_id
from jobs.models.inspect import inspect_base_model
from jobs.models.problems import (
    CodeOfItsOwn,
    DiskFilled,
    DownloadDamaged,
    HubFailed,
    HubIdInvalid,
    HubModelGated,
    HubModelMissing,
    HubOffline,
    HubRevisionMissing,
    HubTokenRefused,
    HubUnreachable,
    NoRoomForModel,
    PickleWeights,
    TokenizerMissing,
    WeightsMissing,
)
from tests.hub_server import HubServer

WEIGHTS = "model.safetensors"


def fetch(models_dir, hub_id="tiny/llama", **options):
    return download(hub_id, models_dir, **{"retry_waits": (), "keep_free": 0, **options})


def partial_weights(models_dir):
    return next(models_dir.glob(f"hub/tiny--llama/*/{WEIGHTS}.part"))


@pytest.fixture
def models_dir(tmp_path):
    return tmp_path / "studio-models"


@pytest.mark.parametrize(
    "text, parts",
    [
        ("org/name", ("org/name", None)),
        ("org/name@v1.0", ("org/name", "v1.0")),
        ("org/name@refs/pr/1", ("org/name", "refs/pr/1")),
        ("Org-1/na_me.v2", ("Org-1/na_me.v2", None)),
        ("../name", None),
        ("org/..", None),
        ("org/na--me", None),
        ("org/na..me", None),
        ("org/name.git", None),
        ("org/name/more", None),
        ("name", None),
        ("org/name@", None),
        ("org/name@../up", None),
        ("org/na me", None),
        ("órg/name", None),
        ("https://huggingface.co/org/name", None),
        ("o/" + "n" * 96, None),
    ],
)
def test_only_a_proper_hub_id_is_one(text, parts):
    assert split_hub_id(text) == parts


def test_a_download_is_pinned_recorded_and_the_model_itself(hub, llama, models_dir):
    told = []
    folder = fetch(models_dir, on_progress=lambda *counts: told.append(counts))
    assert folder == models_dir / "hub" / "tiny--llama" / hub.commit("tiny/llama")
    assert inspect_base_model(folder).parameters == inspect_base_model(llama).parameters
    record = read_record(folder)
    assert (record.hub_id, record.commit, record.revision) == ("tiny/llama", folder.name, None)
    for name, entry in record.files.items():
        content = (folder / name).read_bytes()
        assert content == (llama / name).read_bytes()
        assert entry == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    total = sum(entry["size"] for entry in record.files.values())
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert not list(folder.glob("*.part"))


def test_progress_moves_while_a_slow_file_comes(hub, models_dir):
    hub.bytes_per_second = 600_000
    told = []
    fetch(models_dir, on_progress=lambda *counts: told.append(counts))
    assert len({done for done, _ in told}) >= 4
    assert len({total for _, total in told}) == 1


def test_the_token_never_reaches_the_file_server(hub, models_dir):
    fetch(models_dir, token="hf_good")
    redirected = [request for request in hub.requests if request.path.startswith("/cdn/")]
    assert redirected and all(request.authorization is None for request in redirected)
    assert any(request.authorization == "Bearer hf_good" for request in hub.requests)


def test_the_hub_is_asked_for_the_model_and_told_nothing_else(hub, models_dir, tmp_path):
    script = (
        "import gradio, pathlib; from jobs.models.hub import download; "  # as in the page: gradio brings huggingface_hub
        f"download('tiny/llama', pathlib.Path({str(models_dir)!r}), keep_free=0)"
    )
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "HF_HOME": str(tmp_path / "hf-home")}, check=True)
    assert {request.path.split("/resolve/")[0] for request in hub.requests} == {
        "/api/models/tiny/llama", "/tiny/llama", "/cdn/tiny/llama"
    }  # fmt: skip


def test_a_cut_download_goes_on_where_it_stopped(hub, llama, models_dir):
    small = sum(path.stat().st_size for path in llama.iterdir() if path.name != WEIGHTS)
    hub.cut_after = small + 100_000
    with pytest.raises(HubUnreachable, match="kB are kept"):
        fetch(models_dir)
    kept = partial_weights(models_dir).stat().st_size
    assert 0 < kept <= 100_000
    hub.cut_after, hub.requests[:] = None, []
    told = []
    folder = fetch(models_dir, on_progress=lambda *counts: told.append(counts))
    assert {request.range for request in hub.gets(WEIGHTS)} == {f"bytes={kept}-"}
    assert not hub.gets("tokenizer.json")
    assert told[0][0] >= kept
    assert (folder / WEIGHTS).read_bytes() == (llama / WEIGHTS).read_bytes()


def test_a_short_cut_is_mended_without_anyone_noticing(hub, models_dir, llama):
    hub.cut_after = llama.joinpath("config.json").stat().st_size + 20_000
    threading.Timer(0.3, setattr, (hub, "cut_after", None)).start()
    folder = fetch(models_dir, retry_waits=(0.2, 0.4, 0.8))
    assert (folder / WEIGHTS).read_bytes() == (llama / WEIGHTS).read_bytes()


def test_a_half_download_has_no_record(hub, models_dir):
    hub.cut_after = 100_000
    with pytest.raises(HubUnreachable):
        fetch(models_dir)
    assert read_record(partial_weights(models_dir).parent) is None


def test_an_exception_from_the_progress_callback_ends_the_download_and_keeps_what_came(hub, models_dir):
    hub.bytes_per_second = 600_000

    def stop_early(done, total):
        if done > total / 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(models_dir, on_progress=stop_early)
    assert partial_weights(models_dir).stat().st_size > 0


def test_what_is_here_already_is_not_fetched_again(hub, models_dir):
    folder = fetch(models_dir)
    hub.requests.clear()
    assert fetch(models_dir) == folder
    assert not hub.gets(WEIGHTS)


def test_two_people_who_ask_at_once_get_one_download(hub, models_dir):
    hub.bytes_per_second = 1_000_000
    folders = []
    threads = [threading.Thread(target=lambda: folders.append(fetch(models_dir))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 2 and folders[0] == folders[1]
    assert len([request for request in hub.gets(WEIGHTS) if request.path.startswith("/cdn/")]) == 1


def test_a_revision_is_resolved_to_its_commit(hub, llama, llama_once, models_dir):
    (llama / "README.md").write_text("a newer version")
    hub.models["tiny/llama@v1"] = llama_once
    old, new = fetch(models_dir, "tiny/llama@v1"), fetch(models_dir)
    assert old.name == hub.commit("tiny/llama", "v1") != new.name
    assert read_record(old).revision == "v1"
    assert fetch(models_dir, revision=old.name) == old


def test_only_the_files_that_transformers_needs_are_fetched(hub, llama, models_dir):
    for name in (
        "modeling.py",
        "pytorch_model.bin",
        "consolidated.safetensors",
        "onnx/model.json",
        "studio.json",
        ".x.json",
    ):
        (llama / name).parent.mkdir(exist_ok=True)
        (llama / name).write_text("{}")
    (llama / "LICENSE").write_text("MIT License")
    folder = fetch(models_dir)
    expected = {path.name for path in llama.iterdir()} - {
        "modeling.py", "pytorch_model.bin", "consolidated.safetensors", "onnx", ".x.json"
    }  # fmt: skip
    assert {path.name for path in folder.iterdir()} == expected
    assert read_record(folder).hub_id == "tiny/llama"  # our record, not the repository's


def test_names_that_lead_out_of_the_folder_are_never_fetched(hub, llama, models_dir, monkeypatch):
    names = ["../evil.json", "/evil.json", "a/../../evil.json", "..json", "evil.json\n", "C:\\evil.json"]
    listed = hub.files("tiny/llama@main") | {name: llama / "config.json" for name in names}
    monkeypatch.setattr(hub, "files", lambda key: listed)
    folder = fetch(models_dir)
    assert not set(names) & read_record(folder).files.keys()
    assert not list(models_dir.parent.rglob("*evil*"))


def test_a_sharded_model_comes_with_all_its_shards(hub, sharded, models_dir):
    folder = fetch(models_dir)
    assert {path.name for path in folder.glob("*.safetensors")} == {path.name for path in sharded.glob("*.safetensors")}


def test_pickle_weights_are_refused_before_anything_is_fetched(hub, llama, models_dir):
    (llama / WEIGHTS).rename(llama / "pytorch_model.bin")
    with pytest.raises(PickleWeights, match="'tiny/llama' has its weights only as pytorch_model.bin"):
        fetch(models_dir)
    assert not [request for request in hub.requests if "/resolve/" in request.path]
    assert not list(models_dir.glob("hub/*/*/"))


def test_code_is_refused_before_the_weights_are_fetched(hub, llama, models_dir):
    config = json.loads((llama / "config.json").read_text())
    (llama / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "modeling.Evil"}}))
    with pytest.raises(CodeOfItsOwn, match="'tiny/llama' brings code of its own"):
        fetch(models_dir)
    assert not hub.gets(WEIGHTS)
    assert not list(models_dir.glob("hub/*/*/"))


def test_a_repository_without_weights_a_shard_or_a_tokenizer_is_refused(hub, sharded, models_dir):
    (sharded / "tokenizer.json").rename(sharded / "elsewhere")
    with pytest.raises(TokenizerMissing):
        fetch(models_dir)
    (sharded / "elsewhere").rename(sharded / "tokenizer.json")
    shard = next(sharded.glob("model-*.safetensors"))
    shard.unlink()
    with pytest.raises(WeightsMissing, match=shard.name):
        fetch(models_dir)
    (sharded / "model.safetensors.index.json").unlink()
    with pytest.raises(WeightsMissing):
        fetch(models_dir)


def test_a_model_that_turns_out_damaged_leaves_nothing_behind(hub, llama, models_dir):
    (llama / WEIGHTS).write_bytes(struct.pack("<Q", 2) + b"{}")
    with pytest.raises(WeightsMissing):
        fetch(models_dir)
    assert not list(models_dir.glob("hub/*/*/"))


@pytest.mark.parametrize("name", [WEIGHTS, "tokenizer.json"])
def test_a_file_that_comes_damaged_is_thrown_away_and_fetched_again(hub, models_dir, name):
    hub.damage.add(name)
    with pytest.raises(DownloadDamaged, match=f"{name} of 'tiny/llama' came damaged"):
        fetch(models_dir)
    hub.damage.clear()
    inspect_base_model(fetch(models_dir))


@pytest.mark.parametrize("hub_id", ["gpt2", "../../etc", "a/b/c", "org/name@../x"])
def test_an_id_that_cannot_be_one_is_refused(hub, models_dir, hub_id):
    with pytest.raises(HubIdInvalid, match="looks like org/name"):
        fetch(models_dir, hub_id)
    assert not hub.requests


def test_an_id_that_does_not_exist_says_so(hub, models_dir):
    with pytest.raises(HubModelMissing, match="no model 'tiny/lama'"):
        fetch(models_dir, "tiny/lama")


def test_a_gated_model_says_where_to_accept_its_licence(hub, models_dir):
    hub.gated.add("tiny/llama")
    with pytest.raises(HubModelGated, match=f"licence on {hub.url}/tiny/llama, set HF_TOKEN") as problem:
        fetch(models_dir)
    assert problem.value.kind == "auth_hub"
    with pytest.raises(HubModelGated):
        fetch(models_dir, token="hf_without_access")
    assert fetch(models_dir, token="hf_good")


def test_a_private_model_comes_with_the_token_of_the_environment(hub, models_dir, monkeypatch):
    hub.private.add("tiny/llama")
    with pytest.raises(HubModelMissing, match="or it is private"):
        fetch(models_dir)
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    assert fetch(models_dir)


def test_a_revision_that_does_not_exist_says_so(hub, models_dir):
    with pytest.raises(HubRevisionMissing, match="no revision 'v9'"):
        fetch(models_dir, revision="v9")


@pytest.mark.parametrize("status, problem", [(500, HubFailed), (503, HubFailed), (403, HubTokenRefused)])
def test_a_fault_of_the_server_is_told_with_its_status(hub, models_dir, status, problem):
    hub.fail_with = status
    with pytest.raises(problem, match=str(status)):
        fetch(models_dir)


def test_without_a_network_the_host_is_named(hub, models_dir, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubUnreachable, match=r"http://127\.0\.0\.1:9 cannot be reached.*works offline") as problem:
        fetch(models_dir)
    assert problem.value.kind == "network"


def test_a_server_that_is_no_hub_is_told_apart(hub, models_dir, monkeypatch, llama):
    (llama / "page.html").write_text("<html>Log in to the wireless network</html>")
    monkeypatch.setenv("HF_ENDPOINT", f"{hub.url}/cdn/tiny/llama/resolve/main/page.html#")
    with pytest.raises(HubUnreachable, match="does not speak the Hub's protocol"):
        fetch(models_dir)


def test_offline_mode_asks_nobody(hub, models_dir, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubOffline, match="HF_HUB_OFFLINE"):
        fetch(models_dir)
    assert not hub.requests


def test_a_disk_without_room_is_told_before_the_weights_come(hub, models_dir):
    with pytest.raises(NoRoomForModel, match=r"needs \d+ kB more.*must stay free") as problem:
        fetch(models_dir, keep_free=10**18)
    assert problem.value.kind == "disk_full"
    assert not hub.gets(WEIGHTS)


def test_a_disk_that_fills_up_is_told_and_what_came_is_kept(hub, models_dir):
    folder = models_dir / "hub" / "tiny--llama" / hub.commit("tiny/llama")
    folder.mkdir(parents=True)
    (folder / f"{WEIGHTS}.part").symlink_to("/dev/full")  # every write to it says: no space left on device
    with pytest.raises(DiskFilled, match="became full"):
        fetch(models_dir)
    assert (folder / "tokenizer.json").is_file()


def test_the_server_speaks_to_the_hubs_own_client(hub, llama, tmp_path):
    from huggingface_hub import hf_hub_download

    path = hf_hub_download("tiny/llama", WEIGHTS, endpoint=os.environ["HF_ENDPOINT"], cache_dir=tmp_path / "cache")
    with open(path, "rb") as file:
        assert file.read() == (llama / WEIGHTS).read_bytes()


def test_the_server_can_hold_several_models(llama_once, monkeypatch, models_dir):
    with HubServer({"tiny/open": llama_once, "tiny/gated": llama_once}, gated=["tiny/gated"]) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert fetch(models_dir, "tiny/open")
        with pytest.raises(HubModelGated):
            fetch(models_dir, "tiny/gated")
