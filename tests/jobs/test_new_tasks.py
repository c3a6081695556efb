"""Tags, sentence similarity, preferences, numbers and pairs of texts: trained on tiny models, and what that leaves is used."""

import json
import math
import subprocess
import zipfile

import pytest

from jobs.compare import generate_answers
from jobs.memory import smaller
from jobs.recipe import Recipe, scores_of
from jobs.recipe_reader import read_recipe
from jobs.submit import check_recipe, submit
from storage.problems import RecipeInvalid
from storage.records import Request, RunState
from tests.in_process import train_here, weights_of

WORDS = ["apple", "river", "stone", "cloud", "lamp", "bread", "train", "glass"]
NAMES, TOWNS = ["Ann", "Bob", "Cy", "Dee"], ["Rome", "Oslo", "Lima", "Bonn"]
ROWS = {
    "tokens": [{"tokens": ["I", "saw", name, "Lee", "in", town, "."][skip:],
                "tags": ["O", "O", "B-per", "I-per", "O", "B-loc", "O"][skip:]}
               for name in NAMES for town in TOWNS for skip in (0, 1)],
    "pairs": [{"anchor": f"what is a {word}? {row}", "positive": f"a {word}, of course"} for row in range(4) for word in WORDS],
    "triplets": [{"anchor": f"what is a {word}? {row}", "positive": f"a {word}, of course", "negative": f"a {other}, of course"}
                 for row in range(4) for word, other in zip(WORDS, WORDS[1:] + WORDS[:1], strict=True)],
    "regression": [{"text": f"{'very ' * (row % 5)}good, number {row}", "score": row % 5 / 2} for row in range(40)],
    "classification": [{"text": f"a {word}", "text_pair": f"a {other} {row}", "label": "same" if word == other else "other"}
                       for row in range(2) for word in WORDS[:4] for other in WORDS[:4]],
    "preference": [{"prompt": f"Say {word} {row}", "chosen": f"{word}!", "rejected": "no, never"}
                   for row in range(4) for word in WORDS],
    "binary-preference": [{"prompt": f"Say {word} {row}", "completion": f"{word}!" if good else "no, never", "label": good}
                          for row in range(2) for word in WORDS for good in (True, False)],
}
TASKS = {"tokens": "token-classification", "pairs": "sentence-similarity", "triplets": "sentence-similarity",
         "regression": "text-classification", "classification": "text-classification",
         "preference": "text-generation", "binary-preference": "text-generation"}
ASKED = {"tokens": "I saw Ann in Rome.", "pairs": "an apple\na river", "triplets": "an apple\na river\na stone",
         "regression": "very good", "classification": "a lamp\n---\na cloud", "preference": "Say lamp",
         "binary-preference": "Say lamp"}


@pytest.fixture
def start(services, tiny_llama, tiny_bert, tmp_path):
    def start(format, base=None, method="lora", dataset=None, **training):
        path = tmp_path / f"{format}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS[format]))
        base = base or (tiny_llama if TASKS[format] == "text-generation" else tiny_bert)
        return submit(services, read_recipe({
            "name": f"try {format}", "base_model": str(base), "task": TASKS[format], "method": method,
            "dataset": {"source": str(path), "format": format, "validation": 0.25, **(dataset or {})},
            "training": {"epochs": 1, "learning_rate": 5e-3, "max_length": 64, **training}}))
    return start


@pytest.fixture
def train(services, start):
    def train(format, base=None, method="lora", **training):
        run = start(format, base, method, **training)
        train_here(services)
        run = services.runs.get(run.id)
        assert (run.state, run.problem) == (RunState.FINISHED, "")
        return run
    return train


def plain_model(format, base, folder):
    """The adapter as somebody without the studio opens it."""
    import transformers
    from peft import PeftModel

    kind = {"token-classification": "AutoModelForTokenClassification", "sentence-similarity": "AutoModel",
            "text-classification": "AutoModelForSequenceClassification", "text-generation": "AutoModelForCausalLM"}[TASKS[format]]
    with_head = {"config": transformers.AutoConfig.from_pretrained(folder)} if (folder / "config.json").exists() else {}
    return PeftModel.from_pretrained(getattr(transformers, kind).from_pretrained(base, **with_head), folder).eval()


@pytest.mark.parametrize("format", ROWS)
def test_a_run_leaves_an_adapter_that_plain_peft_opens_and_the_playground_asks(
        services, train, tiny_llama, tiny_bert, tmp_path, format):
    run = train(format)
    measured = set(scores_of(run.task, format))
    assert measured <= set(run.metrics) and {f"{name}_before" for name in measured} <= set(run.metrics)
    assert all(math.isfinite(value) for value in run.metrics.values())
    assert len(run.samples) == 3 and all(sample["prompt"] and sample["expected"] for sample in run.samples)
    assert all(sample["after"] is not None for sample in run.samples)
    assert run.tokens_per_second > 0 and run.data["longest_row"] > 5

    adapter = services.adapters.get(run.id)
    with zipfile.ZipFile(services.settings.adapters_dir / adapter.zip_name) as archive:
        archive.extractall(tmp_path / "unpacked")
    checked = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path / "unpacked",
                             capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    base = tiny_llama if TASKS[format] == "text-generation" else tiny_bert
    model = plain_model(format, base, tmp_path / "unpacked")
    from peft import get_peft_model_state_dict

    ours, opened = weights_of(services, run.id), get_peft_model_state_dict(model)
    assert ours.keys() == opened.keys() and all(bool((opened[name] == weight).all()) for name, weight in ours.items())

    first, asked = generate_answers(services, str(base), [run.id], ASKED[format], {"max_new_tokens": 4})
    assert "problem" not in asked and asked["tokens"] > 0 and (asked["text"] or TASKS[format] == "text-generation")
    if format == "regression":
        assert float(asked["text"]) == pytest.approx(asked_plainly(model, tmp_path / "unpacked", ASKED[format]), abs=1e-3)
    if format == "triplets":
        assert [line.split(" ", 1)[1] for line in asked["text"].splitlines()] == ["a river", "a stone"]
    unpacked = generate_answers(services, str(base), [str(tmp_path / "unpacked")], ASKED[format], {"max_new_tokens": 4})[1]
    assert unpacked["text"] == asked["text"], "a folder tells its task itself"


def asked_plainly(model, folder, text) -> float:
    from transformers import AutoTokenizer

    return float(model(**AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt", return_token_type_ids=False)).logits)


@pytest.mark.parametrize("format", ROWS)
def test_the_lines_of_the_model_card_run(services, train, tiny_llama, tiny_bert, format, capsys):
    run = train(format, max_steps=1)
    folder = services.settings.adapters_dir / services.adapters.get(run.id).folder
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    base = tiny_llama if TASKS[format] == "text-generation" else tiny_bert
    exec(code.replace("PATH/TO/THIS/FOLDER", str(folder)).replace("PATH/TO/THE/BASE/MODEL", str(base)), {})
    assert capsys.readouterr().out


@pytest.mark.parametrize("format", ["tokens", "pairs", "regression", "preference", "binary-preference"])
def test_a_run_that_was_interrupted_ends_as_if_it_never_was(services, train, monkeypatch, format):
    import torch

    from jobs.training.watch import Watched

    uninterrupted = train(format, epochs=2, eval_steps=2)
    prediction_step, batches = Watched.prediction_step, []

    def pause_in_the_second_evaluation(self, *arguments, **options):
        batches.append(1)
        if len(batches) == 2:
            services.queue.ask(self.report.run.id, Request.PAUSE)
            self.report.flush()
        return prediction_step(self, *arguments, **options)

    monkeypatch.setattr(Watched, "prediction_step", pause_in_the_second_evaluation)
    paused = train(format, epochs=2, eval_steps=2)
    assert paused.attempts == 2 and paused.metrics == uninterrupted.metrics and paused.best_step == uninterrupted.best_step
    ours, theirs = weights_of(services, paused.id), weights_of(services, uninterrupted.id)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("format, method", [
    ("tokens", "prompt-tuning"), ("tokens", "qlora"), ("pairs", "prompt-tuning"), ("pairs", "ia3"),
    ("preference", "prompt-tuning"), ("binary-preference", "ia3"), ("regression", "ia3")])
def test_every_method_serves_the_tasks(services, train, tiny_bert, tiny_llama, format, method):
    run = train(format, method=method, max_steps=2)
    base = tiny_llama if TASKS[format] == "text-generation" else tiny_bert
    answer = generate_answers(services, str(base), [run.id], ASKED[format], {"max_new_tokens": 4})[1]
    assert "problem" not in answer


@pytest.mark.parametrize("format", ["tokens", "pairs", "classification"])
def test_models_that_write_can_read_too(train, tiny_llama, format):
    run = train(format, base=tiny_llama, max_steps=2)
    assert run.metrics["eval_loss"] != run.metrics["eval_loss_before"]


def test_tags_are_learnt(train, tiny_llama):
    run = train("tokens", base=tiny_llama, epochs=8)
    assert run.metrics["f1"] > 0.9 > run.metrics["f1_before"] and run.metrics["accuracy"] > 0.9
    assert run.samples[0]["after"] == run.samples[0]["expected"]
    assert run.samples[0]["prompt"].split() == [word for word in run.samples[0]["after"].split() if not word.startswith("[")]


def test_preferences_are_learnt_against_the_base_model_alone(services, train):
    run = train("preference", epochs=4)
    assert run.metrics["eval_loss_before"] == pytest.approx(math.log(2), abs=1e-4), "at first both models are the same"
    assert run.metrics["reward_margin_before"] == pytest.approx(0, abs=1e-4)
    assert run.metrics["reward_accuracy"] == 1 and run.metrics["reward_margin"] > 0.5
    folder = services.settings.adapters_dir / services.adapters.get(run.id).folder
    assert not any(path.is_dir() for path in folder.iterdir()), "no copy of the adapter as a reference"
    single = train("binary-preference", epochs=4)
    assert single.metrics["eval_loss_before"] == pytest.approx(0.5, abs=1e-4) and single.metrics["reward_margin"] > 0.1


def test_numbers_are_learnt(train, tiny_llama):
    run = train("regression", base=tiny_llama, epochs=12, learning_rate=1e-2)
    assert run.metrics["pearson"] > 0.9 and run.metrics["spearman"] > 0.9
    assert run.metrics["rmse"] == pytest.approx(math.sqrt(run.metrics["eval_loss"]), rel=1e-3)


def test_the_state_with_the_smallest_error_is_the_best(train):
    run = train("regression", best_by="rmse", eval_steps=2, epochs=4)
    assert run.metrics["rmse"] < run.metrics["rmse_before"]


def test_adding_up_batches_learns_as_one_large_batch_does(services, train):
    """Some classifiers divide their loss by all rows of a step and some do not."""
    for format in ("classification", "regression", "tokens", "pairs"):
        whole = train(format, max_steps=1, batch_size=8)
        parts = train(format, max_steps=1, batch_size=4, accumulation=2)
        [first], [second] = (services.runs.metrics(run.id, ["loss"]) for run in (whole, parts))
        # with half the candidates the task is easier
        assert second.value == pytest.approx(first.value, rel=0.6 if format == "pairs" else 0.05), format


@pytest.mark.parametrize("format", ["pairs", "triplets", "binary-preference"])
def test_rows_that_are_compared_with_their_batch_need_one(services, start, format):
    with pytest.raises(RecipeInvalid, match="training.batch_size is 1, and rows in the format .* Set it to 2 or more"):
        start(format, batch_size=1)
    recipe = Recipe(base_model="b", dataset={"source": "x", "format": format}, training={"batch_size": 4})
    assert smaller(recipe) == {"gradient_checkpointing": True}, "fewer rows would learn less"
    recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"gradient_checkpointing": True})})
    assert smaller(recipe) == {"batch_size": 2, "accumulation": 2}
    recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"batch_size": 3})})
    assert smaller(recipe) is None


def test_a_score_that_this_data_is_not_measured_by_is_refused(services, tiny_bert, tmp_path):
    path = tmp_path / "scores.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS["regression"]))
    recipe = {"base_model": str(tiny_bert), "task": "text-classification", "dataset": {"source": str(path), "format": "regression"},
              "training": {"best_by": "accuracy"}}
    with pytest.raises(RecipeInvalid, match="no such score for data in the format regression. Choose eval_loss or pearson"):
        check_recipe(services, read_recipe(recipe))


def test_the_playground_says_how_two_texts_are_given(services, train, tiny_bert):
    run = train("pairs", max_steps=1)
    base, adapter = generate_answers(services, str(tiny_bert), [run.id], "only one text", {})
    assert "write each on a line of its own" in base["problem"] and base["problem"] == adapter["problem"]
    base, adapter = generate_answers(services, str(tiny_bert), [run.id], "the same\n---\nthe same", {})
    assert base["text"] == adapter["text"] == "1.00"


def test_a_base_model_without_tags_says_so(services, train, tiny_bert):
    run = train("tokens", max_steps=1)
    base = generate_answers(services, str(tiny_bert), [run.id], "Ann", {})[0]
    assert "its head is untrained" in base["text"] and base["tokens"] == 0
