"""The process beside the worker, spoken to over its socket as the page does."""

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
import time

import pytest
from starlette.testclient import TestClient

from jobs.playground.client import PlaygroundClient, process_file
from jobs.playground.launch import PlaygroundHost
from jobs.playground.problems import PlaygroundLost, PlaygroundMissing, RequestInvalid
from jobs.playground.request import (
    BaseChoice,
    BlendRequest,
    ChangesRequest,
    GenerateRequest,
    GenerationSettings,
    MergeRequest,
    read_request,
    read_settings,
)
from jobs.playground.server import Playground
from storage.settings import StudioSettings


def settings_in(home):
    return StudioSettings.from_env({"STUDIO_HOME": str(home), "STUDIO_DEVICES": "cpu"})


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """Holds the socket as a worker does; the process is a real one."""
    host = PlaygroundHost(settings_in(tmp_path_factory.mktemp("home")), rest_seconds=1)
    host.start()
    yield host
    host.end()
    assert not host.settings.playground_socket.exists()
    assert host.process.returncode == 0


@pytest.fixture
def client(host):
    return PlaygroundClient(host.settings.playground_socket)


@pytest.fixture
def long_answers(ask, base_folder, tmp_path):
    """Make a request whose answers take so long that a stop always comes before their end."""
    folder = shutil.copytree(base_folder, tmp_path / "talks-long")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4096}))

    def make(panes):
        return ask(panes, max_new_tokens=2048, temperature=0).model_copy(update={"id": "mine", "base_path": folder})

    return make


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def test_nothing_runs_until_somebody_asks_and_the_state_is_told_before_torch_is_imported(client, host):
    time.sleep(0.1)
    assert host.process is None and not client.runs()
    state = client.state()
    assert client.runs() and host.process.poll() is None
    assert state["ready"] is False and state["base"] is None
    assert 0 < state["memory_bytes"] < 200e6
    assert stat.S_IMODE(os.stat(host.settings.playground_socket).st_mode) == 0o600


def test_answers_stream_over_the_socket(client, ask, adapter_folders):
    events = list(client.generate(ask({"base": None, **adapter_folders}, max_new_tokens=20, temperature=0.8)))
    final = {event["pane"]: event for event in events if "done" in event}
    assert set(final) == {"base", *adapter_folders}
    for name in final:
        assert "".join(e["text"] for e in events if e.get("pane") == name and "done" not in e) == final[name]["text"]
    state = client.state()
    assert state["base"]["name"] == "tiny" and state["base"]["bytes"] > 0
    assert {adapter["folder"] for adapter in state["adapters"]} == {str(folder) for folder in adapter_folders.values()}
    assert state["memory_bytes"] > state["base"]["bytes"]


def test_closing_the_connection_stops_the_generation(client, long_answers, adapter_folders):
    events = client.generate(long_answers({"base": None, **adapter_folders}))
    next(event for event in events if "pane" in event)
    events.close()
    wait_until(lambda: client.state()["waiting"] == 0, seconds=15)  # whole answers take longer, on a slower machine still more


def test_one_pane_stops_when_asked_and_the_others_go_on(client, long_answers, adapter_folders):
    ends, asked, went_on = {}, False, set()
    for event in client.generate(long_answers({"base": None, **adapter_folders})):
        if "text" in event and not asked:
            asked = True
            client.stop("mine", "lora")
            client.stop("mine", "ia3")
        if event.get("done"):
            ends[event["pane"]] = event
        elif {"lora", "ia3"} <= ends.keys() and "text" in event and not went_on >= {"base", "prompt"}:
            went_on.add(event["pane"])
            if went_on == {"base", "prompt"}:
                client.stop("mine")
    assert went_on == {"base", "prompt"}
    assert {end["finish_reason"] for end in ends.values()} == {"cancelled"} and len(ends) == 4
    assert (ends["base"]["together"], ends["lora"]["together"], ends["ia3"]["together"]) == (2, 2, 1)
    assert max(ends["lora"]["tokens"], ends["ia3"]["tokens"]) < min(ends["base"]["tokens"], ends["prompt"]["tokens"])
    client.stop("mine")  # it has ended, and so this is nothing


def test_changes_blends_and_merged_models_are_asked_for_over_the_socket(client, base_folder, adapter_folders, tmp_path):
    base = {"base_path": base_folder, "base_name": "tiny"}
    asked = ChangesRequest(**base, adapter_folder=adapter_folders["lora"], text="Ahoy there")
    assert [token["id"] for token in client.changes(asked)] and client.change_map(asked)["by"] == "weights"
    blend = {"parts": [{"adapter_folder": adapter_folders["lora"], "weight": 0.5}]}
    assert (client.save_blend(BlendRequest(**base, blend=blend, target=tmp_path / "mixed")) / "adapter_config.json").exists()
    assert (client.merge(MergeRequest(**base, blend=blend, target=tmp_path / "whole")) / "config.json").exists()
    with pytest.raises(RequestInvalid, match="is IA3, and only LoRA adapters can be added up"):
        client.save_blend(BlendRequest(**base, target=tmp_path / "no", blend={"parts": [
            {"adapter_folder": adapter_folders[name]} for name in ("lora", "ia3")]}))


def test_a_second_request_waits_its_turn_and_is_told_so(client, ask, long_answers, adapter_folders):
    first = client.generate(long_answers({"base": None, **adapter_folders}))
    next(event for event in first if "pane" in event)
    seen = []
    second = threading.Thread(target=lambda: seen.extend(client.generate(ask({"base": None}, max_new_tokens=2))))
    second.start()
    wait_until(lambda: client.state()["waiting"] == 2)
    first.close()
    second.join()
    assert seen[0] == {"waiting": True, "for": "turn"}
    assert seen[-1]["done"]


def test_a_problem_comes_back_as_a_sentence_for_its_pane(client, ask, tmp_path):
    events = list(client.generate(ask({"base": None, "gone": tmp_path / "gone"}, max_new_tokens=2)))
    problems = [event for event in events if "problem" in event]
    assert [problem["pane"] for problem in problems] == ["gone"] and "does not exist" in problems[0]["problem"]
    missing = GenerateRequest(base_path=tmp_path / "nothing", base_name="nothing", prompt="Ahoy",
                              panes=[{"name": "a"}, {"name": "b", "adapter_folder": tmp_path}])
    events = [event for event in client.generate(missing) if "pane" in event]  # it may say that it is loading
    assert {event["pane"] for event in events} == {"a", "b"} and all("does not exist" in event["problem"] for event in events)


def test_a_base_is_loaded_ahead_of_the_first_prompt(client, encoder_folder):
    client.load(BaseChoice(base_path=encoder_folder, base_name="bert", task="text-classification"))
    wait_until(lambda: (client.state()["base"] or {}).get("name") == "bert")


def test_adapters_are_loaded_ahead_too_and_a_missing_one_is_told_by_the_prompt(client, base_folder, adapter_folders, tmp_path):
    client.load(BaseChoice(base_path=base_folder, base_name="tiny"), [tmp_path / "gone", *adapter_folders.values()])
    wait_until(lambda: {adapter["folder"] for adapter in client.state()["adapters"]} == {
        str(folder) for folder in adapter_folders.values()})


def test_without_a_process_the_person_is_told_to_start_a_worker(tmp_path):
    client = PlaygroundClient(tmp_path / "nobody.sock", start_seconds=0.2)
    with pytest.raises(PlaygroundMissing, match="Start a worker"):
        client.state()


def test_a_process_that_dies_is_a_problem_with_a_sentence_and_the_next_request_starts_it_again(ask, client, host):
    events = client.generate(ask({"base": None}, max_new_tokens=250, temperature=2))
    next(events)
    first = host.process
    first.kill()
    with pytest.raises(PlaygroundLost, match="ended before"):
        list(events)
    assert client.state()["base"] is None and client.runs()
    assert host.process is not first


def test_another_worker_of_the_same_home_takes_over_when_the_first_has_gone(tmp_path):
    first, second = PlaygroundHost(settings_in(tmp_path)), PlaygroundHost(settings_in(tmp_path))
    first.start()
    second.start()
    assert first.listener and not second.listener
    first.end()
    wait_until(lambda: second.listener)
    assert second.settings.playground_socket.exists()
    second.end()


def test_it_ends_with_its_parent(tmp_path):
    """The parent here is killed without a chance to tidy up."""
    script = ("import sys, time; from pathlib import Path; from jobs.playground.launch import PlaygroundHost; "
              "from storage.settings import StudioSettings; "
              "host = PlaygroundHost(StudioSettings.from_env({'STUDIO_HOME': sys.argv[1], 'STUDIO_DEVICES': 'cpu'})); "
              "host.start(); time.sleep(60)")
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    client = PlaygroundClient(settings_in(tmp_path).playground_socket, start_seconds=20)
    client.state()
    child = json.loads(process_file(client.socket).read_text())["pid"]
    parent.kill()
    parent.wait()
    wait_until(lambda: not alive(child))
    assert not client.runs()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as status:
            return status.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_an_idle_process_frees_the_base_model_and_then_ends(base_folder):
    playground, ended = Playground("cpu", idle_seconds=0.5), threading.Event()
    playground.on_idle = ended.set
    with TestClient(playground.app) as client:
        client.post("/load", json={"base_path": str(base_folder), "base_name": "tiny"})
        wait_until(lambda: client.get("/state").json()["base"])
        wait_until(lambda: not client.get("/state").json()["base"])
        assert ended.wait(60)


def test_every_setting_explains_itself():
    for field in GenerationSettings.model_fields.values():
        assert field.title and field.description


@pytest.mark.parametrize(("values", "sentence"), [
    ({"temperature": 3}, "temperature is 3"),
    ({"max_new_tokens": 0}, "max_new_tokens is 0"),
    ({"sed": 1}, "Did you mean 'seed'?"),
])
def test_wrong_settings_are_named(values, sentence):
    with pytest.raises(RequestInvalid) as problem:
        read_settings(values)
    assert sentence in str(problem.value)


def test_a_request_needs_a_prompt_and_panes_that_differ():
    with pytest.raises(RequestInvalid, match="Write a prompt"):
        read_request({"base_path": "x", "base_name": "x", "panes": [{"name": "a"}], "prompt": " "})
    with pytest.raises(RequestInvalid, match="same name"):
        read_request({"base_path": "x", "base_name": "x", "panes": [{"name": "a"}, {"name": "a"}], "prompt": "Ahoy"})
    with pytest.raises(RequestInvalid, match="same model"):
        read_request({"base_path": "x", "base_name": "x", "panes": [{"name": "a"}, {"name": "b"}], "prompt": "Ahoy"})


def test_pages_can_speak_to_it_without_importing_torch():
    code = ("import sys, jobs.playground.client, jobs.playground.launch, jobs.playground.request;"
            "sys.exit(bool({'torch', 'transformers', 'peft'} & set(sys.modules)))")
    subprocess.run([sys.executable, "-c", code], check=True)
