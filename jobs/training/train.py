"""One training, from top to bottom."""

import contextlib
import importlib.metadata
import math
import platform
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers
from peft import get_peft_model, prepare_model_for_kbit_training
from transformers import PrinterCallback

from jobs.methods import find_method
from jobs.training import checkpoints
from jobs.training.base import load_tokenizer
from jobs.training.context import TrainingContext
from jobs.training.devices import device_name, peak_memory
from jobs.training.watch import Watcher
from storage.problems import LossDiverged, TrainingStopped
from storage.records import Phase, Request, RunState

SAMPLES = 3
GROUPED_ROWS = 1000  # fewer are not grouped by length: their batches would be one-sided, the short rows always together
LIBRARIES = ("torch", "transformers", "peft", "trl", "datasets", "accelerate", "bitsandbytes")


@dataclass
class Outcome:
    """How a training ended, and what it leaves for the record. `model` is None when there is nothing to save."""

    state: RunState | None  # None: paused, the run goes back to the queue
    model: object = None
    tokenizer: object = None
    problem: str = ""
    problem_kind: str = ""
    results: dict = field(default_factory=dict)


def train(context: TrainingContext, train_examples: list[dict], validation_examples: list[dict],
          claimed_at: float) -> Outcome:
    """Train an adapter by the recipe, going on from the newest whole checkpoint if there is one."""
    recipe, report = context.recipe, context.report
    transformers.set_seed(recipe.seed)
    context.tokenizer = load_tokenizer(context)
    base = context.task.load_model(context)
    training_rows = context.task.encode(train_examples, context)
    validation_rows = context.task.encode(validation_examples, context)
    if not len(training_rows):
        raise TrainingStopped(f"No row keeps its answer within {recipe.training.max_length} tokens. Raise training.max_length.")
    model = add_adapter(base, context)
    trainer = context.task.build_trainer(
        model, training_rows, validation_rows if len(validation_rows) else None, context,
        trainer_arguments(context, len(training_rows), len(validation_rows)))

    checkpoint = checkpoints.newest(context.attempt_dir.parent)
    notes = checkpoints.notes_of(checkpoint) if checkpoint else {}
    watch(trainer, context, notes, claimed_at)
    report.change(**parameter_counts(model), environment=environment(context))
    asked = (validation_examples or train_examples)[:SAMPLES]
    if checkpoint:
        report.say(f"Going on from the checkpoint at step {checkpoints.step_of(checkpoint)}.")
    else:
        look_before(trainer, asked, context, notes)

    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except LossDiverged as problem:
        return diverged(trainer, context, notes, problem)
    if report.asked == Request.PAUSE:
        return Outcome(state=None)

    stopped = report.asked == Request.STOP
    if not stopped:
        look_after(trainer, asked, context, notes)
    return Outcome(RunState.STOPPED if stopped else RunState.FINISHED, model, context.tokenizer,
                   results=results(trainer, context, notes))


def add_adapter(base, context: TrainingContext):
    """The base model, frozen, with the method's trainable parts in it."""
    recipe = context.recipe
    method = find_method(recipe.method)
    if recipe.quantization != "none":
        base = prepare_model_for_kbit_training(
            base, use_gradient_checkpointing=recipe.training.gradient_checkpointing)
    elif recipe.training.gradient_checkpointing:
        base.enable_input_require_grads()  # frozen embeddings would otherwise cut the gradient off
    transformers.set_seed(recipe.seed)
    try:
        return get_peft_model(base, method.build_config(method.read_settings(recipe.method_settings), context))
    except ValueError as error:  # peft's own checks of the settings against this model, such as unknown layer names
        raise TrainingStopped(f"{method.title} does not go with this base model and these settings: {error} "
                              "Change method_settings and run it again.") from error


def trainer_arguments(context: TrainingContext, rows: int, validation_rows: int) -> dict:
    """The arguments that every task's trainer takes."""
    training = context.recipe.training
    per_epoch = math.ceil(math.ceil(rows / training.batch_size) / training.accumulation)
    steps = training.max_steps or max(1, math.ceil(per_epoch * training.epochs))
    # about ten evaluations, but fewer where they would take more than a tenth or so of the whole time
    evaluations = max(1, min(10, int(0.3 * rows * training.epochs / validation_rows))) if validation_rows else 0
    return dict(
        output_dir=str(context.attempt_dir),
        num_train_epochs=training.epochs,
        max_steps=training.max_steps or -1,
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=max(training.batch_size, 16),
        gradient_accumulation_steps=training.accumulation,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.schedule,
        warmup_steps=training.warmup,
        weight_decay=training.weight_decay,
        optim=training.optimizer,
        bf16=context.precision == "bf16",
        fp16=context.precision == "fp16",
        gradient_checkpointing=training.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if training.gradient_checkpointing else None,
        train_sampling_strategy="random" if training.packing or rows < GROUPED_ROWS else "group_by_length",
        eval_strategy="steps" if validation_rows else "no",
        eval_steps=training.eval_steps or math.ceil(steps / max(1, evaluations)),
        save_strategy="no",  # the watcher says when
        save_total_limit=2,
        logging_steps=max(1, steps // 500),
        logging_nan_inf_filter=False,
        seed=context.recipe.seed,
        use_cpu=context.device == "cpu",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=context.device != "cpu",
    )


def watch(trainer, context: TrainingContext, notes: dict, claimed_at: float) -> None:
    """Attach the studio to a trainer; `notes` holds what the checkpoint it goes on from knew."""
    trainer.remove_callback(PrinterCallback)
    trainer.tokens = notes.get("tokens", 0)
    trainer.earlier_seconds = notes.get("training_seconds", 0.0)
    trainer.add_callback(Watcher(context.report, trainer, notes, claimed_at, context.recipe.training.save_steps))


def look_before(trainer, examples: list[dict], context: TrainingContext, notes: dict) -> None:
    """The base model's own loss and answers, before anything is learnt."""
    context.report.phase(Phase.EVALUATING)
    with base_alone(trainer.model):
        if trainer.eval_dataset is not None:
            notes["before"] = scores(trainer.evaluate())
            context.report.change(eval_loss_before=notes["before"].get("eval_loss"))
        notes["samples"] = context.task.sample(trainer.model, examples, context)


@contextlib.contextmanager
def base_alone(model):
    """The base model's own forward for a while, as if no adapter were there."""
    if hasattr(model, "prepare_inputs_for_generation") or not model.active_peft_config.is_prompt_learning:
        with model.disable_adapter():
            yield
        return
    # peft's disable_adapter needs a generating model where the method is a prompt, and a classifier is none
    model.forward = model.get_base_model().forward
    try:
        yield
    finally:
        del model.forward


def look_after(trainer, examples: list[dict], context: TrainingContext, notes: dict) -> None:
    """The same with the adapter."""
    context.report.phase(Phase.EVALUATING)
    if trainer.eval_dataset is not None:
        logged = last_evaluation(trainer)
        notes["after"] = logged[1] if logged and logged[0] == trainer.state.global_step else scores(trainer.evaluate())
    notes["answers"] = [sample["answer"] for sample in context.task.sample(trainer.model, examples, context)]


def scores(metrics: dict) -> dict[str, float]:
    """The task's own figures of an evaluation, without the trainer's timings."""
    timings = ("runtime", "preparation_time", "per_second", "epoch", "num_tokens", "entropy", "mean_token_accuracy")
    kept = {name: value for name, value in metrics.items() if not name.endswith(timings) and math.isfinite(value)}
    return {name if name == "eval_loss" else name.removeprefix("eval_"): value for name, value in kept.items()}


def diverged(trainer, context: TrainingContext, notes: dict, problem: LossDiverged) -> Outcome:
    """Keep the last good state of a run whose loss left the numbers."""
    rate = context.recipe.training.learning_rate
    steps = trainer.restore_good_weights()
    kept = f"The adapter after step {steps}, the last good state, is kept." if steps else "Nothing was learnt before that."
    return Outcome(
        RunState.FAILED, trainer.model if steps else None, context.tokenizer, problem_kind=problem.kind,
        problem=f"{problem} The learning rate of {rate:g} is probably too high. {kept} "
                f"Lower it, for example to {rate / 10:g}, and run it again.",
        results=results(trainer, context, notes))


def results(trainer, context: TrainingContext, notes: dict) -> dict:
    """The figures of the record, all measured."""
    seconds = trainer.training_seconds()
    peak, peak_of = peak_memory(context.device)
    before, after = notes.get("before", {}), notes.get("after") or (last_evaluation(trainer) or (0, {}))[1]
    answers = notes.get("answers", [])
    return {
        "metrics": {**after, **{f"{name.removesuffix('_before')}_before": value for name, value in before.items()}},
        "eval_loss": after.get("eval_loss"), "eval_loss_before": before.get("eval_loss"),
        "samples": [{"prompt": sample["prompt"], "expected": sample["expected"], "before": sample["answer"],
                     "after": answers[index] if index < len(answers) else None}
                    for index, sample in enumerate(notes.get("samples", []))],
        "train_seconds": seconds, "tokens_per_second": trainer.tokens / seconds if seconds else None,
        "peak_memory_bytes": peak, "peak_memory_of": peak_of, "step": trainer.state.global_step,
    }


def last_evaluation(trainer) -> tuple[int, dict[str, float]] | None:
    """Step and figures of the last evaluation during training."""
    logged = [entry for entry in trainer.state.log_history if "eval_loss" in entry and entry.get("step")]
    if not logged:
        return None
    return logged[-1]["step"], scores({name: value for name, value in logged[-1].items() if name != "step"})


def parameter_counts(model) -> dict[str, int]:
    trainable, total = model.get_nb_trainable_parameters()
    return {"trainable_parameters": trainable, "total_parameters": total}


def environment(context: TrainingContext) -> dict:
    """What the run ran on: device, precision and the versions of the libraries."""
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"device": context.device, "device_name": device_name(context.device), "precision": context.precision,
            "threads": torch.get_num_threads(), "python": platform.python_version(), "system": platform.platform(),
            "libraries": versions}


def attempt_folder(run_dir: Path, fence: int) -> Path:
    """Where one attempt keeps its checkpoints: two attempts never write to one place."""
    return run_dir / "checkpoints" / f"attempt-{fence}"
