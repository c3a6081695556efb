"""What the studio adds to a trainer: figures and requests between steps, and a stop before a run is ruined."""

import math
import time
from pathlib import Path

import torch
from transformers import Trainer, TrainerCallback

from jobs.training import checkpoints
from jobs.training.report import Report
from storage.problems import LossDiverged
from storage.records import Phase, Request

SNAPSHOT_LIMIT = 256 * 1024**2  # bytes of trainable weights up to which the last good state is held in memory
CHECKPOINT_SECONDS = 30  # between checkpoints, where the recipe does not count steps
GOOD_LOSS = 1.5  # a state counts as good while its loss is at most this many times the first loss

LOGGED = {"loss": "loss", "eval_loss": "eval_loss", "learning_rate": "learning_rate", "grad_norm": "grad_norm",
          "eval_accuracy": "accuracy", "eval_macro_f1": "macro_f1"}


class Watched:
    """Mixed in before a trainer class: counts real tokens and seconds, and keeps the last good weights.

    `tokens` counts what the attention mask shows, so padding is left out; `training_seconds` leaves evaluation out.
    """

    tokens = 0
    earlier_seconds = 0.0  # of training, before the checkpoint that this attempt goes on from
    began_at: float | None = None
    ended_at: float | None = None
    evaluation_seconds = 0.0
    last_loss = first_loss = None
    good_step = 0
    good_weights: list[torch.Tensor] | None = None

    def training_step(self, model, inputs, num_items_in_batch=None):
        self.tokens += int(inputs["attention_mask"].sum()) if "attention_mask" in inputs else inputs["input_ids"].numel()
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.last_loss = loss.item()
        if not math.isfinite(self.last_loss):
            raise LossDiverged(f"The loss became {self.last_loss} at step {self.state.global_step + 1}.")
        if self.first_loss is None:
            self.first_loss = self.last_loss
        return loss

    def evaluate(self, *arguments, **options):
        began = time.monotonic()
        metrics = super().evaluate(*arguments, **options)
        if self.began_at is not None and self.ended_at is None:
            self.evaluation_seconds += time.monotonic() - began
        return metrics

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
        return [weight.detach() for weight in self.model.parameters() if weight.requires_grad]


class Watcher(TrainerCallback):
    """Passes what happens on to the report, and requests back to the trainer."""

    def __init__(self, report: Report, trainer: Trainer, notes: dict, claimed_at: float, save_steps: int):
        self.report, self.trainer, self.notes = report, trainer, notes
        self.claimed_at, self.save_steps = claimed_at, save_steps
        self.saved_at = time.monotonic()

    def on_train_begin(self, args, state, control, **kwargs):
        self.trainer.began_at = time.monotonic()
        self.report.progress(state.global_step, state.max_steps)
        self.report.phase(Phase.TRAINING)
        self.report.change(training_since=time.time(), training_since_step=state.global_step)

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        self.trainer.keep_good_weights()

    def on_step_end(self, args, state, control, **kwargs):
        if "seconds_to_first_step" not in self.notes:
            self.notes["seconds_to_first_step"] = time.time() - self.claimed_at
            self.report.change(seconds_to_first_step=self.notes["seconds_to_first_step"])
        self.report.progress(state.global_step, state.max_steps)
        if self.report.asked in (Request.STOP, Request.PAUSE):
            control.should_training_stop = True
        control.should_save = self.report.asked == Request.PAUSE or self.checkpoint_is_due(state.global_step)
        return control

    def checkpoint_is_due(self, step: int) -> bool:
        if self.save_steps:
            return step % self.save_steps == 0
        return time.monotonic() - self.saved_at > CHECKPOINT_SECONDS

    def on_train_end(self, args, state, control, **kwargs):
        self.trainer.ended_at = time.monotonic()

    def on_log(self, args, state, control, logs=None, **kwargs):
        values = {LOGGED[name]: value for name, value in (logs or {}).items() if name in LOGGED}
        self.report.metrics(state.global_step, {name: value for name, value in values.items() if math.isfinite(value)})
        if "eval_loss" in values and state.global_step:
            scores = ", ".join(f"{name.replace('_', ' ')} {values[name]:.4f}" for name in ("eval_loss", "accuracy", "macro_f1")
                               if name in values)
            self.report.say(f"Step {state.global_step}: {scores}")

    def on_save(self, args, state, control, **kwargs):
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        self.notes.update(tokens=self.trainer.tokens, training_seconds=self.trainer.training_seconds())
        self.report.flush()  # first: what the checkpoint has learnt is never told again
        checkpoints.seal(folder, self.notes)
        self.report.checkpointed()
        self.saved_at = time.monotonic()
