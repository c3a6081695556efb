"""The command line, as a person or a script types it."""

import csv
import json
import os
import subprocess
import sys
import zipfile

import pytest
import yaml

from storage.problems import RecipeInvalid
from tests.conftest import ROOT

FIXED_NAMES = {
    "run_id", "status", "problem", "attempts", "adapter_dir", "adapter_zip", "peak_memory_bytes", "forecast_memory_bytes",
    "checkpoint_bytes", "trainable_parameters", "total_parameters", "seconds_to_first_step", "train_seconds",
    "tokens_per_second", "metrics"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("command-line")


@pytest.fixture(scope="module")
def studio(home):
    def studio(*arguments, code: int = 0) -> subprocess.CompletedProcess:
        done = subprocess.run([sys.executable, str(ROOT / "app.py"), *map(str, arguments)], capture_output=True, text=True,
                              cwd=home, env={**os.environ, "STUDIO_HOME": str(home / "studio"), "COLUMNS": "200"}, timeout=300)
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done
    return studio


@pytest.fixture
def here(studio, home, monkeypatch):
    """A command in this process, which has torch already; returns what it printed."""
    from typer.testing import CliRunner

    import app

    monkeypatch.setenv("STUDIO_HOME", str(home / "studio"))

    def run(*arguments, code: int = 0) -> str:
        done = CliRunner().invoke(app.app, list(map(str, arguments)))
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        return done.stdout
    return run


def last_line(done: subprocess.CompletedProcess) -> dict:
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def trained(studio, home, tiny_llama, chats) -> dict:
    recipe = home / "tiny.yaml"
    recipe.write_text(yaml.safe_dump({"base_model": str(tiny_llama), "dataset": {"source": str(chats)},
                                      "training": {"epochs": 1, "learning_rate": 0.01}}))
    return last_line(studio("train", recipe, "--json"))


def test_train_starts_a_worker_for_itself_and_ends_with_the_summary(trained, studio, home):
    assert FIXED_NAMES <= set(trained)
    assert trained["status"] == "finished" and trained["attempts"] == 1
    assert trained["metrics"]["eval_loss"] < trained["metrics"]["eval_loss_before"]
    assert trained["forecast_memory_bytes"] > 0
    assert last_line(studio("runs", "show", trained["run_id"], "--json")) == trained
    assert subprocess.run(["pgrep", "-f", str(home)], capture_output=True).stdout == b"", "the worker it started is left"


def test_runs_lists_what_was_trained(trained, studio):
    assert trained["run_id"] in studio("runs").stdout
    assert last_line(studio("runs", "list", "tiny", "--json"))["runs"][0]["run_id"] == trained["run_id"]


def test_a_finished_run_is_resumed_when_it_is_said_how_far(trained, studio):
    refused = studio("runs", "resume", trained["run_id"], code=2).stderr
    assert f"runs resume {trained['run_id']} --epochs 2" in refused.replace("\n", " ")
    done = studio("runs", "resume", trained["run_id"], "--epochs", 2, "--json")
    resumed = last_line(done)
    assert (resumed["status"], resumed["continues"]) == ("queued", trained["run_id"])
    assert f"Run {resumed['run_id']} continues run {trained['run_id']} from step " in done.stdout
    assert last_line(studio("runs", "cancel", resumed["run_id"], "--json"))["status"] == "cancelled"


def test_generate_answers_with_the_base_first_and_the_same_for_the_same_seed(trained, studio, tiny_llama):
    command = ["generate", "--base", tiny_llama, "--adapter", trained["run_id"], "--prompt", "Say river 1", "--seed", 7,
               "--temperature", 0.8, "--max-new-tokens", 12, "--json"]
    first, second = last_line(studio(*command)), last_line(studio(*command))
    assert [answer["name"] for answer in first["answers"]] == ["tiny-llama", "tiny"]
    assert {"name", "text", "tokens", "seconds"} <= set(first["answers"][0])
    assert [answer["text"] for answer in first["answers"]] == [answer["text"] for answer in second["answers"]]


def test_generate_writes_the_answers_to_a_list_of_prompts(trained, here, home, tiny_llama):
    (home / "prompts.txt").write_text("Say river 1\n\n=1+1\n")
    command = ["generate", "--base", tiny_llama, "--adapter", trained["run_id"], "--prompts", home / "prompts.txt",
               "--max-new-tokens", 4]
    assert json.loads(here(*command, "--to", home / "answers.csv", "--json").splitlines()[-1])["rows"] == 2
    table = list(csv.reader((home / "answers.csv").open()))
    assert [row[0] for row in table] == ["prompt", "Say river 1", "'=1+1"] and table[0][1:] == ["tiny-llama", "tiny"]
    here(*command, "--to", home / "answers.jsonl")
    lines = [json.loads(line) for line in (home / "answers.jsonl").read_text().splitlines()]
    assert [lines[0]["answers"][name] for name in ("tiny-llama", "tiny")] == table[1][1:]


def test_evaluate_says_by_its_end_whether_the_adapter_passes(trained, here, home):
    (home / "wanted.yaml").write_text("answers: 1\nanswer_tokens: 2\nmost_forgetting: 100\nmost_empty: 1\n")
    passed = json.loads(here("evaluate", trained["run_id"], "--wanted", home / "wanted.yaml", "--json").splitlines()[-1])
    assert passed["passed"] is True and passed["checks"][0]["name"] == "score"
    assert "certificate.json" in zipfile.ZipFile(passed["adapter_zip"]).namelist()
    (home / "wanted.yaml").write_text("answers: 0\nanswer_tokens: 2\nprompts: [{prompt: Say lamp, expected: zebra}]\n")
    assert "Expected content" in here("evaluate", trained["run_id"], "--wanted", home / "wanted.yaml", code=1)
    (home / "wanted.yaml").write_text("least_gian: 1\n")
    with pytest.raises(RecipeInvalid, match="Did you mean 'least_gain'"):
        here("evaluate", trained["run_id"], "--wanted", home / "wanted.yaml")


def test_export_writes_the_zip(trained, studio, home):
    target = last_line(studio("export", trained["run_id"], "--json"))["adapter_zip"]
    assert zipfile.ZipFile(home / target).testzip() is None and target == "tiny.zip"


def test_a_queued_run_can_be_cancelled_and_deleted(studio, home, trained):
    run_id = last_line(studio("train", home / "tiny.yaml", "--no-wait", "--json"))["run_id"]
    assert "Cancel it before" in studio("runs", "delete", run_id, code=2).stderr
    assert last_line(studio("runs", "cancel", run_id, "--json"))["status"] == "cancelled"
    assert "runs restore" in studio("runs", "delete", run_id).stdout
    listed = [run["run_id"] for run in last_line(studio("runs", "list", "--json"))["runs"]]
    assert run_id not in listed and trained["run_id"] in listed
    studio("runs", "restore", run_id)
    assert run_id in [run["run_id"] for run in last_line(studio("runs", "list", "--json"))["runs"]]
    studio("runs", "delete", run_id, "--yes", "--for-good")
    assert f"There is no run '{run_id}'" in studio("runs", "show", run_id, code=2).stderr


def test_a_wrong_recipe_is_told_whole_with_exit_code_2_and_nothing_is_queued(studio, home, chats, trained):
    recipe = home / "wrong.yaml"
    recipe.write_text(yaml.safe_dump({"base_model": "demo-bass", "dataset": {"source": "nowhere.csv"}}))
    done = studio("train", recipe, code=2)
    assert "demo-base" in done.stderr and "nowhere.csv" in done.stderr and "Traceback" not in done.stderr
    assert all(run["status"] != "queued" for run in last_line(studio("runs", "--json"))["runs"])


@pytest.mark.parametrize("name, content, said", [
    ("empty.csv", b"", "empty.csv is empty"),
    ("photo.csv", b"\x89PNG\r\n\x1a\n" + bytes(200), "PNG"),
    ("broken.jsonl", b'{"prompt": "a"\n' * 3, "lines 1, 2 and 3"),
    ("blank.csv", b"prompt,completion\n" + b"a question,\n" * 20, "no answer"),
])
def test_bad_data_is_told_in_a_sentence_with_exit_code_2(studio, home, name, content, said):
    (home / name).write_bytes(content)
    done = studio("data", name, code=2)
    assert said in done.stderr.replace("\n", " ") and "Traceback" not in done.stderr


def test_a_broken_line_is_left_out_and_listed(studio, home):
    (home / "broken.jsonl").write_bytes(b'{"prompt": "a", "completion": "b"}\n' * 4311 + b'{"prompt": "a"\n')
    found = last_line(studio("data", "broken.jsonl", "--json"))
    [left_out] = found["left_out"]
    assert (found["rows"], found["kept"], left_out["file"], left_out["line"]) == (4312, 4311, "broken.jsonl", 4312)


def test_data_says_what_it_makes_of_a_file(studio, chats):
    found = last_line(studio("data", chats, "--json"))
    assert (found["format"], found["rows"], found["kept"], found["left_out"]) == ("messages", 40, 40, [])


def test_methods_describes_the_catalogue(studio):
    methods = last_line(studio("methods", "--json"))["methods"]
    assert {"lora", "qlora", "ia3", "prompt-tuning"} <= {method["name"] for method in methods}
    assert all({"name", "family", "peft_type", "settings", "capabilities"} <= set(method) for method in methods)


def test_models_lists_the_shelf(studio):
    assert "demo-base" in [model["name"] for model in last_line(studio("models", "--json"))["models"]]


def test_doctor_finds_this_machine_fit(studio):
    checks = last_line(studio("doctor", "--json"))
    assert checks["ok"], checks


@pytest.mark.parametrize("command", ["serve", "worker", "train", "runs", "data", "methods", "models", "generate", "evaluate",
                                     "export", "doctor"])
def test_every_command_explains_itself(command):
    from typer.testing import CliRunner

    import app

    result = CliRunner().invoke(app.app, [command, "--help"])
    assert result.exit_code == 0 and len(result.output) > 100


def test_a_bad_setting_from_outside_is_a_sentence(home):
    done = subprocess.run([sys.executable, str(ROOT / "app.py"), "runs"], capture_output=True, text=True, cwd=home,
                          env={**os.environ, "STUDIO_PORT": "many"})
    assert done.returncode == 2 and "STUDIO_PORT is 'many'" in done.stderr


def test_the_page_and_the_records_never_import_torch(home):
    code = ("import sys; from storage.settings import StudioSettings; from jobs.services import open_services;"
            "from studio.web import create_web_app; create_web_app(open_services(StudioSettings.from_env()));"
            "import jobs.worker; heavy = {'torch', 'transformers', 'peft', 'datasets', 'trl', 'bitsandbytes'} & set(sys.modules);"
            "sys.exit(f'imported: {heavy}' if heavy else 0)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
                          env={**os.environ, "STUDIO_HOME": str(home / "light")})
    assert done.returncode == 0, done.stderr


def test_what_is_imported_before_a_fork_leaves_the_gpu_alone(home):
    code = ("import jobs.training.preload_safe, sys, torch;"
            "assert not torch.cuda.is_initialized(); assert 'bitsandbytes' not in sys.modules, 'it wakes the driver'")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_every_requirement_is_pinned_exactly():
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text().splitlines():
            assert not line or line.startswith(("#", "-r ")) or "==" in line, line


def test_a_recipe_with_lists_trains_a_sweep_and_ends_with_the_best_first(studio, home, tiny_llama, chats):
    recipe = home / "several.yaml"
    recipe.write_text(yaml.safe_dump({"base_model": str(tiny_llama), "dataset": {"source": str(chats)},
                                      "training": {"max_steps": 2, "learning_rate": [1e-9, "1e-2"]}}))
    queued = last_line(studio("train", recipe, "--no-wait", "--json"))
    assert set(queued) == {"sweep_id", "runs"} and len(queued["runs"]) == 2
    for run_id in queued["runs"]:
        studio("runs", "cancel", run_id)
    done = studio("train", recipe, "--json")
    found = last_line(done)
    losses = [run["metrics"]["eval_loss"] for run in found["runs"]]
    assert losses == sorted(losses) and len(losses) == 2 and all(FIXED_NAMES <= set(run) for run in found["runs"])
    assert found["best"] == found["runs"][0]["run_id"] and found["runs"][0]["tried"]["training.learning_rate"] == 1e-2
    best = next(line for line in done.stdout.splitlines() if line.rstrip().endswith("best"))
    assert found["best"] in best


def test_a_sweep_with_a_wrong_value_says_which_runs_and_queues_nothing(studio, home, tiny_llama, chats):
    recipe = home / "wrong-sweep.yaml"
    recipe.write_text(yaml.safe_dump({"base_model": str(tiny_llama), "dataset": {"source": str(chats)},
                                      "method_settings": {"r": [0, 4]}}))
    done = studio("train", recipe, code=2)
    assert "r is 0. It must be at least 1. (Where it tries r 0.)" in done.stderr.replace("\n", " ")
    assert last_line(studio("runs", "list", "wrong-sweep", "--json"))["runs"] == []
