"""Real data that nobody here wrote: recognised without a word from anybody, and trained on for one step."""

import pytest

from jobs.data import load_dataset
from jobs.recipe_reader import read_recipe
from jobs.submit import submit
from storage.records import RunState
from tests.in_process import train_here
from tests.tiny_models import make_tiny_llama

# file: format, columns by part, rows, and what the first example holds
SETS = {
    "banking77/train.csv": ("classification", {"text": "text", "label": "category"}, 10003,
                            lambda example: example == {"text": "I am still waiting on my card?", "label": "card_arrival"}),
    "gsm8k/train.jsonl": ("prompt-completion", {"prompt": "question", "completion": "answer"}, 3000,
                          lambda example: [turn["role"] for turn in example["messages"]] == ["user", "assistant"]
                          and example["messages"][1]["content"].endswith("#### 72")),
    "gsm8k/preference.jsonl": ("preference", {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}, 800,
                               lambda example: example["prompt"][0]["content"].startswith("Janet’s ducks lay 16 eggs")
                               and example["chosen"][0]["content"].endswith("A: 18") and example["rejected"] != example["chosen"]),
    "wnut17/train.conll": ("tokens", None, 3394,
                           lambda example: example["tokens"][:2] == ["@paulwalk", "It"] and set(example["tags"]) >= {"O"}
                           and len(example["tokens"]) == len(example["tags"])),
    # its README says 1,008; the file has 1,009 sentences, each with an empty line after it
    "wnut17/dev.conll": ("tokens", None, 1009, lambda example: len(example["tokens"]) == len(example["tags"])),
    "wmt_en_ro/train.json": ("translation", None, 11,
                             lambda example: "Corrections to votes" in example["messages"][-2]["content"]
                             and example["messages"][-1]["content"].startswith("Corectările voturilor")),
}
TASKS = {"classification": "text-classification", "tokens": "token-classification"}


@pytest.fixture(scope="module")
def long_llama(tmp_path_factory):
    """One token is one byte here, so real rows need much room."""
    return make_tiny_llama(tmp_path_factory.mktemp("models") / "long-llama", positions=4096)


@pytest.mark.parametrize("name", SETS)
def test_it_is_recognised_whole_and_without_a_mapping(shared_data, name):
    format, columns, rows, looks_right = SETS[name]
    data = load_dataset([shared_data / name])
    assert (data.format, data.task) == (format, TASKS.get(format, "text-generation")), data.reason
    assert columns is None or data.columns == columns
    assert (data.rows, data.kept, list(data.left_out)) == (rows, rows, [])
    assert len(data.examples) == rows and looks_right(data.examples[0]), data.examples[0]
    if format == "tokens":
        assert set(data.labels) == {"O"} | {f"{side}-{kind}" for side in "BI" for kind in (
            "corporation", "creative-work", "group", "location", "person", "product")}


@pytest.mark.parametrize("name", SETS)
def test_it_trains_one_step_with_a_recipe_that_names_nothing_but_the_file(services, shared_data, long_llama, tiny_bert, name):
    format = SETS[name][0]
    task = TASKS.get(format, "text-generation")
    run = submit(services, read_recipe({
        "base_model": str(long_llama if task == "text-generation" else tiny_bert), "task": task,
        "dataset": {"source": str(shared_data / name), "validation": 4},
        "training": {"max_steps": 1, "batch_size": 2, "max_length": 4096}}))  # as much as the base model takes
    assert run.data["format"] == format and run.data["kept"] == SETS[name][2]
    train_here(services)
    run = services.runs.get(run.id)
    lines = [line.text for line in services.runs.log_lines(run.id)]
    assert (run.state, run.problem, run.step) == (RunState.FINISHED, "", 1), lines
    assert run.eval_loss is not None and services.adapters.find(run.id)
