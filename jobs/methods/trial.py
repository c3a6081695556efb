"""What a method can do, found by trying it on tiny real models, through the studio's own training code.

`python -m bench methods` keeps what is found in tried.json; tests/jobs/methods/test_conformance.py holds that table to it.
Nothing here imports torch: the jobs.training.workshop.Workshop that is handed in does.
"""

import re
import traceback
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from jobs.methods.base import TrainingMethod
from jobs.recipe import TASKS
from storage.problems import StudioError

SAME = 1e-4  # between the answers of one adapter that was opened in two ways
ALIKE = (0.5, 2)  # times as much as on the whole base model, that the loss falls by on one in few bits
LEARNT = 0.999  # of the first step's loss, that is left at most
FAMILIES = {task: ("llama", "gpt2") if task == "text-generation" else ("bert", "llama") for task in TASKS}
FEWER_BITS = ("int8", "nf4", "fp4")
LIBRARIES = ("/site-packages/", "/dist-packages/")
NOT_ADDED = "PEFT cannot add adapters of this kind up."
NOT_MIXED = "PEFT asks one adapter for all rows of a batch."
PACKED = "PEFT works on the weights themselves here, and cannot where they are packed in few bits."
OCCASION = r"^(quantization is '\w+'|training\.\w+ is on|The base model is of the family \w+)\. "
ADVICE = r" (Choose|Set|Switch)\b[^.]*\.$"
IN_OUR_WORDS = {  # what PEFT's errors mean, by what they say
    r"Conv1D": "PEFT has nothing of this kind for the layers of GPT-2 (Conv1D).",
    r"list of decoder layers|ModuleList": "PEFT finds the blocks of Llama and its like, and none in an encoder such as BERT.",
    r"has no bias": "Most newer models have no biases, and there is nothing else that it could be merged into.",
    r"not supported for Lily|input-dependent": "What it adds depends on the row, so no fixed weights can hold it.",
    r"^NotImplementedError": "PEFT has no way to merge it.",
    r"add_weighted_adapter": NOT_ADDED,
    r"adapter_names": NOT_MIXED,
    r"model type for adaption prompt": "PEFT has it for Llama, Mistral and GPT-2 only.",
    r"XLoraConfig": "PEFT holds one such mixture at a time.",
    r"TrainableTokensLayer wraps": "PEFT cannot put a second adapter on the same token vectors.",
    r"floating point|cannot be multiplied|is invalid for input of size|plain torch.nn.Linear|requires float32|effective_rank"
    r"|signed char": PACKED,
}


class Cannot(Exception):
    """Why a method cannot do something, in one sentence."""


class Trial:
    """One trained adapter, and what can be done with it. The checks raise where something cannot."""

    def __init__(self, workshop, trained):
        self.workshop, self.trained = workshop, trained
        self.answers = trained.answers

    # ---- what every method must do

    def learn(self) -> None:
        first, *_, last = self.trained.losses
        if not last < LEARNT * first:
            raise Cannot(f"It learns nothing: the loss goes from {first:.4f} to {last:.4f}.")

    def reload(self) -> None:
        """From the zip, with nothing but PEFT and transformers."""
        self.compare(self.ask(self.workshop.plain(self.trained, self.folder)), self.answers, "Opened again, it answers otherwise")

    def playground(self) -> None:
        model = self.workshop.in_playground(self.trained, self.folder)
        self.compare(self.workshop.answers(model, self.trained.batch), self.answers, "In the playground it answers otherwise")

    def resume(self) -> None:
        """The checkpoint gives back what was learned to a model that has gone elsewhere."""
        assert self.second, "the model holds the second adapter now"
        self.workshop.load_checkpoint(self.trained)
        self.compare(self.workshop.answers(self.trained.model, self.trained.batch), self.answers,
                     "A checkpoint does not give back what was learned")

    # ---- what some can

    def merge(self) -> None:
        model = self.workshop.plain(self.trained, self.folder)
        try:
            merged = model.merge_and_unload()
        except AttributeError as error:
            raise Cannot("It leaves the base model's weights as they are, so there is nothing to merge.") from error
        if not self.workshop.difference(self.ask(merged), self.answers) <= SAME:
            raise Cannot("Merged into the base model by PEFT, it answers otherwise.")

    def several_at_once(self) -> None:
        for name, expected in (("default", self.answers), ("second", self.second_answers), ("default", self.answers)):
            self.both.set_adapter(name)
            self.compare(self.ask(self.both), expected, "With another adapter loaded beside it, it answers otherwise")

    def weighted_combination(self) -> None:
        try:
            add = self.both.add_weighted_adapter
        except AttributeError as error:
            raise Cannot(NOT_ADDED) from error
        for name, weights, expected in (("one", [1.0, 0.0], self.answers), ("other", [0.0, 1.0], self.second_answers)):
            add(["default", "second"], weights, name)
            self.both.set_adapter(name)
            self.compare(self.ask(self.both), expected, "Added up with the weights 1 and 0, they do not answer as the first one")

    def mixed_batches(self) -> None:
        """The last of the checks: where PEFT stops in the middle, its model is spoilt."""
        expected = self.second_answers.clone()
        expected[1::2] = self.answers[1::2]
        names = ["default" if row % 2 else "second" for row in range(len(expected))]
        if not self.workshop.difference(self.ask(self.both, adapter_names=names), expected) <= SAME:
            raise Cannot(NOT_MIXED)

    # ---- what these share

    @cached_property
    def folder(self) -> Path:
        return self.workshop.unpacked(self.trained)

    @cached_property
    def second(self) -> Path:
        return self.workshop.saved_otherwise(self.trained)

    @cached_property
    def second_answers(self):
        return self.ask(self.workshop.plain(self.trained, self.second))

    @cached_property
    def both(self):
        """The base model with both adapters loaded by PEFT."""
        model = self.workshop.plain(self.trained, self.folder)
        model.load_adapter(str(self.second), "second")
        return model.eval()

    def ask(self, model, **options):
        """What a model that plain PEFT has opened makes of the rows."""
        return self.workshop.answers(model, self.workshop.plain_batch(self.trained), **options)

    def compare(self, found, expected, otherwise: str) -> None:
        distance = self.workshop.difference(found, expected)
        if not distance <= SAME:
            raise Cannot(f"{otherwise} (by {distance:.1g}).")


MUST: dict[str, Callable[[Trial], None]] = {
    "learn": Trial.learn, "reload": Trial.reload, "playground": Trial.playground, "resume": Trial.resume}
MAY: dict[str, Callable[[Trial], None]] = {
    "merge": Trial.merge, "several_at_once": Trial.several_at_once, "weighted_combination": Trial.weighted_combination,
    "mixed_batches": Trial.mixed_batches}


def try_method(workshop, method: TrainingMethod, say: Callable[[str], None] = lambda line: None) -> dict[str, str]:
    """Everything that can be tried of a method: ability to the reason why not, empty where it can."""
    method.tried.clear()  # what was found earlier does not stand in the way
    found: dict[str, str] = {}
    trained = {}
    for task in TASKS:
        reasons = {}
        for family in FAMILIES[task]:
            trained[task, family], reasons[family] = train(workshop, method, task, family)
            say(f"{task} on {family}: {reasons[family] or 'yes'}")
        found[f"task {task}"] = "" if "" in reasons.values() else reasons["llama"]
        if not found[f"task {task}"]:
            found |= {f"task {task} on {family}": why for family, why in reasons.items() if why}
    used = next((one for one in trained.values() if one), None)
    if used is None:
        return found
    trial = Trial(workshop, used)
    for ability, check in (MUST | MAY).items():
        found[ability] = why_not(check, trial)
        say(f"{ability}: {found[ability] or 'yes'}")
    found["gradient_checkpointing"] = why_not(learn_the_same, workshop, method, used)
    say(f"gradient_checkpointing: {found['gradient_checkpointing'] or 'yes'}")
    for bits in FEWER_BITS:
        found[bits] = try_in_bits(workshop, method, bits, used)
        say(f"{bits}: {found[bits] or 'yes'}")
    return found


def train(workshop, method: TrainingMethod, task: str, family: str, **options):
    """What was trained, and the reason why not; one of the two."""
    trained: list = []
    why = why_not(lambda: trained.append(train_well(workshop, method, task, family, **options)))
    return (None, why) if why else (trained[0], "")


def train_well(workshop, method: TrainingMethod, task: str, family: str, **options):
    """With the method's own learning rate, or where that does not suit so small a model and so few steps, with another one."""
    trained = workshop.train(method, task, family, **options)
    first, *_, last = trained.losses
    if last < LEARNT * first:
        return trained
    rate = trained.recipe.training.learning_rate * (0.1 if last > first else 10)
    trained = workshop.train(method, task, family, learning_rate=rate, **options)
    Trial(workshop, trained).learn()
    return trained


def try_in_bits(workshop, method: TrainingMethod, bits: str, plain) -> str:
    """Why it cannot be trained on a base model that is held in fewer bits, and opened again there; empty where it can.

    `plain` was trained on the whole base model: the few bits must not make much of a difference.
    """
    def try_it():
        recipe = plain.recipe
        trained = workshop.train(method, recipe.task, plain.family, quantization=bits, learning_rate=recipe.training.learning_rate)
        trial = Trial(workshop, trained)
        trial.learn()
        if not ALIKE[0] <= fall(trained) / fall(plain) <= ALIKE[1]:
            raise Cannot(PACKED)
        trial.reload()

    return why_not(try_it)


def fall(trained) -> float:
    first, *_, last = trained.losses
    return first - last


def learn_the_same(workshop, method: TrainingMethod, plain) -> None:
    """Gradient checkpointing computes the same gradients, so the same is learned."""
    recipe = plain.recipe
    checkpointed = workshop.train(method, recipe.task, plain.family, gradient_checkpointing=True,
                                  learning_rate=recipe.training.learning_rate)
    found = workshop.difference(checkpointed.answers, plain.answers)
    if not found <= SAME:
        raise Cannot(f"With gradient checkpointing it learns something else: answers differ by {found:.1g}.")


def why_not(step: Callable, *arguments) -> str:
    """Empty where a step goes through, else why not, in one sentence. An error of the studio's own code is raised."""
    try:
        step(*arguments)
    except Cannot as reason:
        return str(reason)
    except Exception as error:
        cause = error.__cause__ if isinstance(error, StudioError) and error.__cause__ else error
        if not isinstance(cause, StudioError) and not of_a_library(cause):
            raise
        return in_words(cause)
    return ""


def of_a_library(error: BaseException) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and any(part in frames[-1].filename for part in LIBRARIES)


def in_words(error: BaseException) -> str:
    """One sentence about what PEFT, or the studio before it, refuses."""
    if isinstance(error, StudioError):  # without what it asks to change
        return re.sub(ADVICE, "", re.sub(OCCASION, "", str(error).splitlines()[-1]))
    said = f"{type(error).__name__}: {' '.join(str(error).split())}"
    known = next((words for pattern, words in IN_OUR_WORDS.items() if re.search(pattern, said)), "")
    return known or f"PEFT stops with {said[:200].rstrip('.')}."
