"""The best state is kept, a run ends early when nothing gets better, and a stop or a pause comes through while it is measured."""

import json

import pytest

from jobs import checkpoints
from jobs.recipe_reader import read_recipe
from jobs.submit import check_recipe, submit
from jobs.training.best import Best
from storage.problems import RecipeInvalid
from storage.records import Request, RunState
from tests.in_process import train_here, weights_of
from tests.tiny_models import write_labels

STEPS = {"batch_size": 4, "schedule": "constant", "warmup": 0, "epochs": 3}


@pytest.fixture
def contrary(tmp_path):
    """Validation data on which everything that is learnt is wrong."""
    labels = write_labels(tmp_path / "contrary.csv", 30).read_text()
    for name, other in (("up", "?"), ("down", "up"), ("?", "down")):
        labels = labels.replace(f",{name}\n", f",{other}\n")
    (tmp_path / "contrary.csv").write_text(labels)
    chats = [{"messages": [{"role": "user", "content": "Say"}, {"role": "assistant", "content": "0123456789" * 3}]}] * 4
    (tmp_path / "contrary.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    return tmp_path


@pytest.fixture
def train(services, tiny_llama, tiny_bert, chats, labelled):
    def train(task="text-classification", validation="none", method="lora", **training):
        base, source = (tiny_llama, chats) if task == "text-generation" else (tiny_bert, labelled)
        run = submit(services, read_recipe({
            "base_model": str(base), "task": task, "method": method, "dataset": {"source": str(source), "validation": validation},
            "training": {**STEPS, **training}}))
        train_here(services)
        return services.runs.get(run.id)
    return train


def said(services, run) -> str:
    return "\n".join(line.text for line in services.runs.log_lines(run.id))


def eval_losses(services, run) -> dict[int, float]:
    return {point.step: point.value for point in services.runs.metrics(run.id, ["eval_loss"])}


@pytest.mark.parametrize("task, method", [
    ("text-classification", "lora"), ("text-classification", "ia3"), ("text-classification", "prompt-tuning"),
    ("text-generation", "qlora")])
def test_a_run_that_gets_no_better_ends_early_and_its_adapter_is_the_best_state(services, train, contrary, task, method):
    import torch

    validation = str(contrary / ("contrary.jsonl" if task == "text-generation" else "contrary.csv"))
    rate = {"prompt-tuning": 0.3, "ia3": 0.05}.get(method, 0.02)
    run = train(task, validation, method, learning_rate=rate, eval_steps=2, patience=3)
    assert (run.state, run.problem) == (RunState.FINISHED, "")
    measured = eval_losses(services, run)
    del measured[0]
    best = min(measured, key=measured.get)
    assert run.best_step == best and run.step == best + 3 * 2 and run.total_steps > run.step
    assert run.eval_loss == run.metrics["eval_loss"] == measured[best]
    log, at_best = said(services, run), f"step {best} (eval loss {run.eval_loss:.4f})"
    assert f"Ending early at step {run.step}: 3 evaluations in a row were not better than the one at {at_best}." in log
    assert f"The best evaluation was at {at_best}; the adapter is that one." in log
    kept = checkpoints.newest(services.settings.runs_dir / run.id / "checkpoints")
    assert checkpoints.step_of(kept) == run.step and len(list(kept.parent.parent.glob("*/*"))) == 1

    # a run that just goes to that step has the same weights
    shorter = train(task, "none", method, learning_rate=rate, max_steps=best)
    ours, theirs = weights_of(services, run.id), weights_of(services, shorter.id)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_without_patience_it_goes_to_the_end_and_without_keep_best_the_last_state_is_the_adapter(services, train, contrary):
    run = train(validation=str(contrary / "contrary.csv"), learning_rate=0.02, eval_steps=2, patience=0, keep_best=False)
    assert run.step == run.total_steps and run.best_step is None
    assert run.eval_loss == eval_losses(services, run)[run.step]


def test_the_last_state_is_the_best_where_it_gets_better_all_the_time(services, train):
    run = train(validation=0.2, learning_rate=0.01, best_by="accuracy", epochs=6, eval_steps=100)
    assert run.best_step == run.step == run.total_steps and "the adapter is that one" not in said(services, run)


def test_a_best_checkpoint_that_is_damaged_is_told_and_the_last_state_is_the_adapter(services, train, contrary, monkeypatch):
    from jobs.training.watch import Watcher

    on_train_end = Watcher.on_train_end

    def damage(self, args, state, control, **kwargs):
        on_train_end(self, args, state, control, **kwargs)
        best = checkpoints.of_step(services.settings.runs_dir / self.report.run.id / "checkpoints", self.trainer.best.step)
        (best / "adapter_model.safetensors").write_bytes(b"something else")

    monkeypatch.setattr(Watcher, "on_train_end", damage)
    run = train(validation=str(contrary / "contrary.csv"), learning_rate=0.02, eval_steps=2, patience=3)
    assert (run.state, run.best_step) == (RunState.FINISHED, None)
    assert run.eval_loss == eval_losses(services, run)[run.step]
    assert "its checkpoint is gone or damaged; the adapter is the state after step" in said(services, run)


@pytest.mark.parametrize("by, scores, best, waited", [
    ("eval_loss", [2.0, 1.0, 1.0, 1.5], 2, 2), ("accuracy", [0.2, 0.9, 0.9, 0.1], 2, 2),
    ("macro_f1", [0.1, 0.2, 0.3], 3, 0), ("eval_loss", [float("nan"), 3.0, float("nan")], 2, 1)])
def test_better_means_lower_for_a_loss_and_higher_for_the_others(by, scores, best, waited):
    state = Best(by)
    for step, score in enumerate(scores, 1):
        state.judge(step, {by if by == "eval_loss" else f"eval_{by}": score})
    assert (state.step, state.waited) == (best, waited)
    assert Best.from_notes({"best": json.loads(json.dumps(state.as_notes()))}, by) == state
    assert Best.from_notes({"best": state.as_notes()}, "another").step is None


def test_a_score_that_the_task_does_not_have_is_refused(services, tiny_llama, chats):
    with pytest.raises(RecipeInvalid, match="training.best_by is 'accuracy', and an evaluation of text-gen.* has no such"):
        check_recipe(services, read_recipe({"base_model": str(tiny_llama), "dataset": {"source": str(chats)},
                                            "training": {"best_by": "accuracy"}}))


@pytest.fixture
def ask_in_evaluation(services, monkeypatch):
    """Somebody asks for something while the n-th evaluation batch is measured."""
    from jobs.training.watch import Watched

    def ask_in_evaluation(request: Request, at: int) -> None:
        prediction_step, batches = Watched.prediction_step, []

        def ask(self, *arguments, **options):
            batches.append(1)
            if len(batches) == at:
                services.queue.ask(self.report.run.id, request)
                self.report.flush()
            return prediction_step(self, *arguments, **options)

        monkeypatch.setattr(Watched, "prediction_step", ask)
    return ask_in_evaluation


def test_a_stop_interrupts_the_evaluation_before_training_and_nothing_is_kept(services, train, contrary, ask_in_evaluation):
    ask_in_evaluation(Request.STOP, at=1)
    run = train(validation=str(contrary / "contrary.csv"), eval_steps=2, method="prompt-tuning")
    assert (run.state, run.step) == (RunState.STOPPED, 0) and services.adapters.find(run.id) is None
    assert "Stopped before the first step: there is nothing to keep." in said(services, run)
    assert "in the library" not in said(services, run)


def test_a_stop_while_the_base_model_is_looked_at_keeps_the_step_that_was_made(services, train, contrary, ask_in_evaluation):
    ask_in_evaluation(Request.STOP, at=1)
    run = train(validation=str(contrary / "contrary.csv"), eval_steps=2)
    assert (run.state, run.step) == (RunState.STOPPED, 1) and services.adapters.find(run.id)
    assert run.eval_loss_before is None and eval_losses(services, run) == {}


def test_a_stop_interrupts_an_evaluation_and_keeps_the_adapter_and_a_checkpoint(services, train, contrary, ask_in_evaluation):
    ask_in_evaluation(Request.STOP, at=6)  # the second batch of the second evaluation between steps
    run = train(validation=str(contrary / "contrary.csv"), learning_rate=0.02, eval_steps=2)
    assert (run.state, run.step) == (RunState.STOPPED, 4)
    assert list(eval_losses(services, run)) == [0, 2] and run.eval_loss == eval_losses(services, run)[2]
    assert services.adapters.find(run.id)
    kept = checkpoints.newest(services.settings.runs_dir / run.id / "checkpoints")
    assert checkpoints.step_of(kept) == 4 == run.checkpoint_step


@pytest.mark.parametrize("at", [1, 5])  # of the base model alone, which begins anew, and between steps, which is waited for
def test_a_run_that_is_paused_in_an_evaluation_ends_as_without_it(services, train, ask_in_evaluation, at):
    import torch

    uninterrupted = train(validation=0.3, learning_rate=0.02, eval_steps=2)
    ask_in_evaluation(Request.PAUSE, at=at)
    paused = train(validation=0.3, learning_rate=0.02, eval_steps=2)
    assert (paused.state, paused.attempts) == (RunState.FINISHED, 2)
    assert eval_losses(services, paused) == eval_losses(services, uninterrupted)
    ours, theirs = weights_of(services, paused.id), weights_of(services, uninterrupted.id)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_stop_after_worse_evaluations_keeps_the_best_state(services, train, contrary, ask_in_evaluation):
    ask_in_evaluation(Request.STOP, at=61)  # in the 30th evaluation between steps, of two batches each
    run = train(validation=str(contrary / "contrary.csv"), learning_rate=0.02, eval_steps=2, patience=0, epochs=6)
    measured = eval_losses(services, run)
    assert (run.state, run.step) == (RunState.STOPPED, 60)
    assert run.best_step == min(list(measured)[1:], key=measured.get) < 58 and run.eval_loss == measured[run.best_step]
    folders = {path.name for path in (services.settings.runs_dir / run.id / "checkpoints").glob("*/*-*")}
    assert folders == {"checkpoint-60", f"checkpoint-{run.best_step}"}, "to go on from, and to be still the best then"


def test_a_stop_cuts_the_base_models_answers_short(services, train, monkeypatch):
    from jobs.training.tasks import text_generation

    generate, lengths = text_generation.generate, []

    def ask_and_generate(model, prompt, special_tokens, context):
        services.queue.ask(context.report.run.id, Request.STOP)
        context.report.flush()
        of_model = model.generate

        def count(**options):
            output = of_model(**options, min_new_tokens=20)  # if nobody asked
            lengths.append(output.shape[1] - options["input_ids"].shape[1])
            return output

        with monkeypatch.context() as patch:
            patch.setattr(model, "generate", count, raising=False)
            return generate(model, prompt, special_tokens, context)

    monkeypatch.setattr(text_generation, "generate", ask_and_generate)
    run = train("text-generation")
    assert (run.state, run.step, lengths) == (RunState.STOPPED, 1, [1, 1, 1])
