"""The process beside the worker, spoken to over its socket as the page does."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest
from starlette.testclient import TestClient

from jobs.playground.client import PlaygroundClient
from jobs.playground.launch import start_playground
from jobs.playground.problems import PlaygroundLost, PlaygroundMissing, RequestInvalid
from jobs.playground.request import BaseChoice, GenerateRequest, GenerationSettings, read_request, read_settings
from jobs.playground.server import Playground
from storage.settings import StudioSettings


@pytest.fixture(scope="module")
def playground(tmp_path_factory):
    """A real process, started as a worker starts it."""
    settings = StudioSettings.from_env({"STUDIO_HOME": str(tmp_path_factory.mktemp("home")), "STUDIO_DEVICES": "cpu"})
    process = start_playground(settings)
    yield settings, process
    process.terminate()
    process.wait(10)
    assert not settings.playground_socket.exists()


@pytest.fixture
def client(playground):
    return PlaygroundClient(playground[0].playground_socket)


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def test_the_state_is_told_before_torch_is_imported(client, playground):
    state = client.state()
    assert state["ready"] is False and state["base"] is None
    assert 0 < state["memory_bytes"] < 200e6
    assert stat.S_IMODE(os.stat(playground[0].playground_socket).st_mode) == 0o600


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


def test_closing_the_connection_stops_the_generation(client, ask, adapter_folders):
    events = client.generate(ask({"base": None, **adapter_folders}, max_new_tokens=200, temperature=2))
    for event in events:
        if "pane" in event:
            break
    events.close()
    wait_until(lambda: client.state()["waiting"] == 0, seconds=3)


def test_a_second_request_waits_its_turn_and_is_told_so(client, ask, adapter_folders):
    long = ask({"base": None, **adapter_folders}, max_new_tokens=200, temperature=2)
    first = client.generate(long)
    next(event for event in first if "pane" in event)
    seen = []
    second = threading.Thread(target=lambda: seen.extend(client.generate(ask({"base": None}, max_new_tokens=2))))
    second.start()
    wait_until(lambda: client.state()["waiting"] == 2, seconds=5)
    first.close()
    second.join(10)
    assert seen[0] == {"waiting": True, "for": "turn"}
    assert seen[-1]["done"]


def test_a_problem_comes_back_as_a_sentence_for_its_pane(client, ask, tmp_path):
    events = list(client.generate(ask({"base": None, "gone": tmp_path / "gone"}, max_new_tokens=2)))
    problems = [event for event in events if "problem" in event]
    assert [problem["pane"] for problem in problems] == ["gone"] and "does not exist" in problems[0]["problem"]
    missing = GenerateRequest(base_path=tmp_path / "nothing", base_name="nothing", prompt="Ahoy",
                              panes=[{"name": "a"}, {"name": "b", "adapter_folder": tmp_path}])
    events = list(client.generate(missing))
    assert {event["pane"] for event in events} == {"a", "b"} and all("does not exist" in event["problem"] for event in events)


def test_a_base_is_loaded_ahead_of_the_first_prompt(client, encoder_folder):
    client.load(BaseChoice(base_path=encoder_folder, base_name="bert", task="text-classification"))
    wait_until(lambda: (client.state()["base"] or {}).get("name") == "bert")


def test_without_a_process_the_person_is_told_to_start_a_worker(tmp_path):
    client = PlaygroundClient(tmp_path / "nobody.sock", start_seconds=0.2)
    with pytest.raises(PlaygroundMissing, match="Start a worker"):
        client.state()


def test_a_process_that_dies_in_the_middle_is_a_problem_with_a_sentence(ask, tmp_path):
    process = start(tmp_path)
    client = PlaygroundClient(tmp_path / "p.sock")
    events = client.generate(ask({"base": None}, max_new_tokens=200))
    next(events)  # it waits while torch is imported
    process.kill()
    with pytest.raises(PlaygroundLost, match="ended before"):
        list(events)
    process.wait()


def start(folder, *options):
    return subprocess.Popen([sys.executable, "-m", "jobs.playground.server", "--socket", str(folder / "p.sock"),
                             "--device", "cpu", *options])


def test_it_ends_with_its_parent(tmp_path):
    """The parent here is a shell that is killed without a chance to tidy up."""
    script = (f"{sys.executable} -m jobs.playground.server --socket {tmp_path / 'p.sock'} --device cpu --parent-pid $$ & "
              "echo $!; wait")
    parent = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    PlaygroundClient(tmp_path / "p.sock", start_seconds=20).state()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not (tmp_path / "p.sock").exists(), seconds=5)
    wait_until(lambda: not alive(child), seconds=5)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as status:
            return status.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_new_process_takes_over_the_socket_of_a_killed_one(tmp_path):
    first = start(tmp_path)
    client = PlaygroundClient(tmp_path / "p.sock", start_seconds=20)
    client.state()
    first.kill()
    first.wait()
    second = start(tmp_path)
    assert client.state()["base"] is None
    second.terminate()
    assert second.wait(10) == 0


def test_an_idle_process_frees_the_base_model(base_folder):
    with TestClient(Playground("cpu", idle_seconds=0.5).app) as client:
        client.post("/load", json={"base_path": str(base_folder), "base_name": "tiny"})
        wait_until(lambda: client.get("/state").json()["base"])
        wait_until(lambda: not client.get("/state").json()["base"], seconds=5)


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
