"""What the studio adds to a trainer: figures and requests between steps, and a stop before a run is ruined."""

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import torch
from peft import load_peft_weights, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import Trainer, TrainerCallback
from transformers.integrations.neftune import neftune_post_forward_hook
from transformers.trainer_pt_utils import LengthGroupedSampler

from jobs import checkpoints
from jobs.memory import SNAPSHOT_LIMIT
from jobs.methods.special import Special, special_of
from jobs.methods.special.tasks import rows_belong_to
from jobs.preparing.packing import real_tokens
from jobs.recipe import Score, TrainingSettings
from jobs.training.allocating import give_back
from jobs.training.best import Best
from jobs.training.report import Report
from jobs.training.weights import is_whole, load_whole
from storage.faults import fault_point
from storage.problems import LossDiverged
from storage.records import Phase, Request

AMONG_FIRST = 12  # batches, of which the shortest is the first
CHECKPOINT_SECONDS = 30  # between checkpoints, where the recipe does not count steps
GOOD_LOSS = 1.5  # a state counts as good while its loss is at most this many times the first loss
GOOD_WEIGHTS = "studio-good.safetensors"  # in a checkpoint: the last good state, where it is not the checkpoint's own
STATE = "studio-state.safetensors"  # in a checkpoint: what a method needs to go on, where the adapter does not have all of it

SCORES = get_args(Score)
LOGGED = {"loss": "loss", "learning_rate": "learning_rate", "grad_norm": "grad_norm",
          **{f"eval_{score.removeprefix('eval_')}": score for score in SCORES}}


class Interrupted(Exception):
    """Somebody asked for the end while the model was measured; nothing of it is kept."""


class EpochOrder(torch.utils.data.Sampler):
    """The order of the rows: it depends on the seed and the epoch only, so that a resumed epoch goes on as it began.

    Grouped by length, the longest rows come in the second batch: a lack of memory shows soon, and the first step even sooner.
    """

    def __init__(self, sampler: torch.utils.data.Sampler, seed: int):
        self.sampler, self.seed, self.epoch = sampler, seed, 0
        sampler.generator = torch.Generator()

    def __len__(self):
        return len(self.sampler)

    def __iter__(self):
        self.sampler.generator.manual_seed(self.seed + self.epoch)
        if isinstance(self.sampler, LengthGroupedSampler):
            return iter(short_first(list(self.sampler), self.sampler.lengths, self.sampler.batch_size))
        return iter(self.sampler)


def short_first(order: list[int], lengths: list[int], batch: int) -> list[int]:
    """The shortest of the first batches goes before them all. transformers sorts by length within a number of batches."""
    starts = range(0, min(AMONG_FIRST * batch, len(order) - batch + 1), batch)
    shortest = min(starts, key=lambda start: max(lengths[number] for number in order[start:start + batch]), default=0)
    return order[shortest:shortest + batch] + order[:shortest] + order[shortest + batch:]


class Watched:
    """Mixed in before a trainer class: counts real tokens and seconds, and keeps the last good weights.

    `tokens` counts what the attention mask shows, so padding is left out; `training_seconds` leaves evaluation out.
    """

    report: Report
    best: Best
    order: EpochOrder
    tokens = 0
    earlier_seconds = 0.0  # of training, before the checkpoint that this attempt goes on from
    began_at: float | None = None
    ended_at: float | None = None
    evaluation_seconds = 0.0
    last_loss = first_loss = None
    good_step = 0
    good_weights: list[torch.Tensor] | None = None
    trained: list[torch.nn.Parameter] | None = None

    own_optimizer: Callable[[], torch.optim.Optimizer | None] = staticmethod(lambda: None)  # which the trainer does not make itself
    noise = 0.0  # NEFTune's alpha

    @property
    def is_training(self) -> bool:
        return self.began_at is not None and self.ended_at is None

    def train(self, *arguments, **options):
        # the trainer's own way to the embeddings does not find those of every method
        with noisy_embeddings(self.model, self.noise):
            return super().train(*arguments, **options)

    def create_optimizer(self, *arguments, **options):
        with all_trained(self.trained or []):
            if self.optimizer is None:
                self.optimizer = self.own_optimizer()
            return super().create_optimizer(*arguments, **options)

    def _get_train_sampler(self, train_dataset=None):
        sampler = super()._get_train_sampler(train_dataset)
        if isinstance(sampler, LengthGroupedSampler):
            sampler.lengths = list(sampler.lengths)  # else each of many comparisons reads one from the disk
        self.order = EpochOrder(sampler, self.args.seed)
        return self.order

    def training_step(self, model, inputs, num_items_in_batch=None):
        self.tokens += real_tokens(inputs)
        fault_point("training.forward")
        with rows_belong_to(self.model, inputs.pop("task_ids", None)):
            loss = super().training_step(model, inputs, num_items_in_batch)
        fault_point("training.backward")
        self.last_loss = loss.item()
        if not math.isfinite(self.last_loss):
            raise LossDiverged(f"The loss became {self.last_loss} at step {self.state.global_step + 1}.")
        if self.first_loss is None:
            self.first_loss = self.last_loss
        return loss

    def evaluate(self, *arguments, **options):
        """Measure, and leave the random states as they were. Between steps, a stop ends it without figures.

        Losses are measured without label smoothing, so that those of different runs compare.
        """
        began, smoother = time.monotonic(), self.label_smoother
        self.label_smoother = None
        give_back()
        try:
            with same_random_state():
                return super().evaluate(*arguments, **options)
        except Interrupted:
            if not self.is_training:
                raise
            self.control.should_evaluate = False
            self.control.should_training_stop = self.control.should_save = True
            return {}
        finally:
            self.label_smoother = smoother
            if self.is_training:
                self.evaluation_seconds += time.monotonic() - began

    def smoothing(self) -> float:
        """The share of label smoothing just now, for losses that the trainer does not work out itself."""
        return self.label_smoother.epsilon if self.label_smoother else 0.0

    def prediction_step(self, model, inputs, *arguments, **options):
        self.give_way()
        fault_point("training.evaluation")
        with rows_belong_to(self.model, inputs.pop("task_ids", None)):
            return super().prediction_step(model, inputs, *arguments, **options)

    def give_way(self) -> None:
        """Raise Interrupted when the end is wanted. A pause waits for a measurement between steps: training goes on with it."""
        if self.report.asked == Request.STOP or (self.report.asked == Request.PAUSE and not self.is_training):
            raise Interrupted

    def training_seconds(self) -> float:
        """Seconds of training so far, over all attempts, without evaluation."""
        if self.began_at is None:
            return self.earlier_seconds
        return self.earlier_seconds + (self.ended_at or time.monotonic()) - self.began_at - self.evaluation_seconds

    def keep_good_weights(self) -> None:
        """Remember the trainable weights as they are before a step, while the loss with them is good."""
        if self.last_loss > GOOD_LOSS * self.first_loss:
            return
        weights = self.trainable_weights()
        if self.good_weights is None:
            if sum(weight.nbytes for weight in weights) > SNAPSHOT_LIMIT:
                return
            self.good_weights = [torch.empty_like(weight) for weight in weights]
        torch._foreach_copy_(self.good_weights, weights)
        self.good_step = self.state.global_step

    def restore_good_weights(self) -> int:
        """Put the last good weights back; returns the steps that they had learnt (0: nothing to keep)."""
        if self.good_weights is None:
            return 0
        torch._foreach_copy_(self.trainable_weights(), self.good_weights)
        return self.good_step

    def trainable_weights(self) -> list[torch.Tensor]:
        """Those that were to be trained at the beginning: a method may drop some on the way."""
        if self.trained is None:
            self.trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        return [weight.detach() for weight in self.trained]

    # ---- what a checkpoint knows beside the trainer's own state

    def create_model_card(self, *arguments, **options):
        """None beside each checkpoint, as TRL wants it: the studio's own comes with the adapter."""

    def write_notes(self, notes: dict, folder: Path) -> None:
        """Put into `notes` and `folder` what `read_notes` needs to go on as if nothing had happened."""
        notes.update(
            tokens=self.tokens, training_seconds=self.training_seconds(), first_loss=self.first_loss, good_step=self.good_step,
            # the trainer forgets the losses since it last told them
            untold_loss=self._tr_loss.item(), told_step=self._globalstep_last_logged, best=self.best.as_notes())
        if not is_whole(self.model) and (state := special_of_model(self.model).state(self.model)):
            save_file({name: value.detach().cpu().contiguous() for name, value in state.items()}, folder / STATE)
        if self.good_weights is not None:
            save_file({str(index): weight for index, weight in enumerate(self.good_weights)}, folder / GOOD_WEIGHTS)

    def read_notes(self, notes: dict, folder: Path) -> None:
        self.tokens, self.earlier_seconds = notes.get("tokens", 0), notes.get("training_seconds", 0.0)
        self.first_loss, self.good_step = notes.get("first_loss"), notes.get("good_step", 0)
        if (folder / GOOD_WEIGHTS).exists():
            weights = load_file(folder / GOOD_WEIGHTS)
            self.good_weights = [weights[str(index)].to(weight.device) for index, weight in enumerate(self.trainable_weights())]

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        load_weights(self.model, Path(resume_from_checkpoint))

    def go_on_telling(self, notes: dict) -> None:
        """Add up the losses that were not told yet when the checkpoint was written, once the trainer has begun."""
        self._tr_loss += notes.get("untold_loss", 0.0)
        self._globalstep_last_logged = notes.get("told_step", self.state.global_step)


def load_weights(model, checkpoint: Path) -> None:
    """Put a checkpoint's weights into the model that wrote them, in its own number format: the trainer's way makes all fp32."""
    if is_whole(model):
        load_whole(model, checkpoint)
        return
    if (checkpoint / STATE).is_file():
        special_of_model(model).restore(model, load_file(checkpoint / STATE))
        return
    set_peft_model_state_dict(model, load_peft_weights(str(checkpoint), device="cpu"))


def special_of_model(model) -> Special:
    """What the PEFT type of a model with an adapter needs."""
    kind = model.peft_config["default"].peft_type
    return special_of(getattr(kind, "value", kind))


def add_penalty(trainer, penalty: Callable[[], torch.Tensor | None]) -> None:
    """Have a trainer add something to its loss while it trains, once for every step."""
    compute_loss = trainer.compute_loss

    def with_penalty(model, inputs, return_outputs=False, num_items_in_batch=None):
        result = compute_loss(model, inputs, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch)
        added = penalty() if trainer.model.training else None
        if added is None:
            return result
        if trainer.model_accepts_loss_kwargs and num_items_in_batch is not None and trainer.loss_is_scaled_for_ga is not False:
            added = added / trainer.current_gradient_accumulation_steps  # else the trainer divides the sum
        return (result[0] + added, result[1]) if return_outputs else result + added

    trainer.compute_loss = with_penalty


@contextlib.contextmanager
def all_trained(weights: list[torch.nn.Parameter]):
    """Let an optimizer know weights that are not trained any more, too: a checkpoint's optimizer knows them."""
    dropped = [weight for weight in weights if not weight.requires_grad]
    for weight in dropped:
        weight.requires_grad = True
    try:
        yield
    finally:
        for weight in dropped:
            weight.requires_grad = False


@contextlib.contextmanager
def noisy_embeddings(model, alpha: float):
    """NEFTune (Jain et al. 2023, arXiv 2310.05914): noise on the embeddings, while the model is in training mode."""
    if not alpha:
        yield
        return
    embeddings = model.get_input_embeddings()
    embeddings.neftune_noise_alpha = alpha
    handle = embeddings.register_forward_hook(neftune_post_forward_hook)
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def same_random_state():
    """Whatever draws random numbers inside, those that come after are the same."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        yield


class Watcher(TrainerCallback):
    """Passes what happens on to the report, and requests back to the trainer."""

    def __init__(self, report: Report, trainer: Trainer, notes: dict, claimed_at: float, settings: TrainingSettings):
        self.report, self.trainer, self.notes = report, trainer, notes
        self.claimed_at, self.settings = claimed_at, settings
        self.saved_at = time.monotonic()
        self.look: Callable[[], None] | None = None  # at the base model alone, which waits for the first step

    def on_train_begin(self, args, state, control, **kwargs):
        state.compute_steps(args, state.max_steps)  # a checkpoint of another run may have counted otherwise
        if state.global_step:
            self.trainer.go_on_telling(self.notes)
        self.trainer.began_at = time.monotonic()
        self.report.progress(state.global_step, state.max_steps)
        self.report.phase(Phase.TRAINING)
        self.report.change(training_since=time.time(), training_since_step=state.global_step)

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.trainer.order.epoch = int(state.epoch or 0)

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        self.trainer.keep_good_weights()
        fault_point("training.optimizer")

    def on_step_end(self, args, state, control, **kwargs):
        self.report.progress(state.global_step, state.max_steps)
        if "seconds_to_first_step" not in self.notes:
            self.notes["seconds_to_first_step"] = time.monotonic() - self.claimed_at
            self.report.change(seconds_to_first_step=self.notes["seconds_to_first_step"])
            self.report.soon()
        if self.look:
            self.look_at_base(state, control)
        asked, is_last = self.report.asked, state.global_step >= state.max_steps
        if asked in (Request.STOP, Request.PAUSE):
            control.should_training_stop = True
        if asked == Request.STOP or is_last:  # the last state is saved first, and then measured
            control.should_evaluate = False
        control.should_save = control.should_training_stop or self.checkpoint_is_due(state.global_step)
        return control

    def look_at_base(self, state, control) -> None:
        """Measure the base model as of step 0, in time that does not count as training; a request for the end cuts it short."""
        began, counted, step = time.monotonic(), self.trainer.evaluation_seconds, state.global_step
        look, self.look, state.global_step = self.look, None, 0
        due = control.should_log, control.should_evaluate  # of the step, which an evaluation strikes off
        try:
            look()
        finally:
            state.global_step = step
            control.should_log, control.should_evaluate = due
            self.trainer.evaluation_seconds = counted + time.monotonic() - began
        if self.report.asked != Request.NONE:
            raise Interrupted
        self.report.phase(Phase.TRAINING)
        self.report.change(training_since=time.time(), training_since_step=step)

    def checkpoint_is_due(self, step: int) -> bool:
        if self.settings.save_steps:
            return step % self.settings.save_steps == 0
        return time.monotonic() - self.saved_at > CHECKPOINT_SECONDS

    def on_train_end(self, args, state, control, **kwargs):
        self.trainer.ended_at = time.monotonic()

    def on_log(self, args, state, control, logs=None, **kwargs):
        values = {LOGGED[name]: value for name, value in (logs or {}).items() if name in LOGGED}
        self.report.metrics(state.global_step, {name: value for name, value in values.items() if math.isfinite(value)})
        if "eval_loss" in values and state.global_step:
            scores = ", ".join(f"{name.replace('_', ' ')} {values[name]:.4f}" for name in SCORES if name in values)
            self.report.say(f"Step {state.global_step}: {scores}")

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        if not state.global_step:  # the base model alone
            return
        best = self.trainer.best
        if best.judge(state.global_step, metrics):
            control.should_save = control.should_save or self.settings.keep_best
        elif self.settings.patience and best.waited >= self.settings.patience and self.trainer.is_training:
            self.report.say(f"Ending early at step {state.global_step}: {best.waited} evaluations in a row were not better than "
                            f"the one at {best.in_words()}." if best.step else
                            f"Ending early at step {state.global_step}: no evaluation gave a {best.by.replace('_', ' ')}.")
            self.notes["ended_early"] = True
            control.should_training_stop = control.should_save = True
        if self.report.asked == Request.PAUSE:
            control.should_training_stop = control.should_save = True

    def on_save(self, args, state, control, **kwargs):
        folder, best = Path(args.output_dir) / f"checkpoint-{state.global_step}", self.trainer.best
        self.trainer.write_notes(self.notes, folder)
        self.notes["adapter_step"] = best.step if self.settings.keep_best and best.waited else state.global_step
        self.report.flush()  # first: what the checkpoint has learnt is never told again
        checkpoints.seal(folder, self.notes)
        if self.report.checkpointed(state.global_step):
            checkpoints.rotate(folder, self.settings.keep_checkpoints, best.step if self.settings.keep_best else None)
        self.saved_at = time.monotonic()
