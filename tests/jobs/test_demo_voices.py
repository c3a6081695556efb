"""What a first-time user sees: a short training of the demo model changes its voice, and not its facts."""

import pytest

from assets.make_demo_base import DEMO_BASE, answers
from assets.world import STYLES, held_out_questions, is_right, speaks_like
from jobs.recipe_reader import read_recipe_file
from jobs.submit import submit
from storage.records import RunState
from tests.conftest import ROOT, wait_for_end

ASKED = 60


@pytest.mark.parametrize("voice", STYLES)
def test_a_minute_of_training_changes_the_voice_and_keeps_the_facts(working_services, voice):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    recipe = read_recipe_file(ROOT / "assets" / "recipes" / f"{voice}.yaml")
    run = wait_for_end(working_services, submit(working_services, recipe).id, seconds=300)
    assert (run.state, run.problem) == (RunState.FINISHED, "")
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
