"""A type that somebody registers with PEFT appears in the studio and trains there, without a change in the studio."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

OWN = Path(__file__).resolve().parents[2] / "own_methods"
LOOK_AND_ASK = """
import json, sys
import gradio as gr
from fastapi.testclient import TestClient
from jobs.compare import generate_answers
from jobs.methods import METHODS, describe
from jobs.services import open_services
from storage.settings import StudioSettings
from studio.method_fields import MethodFields
from studio.web import create_web_app
assert "torch" not in sys.modules
services = open_services(StudioSettings.from_env())
page = TestClient(create_web_app(services), base_url="http://127.0.0.1:7860").get("/config").json()
with gr.Blocks():
    fields = MethodFields()
    fields.build_shown("lora")
    fields.build_folded("lora")
fields = [field for field in fields.fill("nudge", {"push": 4.0}).values() if isinstance(field, dict)]
answers = generate_answers(services, sys.argv[1], [sys.argv[2]], "Say apple", {"max_new_tokens": 4})
[choices] = [part["props"]["choices"] for part in page["components"] if part["props"].get("elem_id") == "all-methods"]
pushes = [field for field in fields if field.get("label") == "Push"]
print(json.dumps({"described": describe(METHODS["nudge"]), "choices": choices, "pushes": pushes, "answers": answers}))
"""


@pytest.fixture
def run(tmp_path):
    def run(*command: str) -> dict:
        environ = {**os.environ, "STUDIO_HOME": str(tmp_path / "home"), "STUDIO_METHOD_MODULES": "nudge",
                   "PYTHONPATH": os.pathsep.join([str(OWN), str(ROOT)])}
        done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])
    return run


def test_a_new_type_appears_in_the_form_and_trains(run, tiny_llama, chats, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({
        "name": "nudged", "base_model": str(tiny_llama), "dataset": {"source": str(chats)}, "method": "nudge",
        "method_settings": {"push": 4.0}, "training": {"max_steps": 6, "learning_rate": 5e-2}}))
    summary = run("app.py", "train", str(recipe), "--json")
    assert summary["status"] == "finished" and summary["metrics"]["eval_loss"] < summary["metrics"]["eval_loss_before"]
    config = json.loads((Path(summary["adapter_dir"]) / "adapter_config.json").read_text())
    assert (config["peft_type"], config["push"]) == ("NUDGE", 4.0)

    seen = run("-c", LOOK_AND_ASK, str(tiny_llama), summary["run_id"])
    described = seen["described"]
    assert described["peft_type"] == "NUDGE" and "Nudges what layers give up or down." in described["summary"]
    assert described["settings"]["push"]["description"] == "How hard each output is pushed."
    assert described["capabilities"]["merge"] is None, "nobody has tried it"
    assert "nudge" in [name for _, name in seen["choices"]]
    [push] = seen["pushes"]
    assert push["value"] == 4.0 and push["visible"] and "How hard each output is pushed." in push["info"]
    base, adapter = seen["answers"]
    assert "problem" not in adapter and adapter["tokens"] > 0
