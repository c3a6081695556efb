"""One training, from top to bottom."""

import contextlib
import functools
import importlib.metadata
import math
import platform
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers
from peft import PeftConfig, get_peft_model, get_peft_model_state_dict, load_peft_weights
from transformers import PrinterCallback, TrainerState

from jobs import checkpoints
from jobs.methods import find_method
from jobs.methods.building import build_config
from jobs.methods.full import FULL
from jobs.methods.special import Special
from jobs.patterns import pattern_problem
from jobs.peft_types import import_own_methods
from jobs.preparing.packing import check_apart
from jobs.recipe import TrainingSettings
from jobs.training.allocating import give_back_behind_layers
from jobs.training.attention import attend_in_fp32_where_short
from jobs.training.base import computing
from jobs.training.best import Best
from jobs.training.context import TrainingContext
from jobs.training.devices import device_name, peak_memory
from jobs.training.lora.products import merge_products
from jobs.training.optimizers import ELSEWHERE, own_optimizer
from jobs.training.rows import rows_of
from jobs.training.watch import Interrupted, Watcher, add_penalty, load_weights
from jobs.training.weights import (
    choose_weights,
    freeze_in_bits,
    is_whole,
    load_whole,
    numbers_kept,
    parameter_counts,
    train_in_fp32,
)
from storage.problems import LossDiverged, TrainingStopped
from storage.records import Phase, Request, RunState

SAMPLES = 3
GROUPED = 50  # batches; fewer are not grouped by length: they would be one-sided, the short rows always together
MISFITS = (ValueError, TypeError, AttributeError, IndexError, KeyError, NotImplementedError)  # with which peft refuses a model
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
    """Train an adapter, or the whole model, by the recipe, going on from the newest whole checkpoint if there is one."""
    recipe, report = context.recipe, context.report
    transformers.set_seed(recipe.seed)
    training_rows, validation_rows = rows_of(train_examples, validation_examples, context)
    context.rows, context.steps = training_rows, steps_of(context, len(training_rows))
    context.checkpoint = checkpoint = checkpoints.newest(context.attempt_dir.parent)
    base = context.task.load_model(context)
    model = own_weights(base, context) if recipe.method == FULL else add_adapter(base, context, training_rows)
    if recipe.method != FULL:
        train_in_fp32(model)
        model.create_or_update_model_card = lambda folder: None  # at each checkpoint; the studio's own comes with the adapter
    if recipe.training.packing:
        with computing(context):
            check_apart(model, len(context.tokenizer), int8=recipe.quantization == "int8")
    if context.used_rows:
        training_rows = training_rows.select([number for number in range(len(training_rows)) if number not in context.used_rows])
    with numbers_kept(model):
        trainer = context.task.build_trainer(
            model, training_rows, validation_rows if len(validation_rows) else None, context,
            trainer_arguments(context, len(training_rows), len(validation_rows)))

    notes = read_notes(checkpoint, context)
    watcher = watch(trainer, checkpoint, context, notes, claimed_at)
    report.change(**parameter_counts(model), environment=environment(context))
    asked = (validation_examples or train_examples)[:SAMPLES]
    if checkpoint:
        report.say(f"Going on from the checkpoint at step {checkpoints.step_of(checkpoint)}.")

    try:
        if not checkpoint and base_stays(model):
            watcher.look = functools.partial(look_before, trainer, asked, context, notes)  # once the first step is made
        elif not checkpoint:
            look_before(trainer, asked, context, notes)
        learn(trainer, checkpoint, context, notes)
        stopped = report.asked != Request.NONE
        if not stopped:
            measure(trainer, context)
    except Interrupted:
        stopped = True
    except LossDiverged as problem:
        return diverged(trainer, context, notes, problem)
    if report.asked == Request.PAUSE:
        return Outcome(state=None)
    if not trainer.state.global_step:
        return Outcome(RunState.STOPPED)
    take_best(trainer, context, notes)
    if not stopped:
        with computing(context):
            answers = [sample["answer"] for sample in sampled(model, asked, context)]
        notes["answers"] = answers if report.asked == Request.NONE else []  # a request cuts them short
    return Outcome(RunState.STOPPED if stopped else RunState.FINISHED, model, context.tokenizer,
                   results=results(trainer, context, notes))


def own_weights(base, context: TrainingContext):
    """The base model, with the chosen ones of its own weights to be trained, perhaps as an earlier training left them."""
    settings = find_method(FULL).read_settings(context.recipe.method_settings)
    model = choose_weights(base, settings, context)
    if context.start_from:
        load_whole(model, context.start_from)
    return model


def add_adapter(base, context: TrainingContext, rows):
    """The base model, frozen, with the method's trainable parts in it, fresh or as an earlier training left them."""
    recipe = context.recipe
    method = find_method(recipe.method)
    import_own_methods()
    context.model_type = base.config.model_type
    if recipe.quantization != "none":
        freeze_in_bits(base, recipe.training.gradient_checkpointing)
    elif recipe.training.gradient_checkpointing:
        base.enable_input_require_grads()  # frozen embeddings would otherwise cut the gradient off
    transformers.set_seed(recipe.seed)
    if context.start_from:
        return train_on_from(context.start_from, base, context)
    settings = method.read_settings(recipe.method_settings)
    try:
        config = build_config(method, settings, context, base)
        model = get_peft_model(method.special.before(base, config, settings, context, rows), config)
        method.special.opened(model)
        method.special.after(model, settings, context, rows)
        return model
    except (*MISFITS, StopIteration) as error:  # peft's own checks of the settings against this model, such as unknown layer names
        raise TrainingStopped(f"{method.title} does not go with this base model and these settings: {error} "
                              "Change method_settings and run it again.") from error


def train_on_from(folder: Path, base, context: TrainingContext):
    """The base model with an adapter's own settings and weights in it, to be trained on."""
    special = find_method(context.recipe.method).special
    special.prepare()
    config, weights = PeftConfig.from_pretrained(folder), load_peft_weights(str(folder), device=context.device)
    config = special.located(config, folder)
    if problem := pattern_problem(config, [name for name, _ in base.named_modules() if name]):
        raise TrainingStopped(f"The adapter to start from cannot be used: {problem}.")
    config.inference_mode = False
    config.base_model_name_or_path = str(context.base_path)
    if getattr(config, "tokenizer_name_or_path", None):
        config.tokenizer_name_or_path = str(context.base_path)  # of a start text
    try:
        model = get_peft_model(base, special.prolonged(config, context))
        special.opened(model)
        load_weights(model, folder)
    except (RuntimeError, ValueError, KeyError) as error:  # other shapes, other layer names
        raise TrainingStopped(f"The adapter to start from does not fit this base model: {error}. Choose the base model that it "
                              "was trained on, or start afresh.") from error
    lacking = set(get_peft_model_state_dict(model)) - set(weights)
    unsaved = set(context.modules_to_save) - set(getattr(config, "modules_to_save", None) or [])
    if lacking or unsaved:
        raise TrainingStopped(f"The adapter to start from has no weights for {sorted(lacking | unsaved)[0]}. Choose another one, "
                              "or start afresh.")
    return model


def steps_of(context: TrainingContext, rows: int) -> int:
    """How many steps the whole training takes."""
    training = context.recipe.training
    per_epoch = math.ceil(math.ceil(rows / training.batch_size) / training.accumulation)
    return training.max_steps or max(1, math.ceil(per_epoch * training.epochs))


def trainer_arguments(context: TrainingContext, rows: int, validation_rows: int) -> dict:
    """The arguments that every task's trainer takes. The watched trainers make the noise of NEFTune themselves."""
    training = context.recipe.training
    steps = steps_of(context, rows)
    # about ten evaluations, but fewer where they would take more than a tenth or so of the whole time
    evaluations = max(1, min(10, int(0.3 * rows * training.epochs / validation_rows))) if validation_rows else 0
    return dict(
        output_dir=str(context.attempt_dir),
        num_train_epochs=training.epochs,
        max_steps=training.max_steps or -1,
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=context.evaluation_rows,
        gradient_accumulation_steps=training.accumulation,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.schedule,
        lr_scheduler_kwargs=schedule_arguments(training, steps),
        warmup_steps=training.warmup,
        weight_decay=training.weight_decay,
        optim=ELSEWHERE.get(training.optimizer, training.optimizer),
        max_grad_norm=training.max_grad_norm,
        label_smoothing_factor=training.label_smoothing,
        bf16=context.precision == "bf16",
        fp16=context.precision == "fp16",
        gradient_checkpointing=training.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if training.gradient_checkpointing else None,
        train_sampling_strategy="random" if training.packing or rows < GROUPED * training.batch_size else "group_by_length",
        eval_strategy="steps" if validation_rows else "no",
        eval_steps=training.eval_steps or math.ceil(steps / max(1, evaluations)),
        save_strategy="no",  # the watcher says when, and what goes
        logging_steps=max(1, steps // 500),
        logging_nan_inf_filter=False,
        seed=context.recipe.seed,
        use_cpu=context.device == "cpu",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=context.device != "cpu",
    )


def schedule_arguments(training: TrainingSettings, steps: int) -> dict:
    """What transformers' schedules take beside the steps."""
    match training.schedule:
        case "cosine_with_restarts":
            return {"num_cycles": training.cycles}
        case "cosine_with_min_lr":
            return {"min_lr_rate": training.lowest_rate}
        case "polynomial":
            return {"power": training.power, "lr_end": training.lowest_rate * training.learning_rate}
        case "warmup_stable_decay":
            return {"num_decay_steps": math.ceil(training.decay * steps), "min_lr_ratio": training.lowest_rate}
    return {}


def read_notes(checkpoint: Path | None, context: TrainingContext) -> dict:
    """What the checkpoint knew; a run that goes on from one that had ended early waits anew for something better."""
    run_id, noted = context.report.run.id, checkpoints.notes_of(checkpoint) if checkpoint else {}
    notes = {"best": None, "ended_early": False, **noted, "run": run_id}
    if notes["ended_early"] and noted["run"] != run_id:
        notes["ended_early"], notes["best"]["waited"] = False, 0
    if notes["best"] and context.recipe.training.keep_best and not checkpoints.of_step(
            context.attempt_dir.parent, notes["best"]["step"]):
        notes["best"] = None  # its weights are gone
    return notes


def watch(trainer, checkpoint: Path | None, context: TrainingContext, notes: dict, claimed_at: float) -> Watcher:
    """Attach the studio to a trainer, with what the checkpoint that it goes on from knew."""
    if context.device == "cpu":
        give_back_behind_layers(trainer.model, churn=trainer.args.gradient_checkpointing or context.recipe.quantization != "none")
        merge_products(trainer.model)
        attend_in_fp32_where_short()
    trainer.remove_callback(PrinterCallback)
    trainer.report = context.report
    trainer.best = Best.from_notes(notes, context.recipe.training.best_by)
    trainer.trainable_weights()  # before a method drops any
    if checkpoint:
        trainer.read_notes(notes, checkpoint)
    method = find_method(context.recipe.method)
    settings = method.read_settings(context.recipe.method_settings)
    trainer.own_optimizer = functools.partial(own_optimizer, trainer.model, trainer.args, method, settings, context)
    trainer.noise = context.recipe.training.neftune_noise_alpha
    if type(method.special).penalty is not Special.penalty:
        add_penalty(trainer, functools.partial(method.special.penalty, trainer.model, settings))
    if method.special.mean_loss:
        trainer.model_accepts_loss_kwargs = trainer.loss_is_scaled_for_ga = False
    if method.special.by_task:
        trainer.data_collator = with_tasks(trainer.data_collator)
    for callback in method.special.callbacks(trainer.model, settings, context):
        trainer.add_callback(callback)
    watcher = Watcher(context.report, trainer, notes, claimed_at, context.recipe.training)
    trainer.add_callback(watcher)
    return watcher


def with_tasks(collate):
    """Batches that say to which task their rows belong."""
    return lambda rows: {**collate(rows), "task_ids": torch.tensor([row["task"] for row in rows])}


def learn(trainer, checkpoint: Path | None, context: TrainingContext, notes: dict) -> None:
    """Train from the start, or on from a checkpoint; not at all where it has learnt everything already."""
    if not checkpoint:
        transformers.set_seed(context.recipe.seed)
        trainer.train()
        return
    *_, total_steps = trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())
    state = TrainerState.load_from_json(checkpoint / "trainer_state.json")
    if state.global_step < total_steps and not notes["ended_early"]:
        # a stop leaves out the evaluation of its step, which is made up for here
        trainer.args.eval_on_start = trainer.eval_dataset is not None and state.global_step % trainer.args.eval_steps == 0 and \
            not any("eval_loss" in entry and entry["step"] == state.global_step for entry in state.log_history)
        trainer.train(resume_from_checkpoint=str(checkpoint))
        return
    load_weights(trainer.model, checkpoint)
    trainer.state = state
    context.report.progress(trainer.state.global_step, total_steps)


def look_before(trainer, examples: list[dict], context: TrainingContext, notes: dict) -> None:
    """The base model's own loss and answers, as if nothing had been learnt."""
    context.report.phase(Phase.EVALUATING)
    with base_alone(trainer.model):
        if trainer.eval_dataset is not None:
            notes["before"] = scores(trainer.evaluate())
            context.report.change(eval_loss_before=notes["before"].get("eval_loss"))
        with computing(context):
            notes["samples"] = sampled(trainer.model, examples, context)
    trainer.give_way()


def sampled(model, examples: list[dict], context: TrainingContext) -> list[dict]:
    """The task's samples, each answered as one of its own source where every source is a task to learn."""
    if not (find_method(context.recipe.method).special.by_task and hasattr(examples, "sources")):
        return context.task.sample(model, examples, context)
    samples = []
    for example, model.usual_task in zip(examples, examples.sources(), strict=True):
        samples += context.task.sample(model, [example], context)
    model.usual_task = 0
    return samples


@contextlib.contextmanager
def base_alone(model):
    """The base model's own forward for a while, as if no adapter were there. A whole model is that until it learns."""
    if is_whole(model):
        yield
        return
    if not model.active_peft_config.is_prompt_learning:
        with model.disable_adapter():
            yield
        return
    forward, generates = model.get_base_model().forward, hasattr(model, "prepare_inputs_for_generation")
    with model.disable_adapter() if generates else contextlib.nullcontext():  # peft's needs a model that generates
        # no method: accelerate would bind it to the model with the prompt
        model.forward = lambda *inputs, **named: forward(*inputs, **named)
        try:
            yield
        finally:
            if not generates:
                del model.forward
            # accelerate mixes number formats in the forward that it finds first, which was this one; the next is to have it too
            model._is_accelerate_prepared = False


def base_stays(model) -> bool:
    """Whether the base model answers alone after a step as before it: all that learns is beside it, and can be switched off."""
    prefix = None if is_whole(model) else getattr(model.base_model, "prefix", None)  # of what is learnt, by a tuner's own name
    if prefix is None:
        return False
    beside = (prefix, "modules_to_save")
    return all(any(part in name for part in beside) for name, weight in model.named_parameters() if weight.requires_grad)


def measure(trainer, context: TrainingContext) -> None:
    """Evaluate the last state, unless that has been done."""
    context.report.phase(Phase.EVALUATING)
    if trainer.eval_dataset is not None and evaluation(trainer)[0] != trainer.state.global_step:
        trainer.evaluate()


def take_best(trainer, context: TrainingContext, notes: dict) -> None:
    """Give the model the weights of the best evaluation, where a later one was not better; notes their `best_step`."""
    best, last_step = trainer.best, trainer.state.global_step
    if not context.recipe.training.keep_best or best.step is None:
        return
    if not best.waited:
        notes["best_step"] = best.step if best.step == last_step else None  # stopped some steps after the best
        return
    checkpoint = checkpoints.of_step(context.attempt_dir.parent, best.step)
    if checkpoint is None:
        context.report.say(f"The best evaluation was at {best.in_words()}, but its checkpoint is gone or damaged; the "
                           f"{context.result} is the state after step {last_step}.", "warning")
        return
    load_weights(trainer.model, checkpoint)
    notes["best_step"] = best.step
    context.report.say(f"The best evaluation was at {best.in_words()}; the {context.result} is that one.")


def scores(metrics: dict) -> dict[str, float]:
    """The task's own figures of an evaluation, without the trainer's timings."""
    timings = ("runtime", "preparation_time", "per_second", "epoch", "num_tokens", "entropy", "mean_token_accuracy")
    kept = {name: value for name, value in metrics.items() if not name.endswith(timings) and math.isfinite(value)}
    return {name if name == "eval_loss" else name.removeprefix("eval_"): value for name, value in kept.items()}


def diverged(trainer, context: TrainingContext, notes: dict, problem: LossDiverged) -> Outcome:
    """Keep the last good state of a run whose loss left the numbers."""
    rate = context.recipe.training.learning_rate
    steps = trainer.restore_good_weights() or restore_best_saved(trainer, context)
    kept = f"The {context.result} after step {steps}, the last good state, is kept." if steps else \
        "Nothing was learnt before that." if trainer.state.global_step < 1 else "No good state before that was saved."
    return Outcome(
        RunState.FAILED, trainer.model if steps else None, context.tokenizer, problem_kind=problem.kind,
        problem=f"{problem} The learning rate of {rate:g} is probably too high. {kept} "
                f"Lower it, for example to {rate / 10:g}, and run it again.",
        results=results(trainer, context, notes))


def restore_best_saved(trainer, context: TrainingContext) -> int:
    """The same for weights that are too large for a second copy in memory: the best state that was measured and saved."""
    checkpoint = checkpoints.of_step(context.attempt_dir.parent, trainer.best.step) if trainer.best.step else None
    if checkpoint:
        load_weights(trainer.model, checkpoint)
    return trainer.best.step if checkpoint else 0


def results(trainer, context: TrainingContext, notes: dict) -> dict:
    """The figures of the record, all measured."""
    seconds = trainer.training_seconds()
    peak, peak_of = peak_memory(context.device)
    before, after = notes.get("before", {}), evaluation(trainer, notes.get("best_step"))[1]
    answers = notes.get("answers", [])
    return {
        "metrics": {**after, **{f"{name.removesuffix('_before')}_before": value for name, value in before.items()}},
        "eval_loss": after.get("eval_loss"), "eval_loss_before": before.get("eval_loss"),
        "samples": [{"prompt": sample["prompt"], "expected": sample["expected"], "before": sample["answer"],
                     "after": answers[index] if index < len(answers) else None}
                    for index, sample in enumerate(notes.get("samples", []))],
        "train_seconds": seconds, "tokens_per_second": trainer.tokens / seconds if seconds else None,
        "peak_memory_bytes": peak, "peak_memory_of": peak_of, "step": trainer.state.global_step,
        "best_step": notes.get("best_step"),
    }


def evaluation(trainer, step: int | None = None) -> tuple[int, dict[str, float]]:
    """Step and figures of the evaluation at a step, or of the last one; step 0 and nothing before the first."""
    logged = [entry for entry in trainer.state.log_history
              if "eval_loss" in entry and entry.get("step") and step in (None, entry["step"])]
    if not logged:
        return 0, {}
    return logged[-1]["step"], scores({name: value for name, value in logged[-1].items() if name != "step"})


def environment(context: TrainingContext) -> dict:
    """What the run ran on: device, precision and the versions of the libraries."""
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"device": context.device, "device_name": device_name(context.device), "precision": context.precision,
            "precision_why": context.precision_why, "base_precision": context.base_precision,
            "threads": torch.get_num_threads(), "python": platform.python_version(), "system": platform.platform(),
            "libraries": versions}


def attempt_folder(run_dir: Path, fence: int) -> Path:
    """Where one attempt keeps its checkpoints: two attempts never write to one place."""
    return run_dir / "checkpoints" / f"attempt-{fence}"
