"""Measures a finished adapter beside its base model: scores, answers, what was forgotten. Both share one copy of the weights."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

import torch
from pydantic import ValidationError

from jobs.certificate.judge import Answered, Figure
from jobs.certificate.likeness import agreement, goes_in_circles, holds, is_empty, token_f1
from jobs.certificate.scores import BASE_BROKEN, SCORERS, mean_loss
from jobs.certificate.wanted import Wanted
from jobs.checksums import check_adapter
from jobs.data import LoadedData
from jobs.data.languages import language_of
from jobs.methods import find_method
from jobs.models.hashing import base_model_hash
from jobs.playground.bench import Bench
from jobs.playground.request import BaseChoice, GenerateRequest, GenerationSettings, Message, Pane
from jobs.recipe import Recipe
from jobs.services import Services
from jobs.submit import load_examples
from jobs.training.context import TrainingContext
from jobs.training.tasks import load_task
from storage.problems import ArtefactCorrupt, StudioError
from storage.records import Adapter, Run

BASE, ADAPTER = "base", "adapter"
WRITES = "text-generation"
MAX_SECONDS = 3600
ROUND_TRIPS = 20
BOTH_WAYS = 0.1  # share of the sources in each of two languages, from which on data translates both ways
SOURCES_LOOKED_AT = 500
LONGEST_LINE = 512  # tokens of the general text
LOADING, SCORING, ANSWERING, GENERAL = "loading", "scoring", "answering", "general"
Told = Callable[[str, float], None]


class Unanswered(StudioError):
    """A model has no answer to a prompt."""


@dataclass
class Measured:
    figures: list[Figure]
    answers: list[Answered]
    device: str


@dataclass
class Held:
    """The run's data, as far as it can be had: `why` says what is missing."""

    recipe: Recipe | None = None
    data: LoadedData | None = None
    train: Sequence[dict] = ()
    rows: Sequence[dict] = ()
    why: str = ""


@dataclass
class Question:
    messages: list[dict]
    raw: bool = False
    task: int = 0


@dataclass
class Measuring:
    """One measurement. Prompts go the playground's own way, so that the answers are those that people get there."""

    services: Services
    run: Run
    adapter: Adapter
    wanted: Wanted
    told: Told
    bench: Bench
    answers: list[Answered] = field(default_factory=list)

    def measure(self) -> Measured:
        self.told(LOADING, 0.0)
        self.folder = check_adapter(self.services.settings.adapters_dir, self.adapter)
        self.choice = BaseChoice(base_path=same_base(self.services, self.adapter), base_name=self.adapter.base_model,
                                 task=self.adapter.task, quantization=self.run.recipe.get("quantization", "none"))
        held = read_held(self.services, self.run, self.wanted.rows)
        loaded = self.bench.load(self.choice)
        self.base, self.tuned = loaded.answerer(None), loaded.answerer(self.folder)
        figures = self.scores(held)
        figures += self.answered(held)
        figures.append(self.forgetting())
        return Measured(figures, self.answers, self.bench.device)

    # ---- the task's own scores

    def scores(self, held: Held) -> list[Figure]:
        self.told(SCORING, 0.1)
        if held.why:
            return [Figure(name="score", why=held.why)]
        recipe, data = held.recipe, held.data
        context = TrainingContext(
            recipe=recipe, task=load_task(recipe.task, data.format), format=data.format, device=str(self.tuned.device),
            precision="fp32", base_path=self.choice.base_path, attempt_dir=Path(), report=None,
            labels=list(self.tuned.labels or data.labels), tokenizer=self.tuned.tokenizer)
        rows = []
        for task, examples in by_task(recipe, held.rows):
            columns = context.task.encode(examples, context).columns
            rows += [{**dict(zip(columns, values, strict=True)), "task": task} for values in zip(*columns.values(), strict=True)]
        if not rows:
            return [Figure(name="score", why=f"Not one of {len(held.rows):,} validation rows has a token to measure.")]
        scorer = SCORERS[data.format if data.format in SCORERS else recipe.task]
        with torch.inference_mode():
            return scorer(rows, self.base, self.tuned, context)

    # ---- what it answers

    def answered(self, held: Held) -> list[Figure]:
        if self.choice.task == "sentence-similarity":
            why = "This task compares texts and answers nothing."
            return [Figure(name=name, why=why) for name in ("expected", "consistency")] + self.circles([])
        questions = [] if held.why or self.choice.task != WRITES else questions_of(held, self.wanted.answers)
        trips = self.trips(held)
        count = len(questions) + len(self.wanted.prompts) + sum(map(len, self.wanted.groups)) + 2 * len(trips)
        self.done, self.count = 0, max(1, count)
        texts = [pair for question in questions if (pair := self.answer_if_possible(question))]
        figures = [self.expected(), self.consistency()]
        texts += [(one.answer, one.base_answer) for one in self.answers]
        if (trip := self.round_trip(trips, held)) is not None:
            figures.append(trip)
        return figures + self.circles(texts)

    def ask(self, question: Question) -> tuple[str, str]:
        """The adapter's answer and the base model's; raises Unanswered."""
        self.told(ANSWERING, 0.2 + 0.7 * self.done / self.count)
        self.done += 1
        request = GenerateRequest(
            **self.choice.model_dump(), panes=[Pane(name=ADAPTER, adapter_folder=self.folder), Pane(name=BASE)],
            settings=GenerationSettings(max_new_tokens=self.wanted.answer_tokens, temperature=0, raw=question.raw,
                                        task=question.task, max_seconds=MAX_SECONDS),
            **({"prompt": question.messages[-1]["content"]} if question.raw else
               {"messages": [Message(**message) for message in question.messages]}))
        found = {}
        for answer in self.bench.answers(request):
            if "problem" in answer:
                raise Unanswered(f"The prompt '{question.messages[-1]['content'][:60]}' was not answered. {answer['problem']}")
            labels = answer.get("labels")
            found[answer["name"]] = labels[0]["label"] if labels else answer["text"]
        return found[ADAPTER], found[BASE]

    def answer_if_possible(self, question: Question) -> tuple[str, str] | None:
        """None for a validation prompt that is too long: training has cut it."""
        try:
            return self.ask(question)
        except Unanswered:
            return None

    def expected(self) -> Figure:
        if not self.wanted.prompts:
            return Figure(name="expected", why="No prompts with expected content were listed.")
        for one in self.wanted.prompts:
            answer, base_answer = self.ask(asked(one.prompt))
            self.answers.append(Answered(prompt=one.prompt, expected=one.expected, answer=answer, base_answer=base_answer,
                                         found=holds(answer, one.expected), base_found=holds(base_answer, one.expected)))
        return Figure(name="expected", measured=mean(one.found for one in self.answers),
                      base=mean(one.base_found for one in self.answers), rows=len(self.answers), of="listed prompts")

    def consistency(self) -> Figure:
        if not self.wanted.groups:
            return Figure(name="consistency", why="No question was listed in different words.")
        alike, base_alike = [], []
        for number, group in enumerate(self.wanted.groups):
            said = [Answered(prompt=question, answer=answer, base_answer=base_answer, group=number)
                    for question in group for answer, base_answer in [self.ask(asked(question))]]
            alike.append(agreement([one.answer for one in said]))
            base_alike.append(agreement([one.base_answer for one in said]))
            self.answers += said
        return Figure(name="consistency", measured=mean(alike), base=mean(base_alike), rows=len(alike), of="questions")

    def trips(self, held: Held) -> list[str]:
        """Texts to translate there and back, where the data goes both ways."""
        if held.why or held.data.format != "translation" or not goes_both_ways(held):
            return []
        return [question.messages[-1]["content"] for question in questions_of(held, min(ROUND_TRIPS, self.wanted.answers))]

    def round_trip(self, trips: list[str], held: Held) -> Figure | None:
        """None where the task has no way back."""
        if held.why or held.data.format != "translation":
            return None
        if not trips:
            return Figure(name="round_trip", why="The data translates in one direction only, so there is no way back.")
        kept, base_kept = [], []
        for text in trips:
            there, base_there = self.ask(asked(text))
            kept.append(token_f1(text, self.ask(asked(there))[0]) if there.strip() else 0.0)
            base_kept.append(token_f1(text, self.ask(asked(base_there))[1]) if base_there.strip() else 0.0)
        return Figure(name="round_trip", measured=mean(kept), base=mean(base_kept), rows=len(trips), of="validation texts")

    def circles(self, texts: list[tuple[str, str]]) -> list[Figure]:
        if self.choice.task != WRITES or not texts:
            why = "This task writes no text." if self.choice.task != WRITES else \
                "No answer was asked for: there are no validation prompts and no listed ones."
            return [Figure(name=name, why=why) for name in ("repetition", "empty")]
        return [Figure(name=name, measured=mean(test(answer) for answer, _ in texts),
                       base=mean(test(answer) for _, answer in texts), rows=len(texts), of="answers")
                for name, test in (("repetition", goes_in_circles), ("empty", is_empty))]

    # ---- what was forgotten

    def forgetting(self) -> Figure:
        self.told(GENERAL, 0.9)
        if self.choice.task != WRITES:
            return Figure(name="forgetting", why="This task's model writes no text, so there is no loss on general text.")
        rows = []
        for line in self.wanted.general_lines():
            ids = self.tuned.tokenizer(line).input_ids
            limit = min(LONGEST_LINE, (self.tuned.context_length or LONGEST_LINE) - 1)
            rows += [{"input_ids": part, "trained": [0, len(part)], "task": 0}
                     for start in range(0, len(ids), limit) if len(part := ids[start:start + limit]) > 1]
        if not rows:
            return Figure(name="forgetting", why="The general text has no two tokens in a line.")
        with torch.inference_mode():
            (measured, tokens), (base, _) = mean_loss(rows, self.tuned), mean_loss(rows, self.base)
        if not math.isfinite(base):
            return Figure(name="forgetting", why=BASE_BROKEN)
        broken = not math.isfinite(measured)
        return Figure(name="forgetting", measured=None if broken else measured, base=base, rows=tokens,
                      of="tokens of general text", broken=broken)


def measure(services: Services, run: Run, adapter: Adapter, wanted: Wanted, told: Told, device: str = "auto") -> Measured:
    """All figures; raises a StudioError where the adapter or its base model cannot be used, or a prompt cannot be answered."""
    bench = Bench(device)
    try:
        return Measuring(services, run, adapter, wanted, told, bench).measure()
    finally:
        bench.free()


def same_base(services: Services, adapter: Adapter) -> Path:
    """The folder of the base model that an adapter was trained on; raises ArtefactCorrupt where it was changed since."""
    path = services.shelf.resolve(adapter.base_path).path
    if adapter.base_hash and base_model_hash(path, services.settings.models_dir / "hashes.json") != adapter.base_hash:
        raise ArtefactCorrupt(f"The base model '{adapter.base_model}' was changed since the adapter was trained on it. Put its "
                              "files back as they were, or train the adapter again.")
    return path


def read_held(services: Services, run: Run, count: int) -> Held:
    """The rows that the run kept aside, at most so many; the same ones each time."""
    try:
        recipe = Recipe.model_validate(run.recipe)
        data, train, validation = load_examples(services, recipe)
    except ValidationError:
        return Held(why="This adapter has no recipe of its own, so there is no validation data to measure with.")
    except StudioError as problem:
        return Held(why=f"The validation data cannot be read: {problem}")
    if not len(validation):
        return Held(recipe, data, train, why="The run kept no validation rows aside, so there is nothing to measure with.")
    if len(validation) > count:
        validation = validation.take(sorted(random.Random(recipe.seed).sample(range(len(validation)), count)))
    return Held(recipe, data, train, validation)


def by_task(recipe: Recipe, examples: Sequence[dict]) -> list[tuple[int, list[dict]]]:
    """The rows of each task that an adapter tells apart; all are of one where it does not."""
    if not (find_method(recipe.method).special.by_task and hasattr(examples, "sources")):
        return [(0, list(examples))]
    tasks = list(examples.sources())
    return [(task, [example for example, own in zip(examples, tasks, strict=True) if own == task]) for task in sorted(set(tasks))]


def asked(prompt: str) -> Question:
    return Question([{"role": "user", "content": prompt}])


def questions_of(held: Held, count: int) -> list[Question]:
    """The first prompts of the validation rows that can be asked as they are: without tools, and before an answer."""
    questions = []
    for task, examples in by_task(held.recipe, held.rows):
        for example in examples:
            if len(questions) >= count:
                return questions
            if question := question_of(example):
                question.task = task
                questions.append(question)
    return questions


def question_of(example: dict) -> Question | None:
    if "text" in example:
        words = example["text"].split()
        half = " ".join(words[:len(words) // 2][:40])
        return Question([{"role": "user", "content": half}], raw=True) if half else None
    turns = example.get("prompt", example["messages"][:-1] if "messages" in example else [])
    plain = [{"role": turn["role"], "content": turn.get("content") or ""} for turn in turns]
    if not plain or example.get("tools") or plain[-1]["role"] != "user" or not plain[-1]["content"].strip() or \
            any(turn["role"] not in ("system", "user", "assistant") for turn in plain):
        return None
    return Question(plain)


def goes_both_ways(held: Held) -> bool:
    """Whether translations are learnt in both directions: one side's texts, or their languages, are on the other side too."""
    pairs = [(example["messages"][-2]["content"], example["messages"][-1]["content"])
             for part in (held.rows, held.train) for number, example in zip(range(SOURCES_LOOKED_AT), part, strict=False)]
    sources, targets = {source for source, _ in pairs}, {target for _, target in pairs}
    if len(sources & targets) >= BOTH_WAYS * len(pairs):
        return True
    found = [language_of([source]) for source, _ in pairs]
    languages = {language for language in found if language and found.count(language) >= BOTH_WAYS * len(found)}
    return len(languages & {language_of([target]) for _, target in pairs}) > 1
