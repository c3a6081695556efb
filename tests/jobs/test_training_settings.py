"""Every training setting does what it says, for every task, or is refused."""

import json
import math
from functools import partial
from typing import get_args

import pytest

from jobs.recipe import Optimizer, Schedule, TrainingSettings
from jobs.recipe_reader import read_recipe
from jobs.submit import check_recipe, submit
from storage.problems import RecipeInvalid
from storage.records import RunState
from tests.in_process import train_here, weights_of

ROWS = {
    "messages": lambda n: {"messages": [{"role": "user", "content": f"Say {n}"}, {"role": "assistant", "content": f"{n}!"}]},
    "classification": lambda n: {"text": f"row {n}", "label": "ab"[n % 2]},
    "regression": lambda n: {"text": f"row {n}", "score": n / 3},
    "tokens": lambda n: {"tokens": ["row", str(n)], "tags": ["O", "B-number"]},
    "pairs": lambda n: {"anchor": f"what is {n}", "positive": f"a number, {n}"},
    "preference": lambda n: {"prompt": f"Say {n}", "chosen": f"{n}!", "rejected": "no"},
    "binary-preference": lambda n: {"prompt": f"Say {n}", "completion": f"{n}!", "label": bool(n % 2)}}
TASKS = {"messages": "text-generation", "classification": "text-classification", "regression": "text-classification",
         "tokens": "token-classification", "pairs": "sentence-similarity", "preference": "text-generation",
         "binary-preference": "text-generation"}


@pytest.fixture(autouse=True)
def short_answers(monkeypatch):
    from jobs.training import process

    monkeypatch.setattr(process, "TrainingContext", partial(process.TrainingContext, sample_tokens=2))


@pytest.fixture
def recipe(tmp_path, tiny_llama, tiny_bert):
    def recipe(format="messages", rows=8, validation="none", **changes):
        data = tmp_path / f"{format}.jsonl"
        data.write_text("".join(json.dumps(ROWS[format](number)) + "\n" for number in range(rows)))
        training = {"max_steps": 1, "batch_size": 4, "learning_rate": 0.01, "schedule": "constant", "warmup": 0,
                    **changes.pop("training", {})}
        return read_recipe({"base_model": str(tiny_llama if TASKS[format] == "text-generation" else tiny_bert),
                            "task": TASKS[format], "dataset": {"source": str(data), "format": format, "validation": validation},
                            "training": training, **changes})
    return recipe


@pytest.fixture
def with_trainer(services, recipe, monkeypatch):
    """Runs up to the first step, where `look(trainer)` takes the place of the training."""
    from jobs.training import train

    def with_trainer(look, *arguments, **changes):
        monkeypatch.setattr(train, "learn", lambda trainer, *others: look(trainer))
        run = submit(services, recipe(*arguments, **changes))
        train_here(services)
        run = services.runs.get(run.id)
        assert (run.state, run.problem) == (RunState.STOPPED, "")
    return with_trainer


@pytest.mark.parametrize("format", ROWS)
def test_the_settings_reach_the_trainer_of_every_task_and_change_what_it_does(with_trainer, format):
    import torch

    from jobs.training.watch import noisy_embeddings

    labels = format in ("messages", "classification", "tokens")
    settings = {"max_grad_norm": 0.5, "weight_decay": 0.1, "neftune_noise_alpha": 0 if "preference" in format else 5,
                "label_smoothing": 0.2 if labels else 0, "gradient_checkpointing": True, "accumulation": 2, "warmup": 3,
                "schedule": "polynomial", "lowest_rate": 0.5}

    def look(trainer):
        arguments = trainer.args
        assert (arguments.max_grad_norm, arguments.weight_decay, arguments.warmup_steps) == (0.5, 0.1, 3)
        assert (arguments.gradient_accumulation_steps, arguments.lr_scheduler_kwargs["lr_end"]) == (2, 0.005)
        assert trainer.noise == settings["neftune_noise_alpha"]
        for module in trainer.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        batch = next(iter(trainer.get_train_dataloader()))

        def loss(training=True) -> float:
            trainer.model.train(training)
            return trainer.compute_loss(trainer.model, dict(batch)).item()

        plain, noise = loss(), settings["neftune_noise_alpha"]
        if noise:
            with noisy_embeddings(trainer.model, noise):
                assert loss() != plain, "the noise is heard"
                assert loss(training=False) == pytest.approx(plain, abs=1e-6), "only while it trains"
            assert loss() == plain
        if labels:
            smoother, trainer.label_smoother = trainer.label_smoother, None
            hard = loss()
            trainer.label_smoother = smoother
            logs = trainer.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.log_softmax(-1)
            soft = -(logs[:, :-1][batch["labels"][:, 1:] != -100] if format == "messages" else
                     logs[batch["labels"] != -100] if format == "tokens" else logs).mean().item()
            assert plain == pytest.approx(0.8 * hard + 0.2 * soft, rel=1e-4)

    with_trainer(look, format, training=settings)


def test_noise_and_smoothing_stay_out_of_what_is_measured(services, recipe):
    def trained(**training):
        run = submit(services, recipe("classification", 30, 0.3, training={"epochs": 1, "learning_rate": 1e-9, **training}))
        train_here(services)
        return services.runs.get(run.id)

    plain, other = trained(), trained(label_smoothing=0.3, neftune_noise_alpha=5)
    assert other.eval_loss_before == plain.eval_loss_before and other.eval_loss == pytest.approx(plain.eval_loss, abs=1e-5)
    losses = [services.runs.metrics(run.id, ["loss"])[0].value for run in (plain, other)]
    assert losses[0] != losses[1]


def test_clipping_and_decay_change_the_step(services, recipe):
    import torch

    def stepped(**training):
        run = submit(services, recipe("classification", training={"optimizer": "sgd", "learning_rate": 0.5, **training}))
        train_here(services)
        return weights_of(services, run.id)

    plain, clipped, decayed = stepped(), stepped(max_grad_norm=1e-4), stepped(weight_decay=0.2)
    second = [name for name in plain if "lora_B" in name]  # begins as nothing, so that it is the step itself
    length = math.sqrt(sum(float(clipped[name].square().sum()) for name in second))
    assert 0 < length <= 0.5e-4 < math.sqrt(sum(float(plain[name].square().sum()) for name in second))
    first = next(name for name in plain if "lora_A" in name)  # has no gradient yet
    assert torch.allclose(decayed[first], plain[first] * (1 - 0.5 * 0.2))


@pytest.mark.parametrize("change, format, said", [
    ({"training": {"label_smoothing": 0.1}}, "pairs", "no labels to smooth"),
    ({"training": {"label_smoothing": 0.1}}, "regression", "no labels to smooth"),
    ({"training": {"label_smoothing": 0.1}}, "preference", "no labels to smooth"),
    ({"training": {"label_smoothing": 0.1}, "method": "prompt-tuning"}, "messages", "learned vectors stand before the row"),
    ({"training": {"neftune_noise_alpha": 5}}, "binary-preference", "a reference that would get other noise"),
    ({"training": {"base_precision": "bf16"}, "quantization": "nf4"}, "messages", "held in nf4"),
])
def test_what_would_do_nothing_or_harm_is_refused_before_the_start(services, recipe, change, format, said):
    with pytest.raises(RecipeInvalid, match=said):
        check_recipe(services, recipe(format, **change))


def test_noise_reaches_learned_prompts_before_classifiers_too(services, recipe):
    run = submit(services, recipe("classification", method="prompt-tuning", training={"neftune_noise_alpha": 5}))
    train_here(services)
    assert services.runs.get(run.id).state == RunState.FINISHED


@pytest.mark.parametrize("format, method, precision", [
    ("messages", "lora", {"base_precision": "bf16"}), ("classification", "lora", {"base_precision": "bf16"}),
    ("classification", "prompt-tuning", {"base_precision": "bf16"}), ("messages", "prompt-tuning", {"precision": "bf16"}),
    ("messages", "lora", {"precision": "fp16"})])
def test_other_number_formats_train_on_a_cpu(services, recipe, format, method, precision):
    run = submit(services, recipe(format, 12, 4, method=method, training={"max_steps": 3, **precision}))
    train_here(services)
    run = services.runs.get(run.id)
    assert (run.state, run.problem) == (RunState.FINISHED, "") and abs(run.eval_loss - run.eval_loss_before) < 1
    used = "fp32" if "fp16" in precision.values() else "bf16"
    assert (run.environment["precision"], run.environment["base_precision"]) == (
        used, "bf16" if "base_precision" in precision else "fp32")
    assert any(line.text.startswith(f"Precision {used}: ") for line in services.runs.log_lines(run.id))
    assert all(weight.dtype.itemsize == 4 for weight in weights_of(services, run.id).values()), "what learns is exact"


def test_every_optimizer_steps_on_a_cpu_and_goes_on_from_its_state(with_trainer):
    import copy

    import torch

    from jobs.training.optimizers import ELSEWHERE

    def look(trainer):
        before = copy.deepcopy(trainer.model.state_dict())
        batch = next(iter(trainer.get_train_dataloader()))
        *_, context = trainer.own_optimizer.args

        def step(name, steps, state=None):
            trainer.args.optim = ELSEWHERE.get(name, name)
            context.recipe.training.optimizer = name
            trainer.optimizer = None
            optimizer = trainer.create_optimizer()
            if state:
                optimizer.load_state_dict(state)
            for _ in range(steps):
                trainer.compute_loss(trainer.model, dict(batch)).backward()
                optimizer.step()
                optimizer.zero_grad()
            return copy.deepcopy(optimizer.state_dict())

        for name in get_args(Optimizer):
            trainer.model.load_state_dict(before)
            state = step(name, 1)
            half = copy.deepcopy(trainer.model.state_dict())
            assert any(not torch.equal(half[key], before[key]) for key in before), name
            assert all(torch.isfinite(value).all() for value in half.values()), name
            step(name, 1, state)
            ours = copy.deepcopy(trainer.model.state_dict())
            trainer.model.load_state_dict(before)
            step(name, 2)
            assert all(torch.allclose(value, ours[key], atol=1e-6) for key, value in trainer.model.state_dict().items()), name

    with_trainer(look, method="full")


@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_every_schedule_has_what_it_needs(schedule):
    import torch
    from transformers import get_scheduler

    from jobs.training.train import schedule_arguments

    settings = TrainingSettings(schedule=schedule, learning_rate=0.1)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    made = get_scheduler(schedule, optimizer, 10, 100, schedule_arguments(settings, 100))
    rates = []
    for _ in range(100):
        rates.append(made.get_last_lr()[0])
        optimizer.step()
        made.step()
    assert max(rates) == pytest.approx(0.1) and all(math.isfinite(rate) for rate in rates)
    if schedule == "cosine_with_restarts":
        assert sum(after > before for before, after in zip(rates[10:], rates[11:], strict=False)) == settings.cycles - 1
    if schedule in ("cosine_with_min_lr", "polynomial", "warmup_stable_decay"):
        assert made.get_last_lr()[0] == pytest.approx(0.01, rel=0.02)


def test_settings_that_depend_on_others_name_settings_and_values_that_there_are():
    from jobs.recipe import TASKS as ALL_TASKS
    from jobs.recipe import Recipe

    for field in TrainingSettings.model_fields.values():
        extra = field.json_schema_extra or {}
        other, values = extra.get("only_with", (None, []))
        if other:
            annotation = (TrainingSettings.model_fields | Recipe.model_fields)[other].annotation
            assert set(values) <= set(get_args(annotation))
        assert set(extra.get("only_for", [])) <= set(ALL_TASKS)
