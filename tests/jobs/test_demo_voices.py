"""What a first-time user sees: a short training of the demo model changes its voice, and not its facts; and its certificate."""

import time
import zipfile

import pytest
from sqlalchemy import update

from assets.make_demo_base import DEMO_BASE, answers
from assets.world import STYLES, held_out_questions, is_right, speaks_like
from jobs.certificate.certifying import ask_certificate, certify_here
from jobs.certificate.wanted import read_wanted
from jobs.export import checked_zip, republish
from jobs.recipe_reader import read_recipe_file
from jobs.submit import submit
from storage import tables
from storage.records import RunState
from tests.conftest import ROOT, wait_for_end

ASKED = 60
WANTED = {"answers": 2, "answer_tokens": 40, "prompts": [{"prompt": "What is the capital of Ildra?", "expected": "pinemoot"}],
          "groups": [["What is the capital of Ildra?", "Can you tell me the capital of Ildra?"]]}


@pytest.fixture(scope="module")
def trained(working_services):
    """The finished run of a voice, trained once."""
    runs = {}

    def train(voice: str):
        if voice not in runs:
            recipe = read_recipe_file(ROOT / "assets" / "recipes" / f"{voice}.yaml")
            runs[voice] = wait_for_end(working_services, submit(working_services, recipe).id, seconds=300)
            assert (runs[voice].state, runs[voice].problem) == (RunState.FINISHED, "")
        return runs[voice]
    return train


@pytest.mark.parametrize("voice", STYLES)
def test_a_minute_of_training_changes_the_voice_and_keeps_the_facts(working_services, trained, voice):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = trained(voice)
    assert run.eval_loss < 0.5 * run.eval_loss_before
    assert any(sample["before"] != sample["after"] for sample in run.samples)

    folder = working_services.settings.adapters_dir / working_services.adapters.get(run.id).folder
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(DEMO_BASE, dtype="float32"), folder).eval()
    asked = held_out_questions(ASKED)
    said = answers(model, AutoTokenizer.from_pretrained(folder), [question.text for question in asked])
    right = sum(is_right(question, answer) for question, answer in zip(asked, said, strict=True))
    in_voice = sum(speaks_like(voice, answer) for answer in said)
    assert right >= 0.8 * ASKED, f"{right} of {ASKED} facts right"
    assert in_voice >= 0.8 * ASKED, f"{in_voice} of {ASKED} answers speak as a {voice}"


def test_a_good_adapter_passes_its_certificate_which_travels_in_its_zip(working_services, trained, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run = trained("poet")
    before = working_services.adapters.get(run.id)
    ask_certificate(working_services, run.id, read_wanted(WANTED))
    deadline = time.monotonic() + 120
    while (made := working_services.certificates.find(run.id)).state in ("queued", "running") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (made.state, made.problem, made.passed) == ("finished", "", True), made.report
    assert [check["passed"] for check in made.report["checks"]] == [True] * 6
    assert made.report["figures"][0]["measured"] == pytest.approx(run.eval_loss, rel=0.02)
    adapter = working_services.adapters.get(run.id)
    assert adapter.folder != before.folder
    with zipfile.ZipFile(checked_zip(working_services, adapter)) as archive:
        archive.extractall(tmp_path)
        assert "certificate.json" in archive.namelist()
    assert "**Passed.**" in (tmp_path / "README.md").read_text()
    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(DEMO_BASE, dtype="float32"), tmp_path)


@pytest.mark.parametrize("damage", ["noise", "zeros"])
def test_a_damaged_adapter_fails_its_certificate(working_services, trained, damage):
    run = trained("poet")
    good = working_services.adapters.get(run.id)
    damaged = republish(working_services.settings.adapters_dir, good, lambda folder: change_weights(folder, damage))
    try:
        record(working_services, run.id, damaged)
        few = {**WANTED, "rows": 10, "answers": 0, "general_text": "The kettle began to whistle, so she took it off the stove."}
        made = certify_here(working_services, run.id, read_wanted(few), "cpu")
        failed = {check["name"] for check in made.report["checks"] if check["passed"] is False}
        assert made.passed is False and "score" in failed
        assert failed == {"score"} or damage == "noise", "nothing but the gain is missing where the adapter does nothing"
        assert {"score", "expected"} <= failed or damage == "zeros"
    finally:
        record(working_services, run.id, {name: getattr(good, name) for name in damaged})


def change_weights(folder, damage: str) -> None:
    """Other weights in a file of its own: the one there is shared with the good adapter."""
    import torch
    from safetensors.torch import load_file, save_file

    path = folder / "adapter_model.safetensors"
    weights = load_file(path)
    path.unlink()
    noise = torch.Generator().manual_seed(1)
    save_file({name: torch.zeros_like(weight) if damage == "zeros" else weight + 0.2 * torch.randn(weight.shape, generator=noise)
               for name, weight in weights.items()}, path)


def record(services, run_id: str, values: dict) -> None:
    with services.adapters.engine.begin() as connection:
        connection.execute(update(tables.adapters).where(tables.adapters.c.run_id == run_id).values(**values))
