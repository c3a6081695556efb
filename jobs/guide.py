"""The guide: from what a person wants and has to one method with its reasons, or to not training at all.

The rules are rules of thumb. A figure in a reason is the person's own answer, what arithmetic makes of it, what PEFT's comparison
published, or the pace of earlier runs here. Reasons are keys of the page's words with the values to fill in.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from jobs import units
from jobs.expected import Pace
from jobs.methods import METHODS
from jobs.methods.published import PublishedRow, configuration, published
from jobs.recipe import TrainingSettings

Goal = Literal["style", "skill", "facts", "labels", "numbers", "words", "preferences", "similar"]
Prompt = Literal["untried", "lacking", "works"]
Changes = Literal["stays", "changes"]
Wish = Literal["start", "quality", "memory", "files", "keep", "time"]
Verdict = Literal["train", "first", "rather not"]  # "first": try something simpler before

GOALS: tuple[Goal, ...] = get_args(Goal)
PROMPTS: tuple[Prompt, ...] = get_args(Prompt)
CHANGES: tuple[Changes, ...] = get_args(Changes)
WISHES: tuple[Wish, ...] = get_args(Wish)
TASKS: dict[Goal, str] = {
    "style": "text-generation", "skill": "text-generation", "facts": "text-generation", "labels": "text-classification",
    "numbers": "text-classification", "words": "token-classification", "preferences": "text-generation",
    "similar": "sentence-similarity"}
ENOUGH: dict[Goal, int] = {  # rows from which on training begins to pay
    "style": 30, "skill": 100, "facts": 1000, "labels": 50, "numbers": 50, "words": 100, "preferences": 100, "similar": 100}

PLAIN = "lora--llama-3.2-3B-rank64"           # what other methods are compared with
STABLE = "lora--llama-3.2-3B-rank64-rslora"
AS_USUAL = {"miss": "miss--llama-3.2-3B-default"}  # where the most accurate configuration is not as the studio begins
HIGH_RANK = {"method_settings.r": 64, "method_settings.lora_alpha": 64, "method_settings.variant": "rslora"}  # as STABLE was run
BYTES = {"none": 2.0, "nf4": 0.6}             # of a weight on a GPU: bf16, or 4 bits with what stays whole beside them
BYTES_OF_PROCESSOR = 4.0                      # fp32
ROOM = 5.0                                    # bytes for a parameter beside the weights: 16 GB with 3.2 B in PEFT's comparison
CAREFUL_ROOM, CAREFUL_LEAST = 0.3, 1.5e9      # one row at a time, with gradient checkpointing
WHOLE = 16.0                                  # bytes for a parameter that is trained itself: weight, gradient, optimizer
SLOW_ON_PROCESSOR = 1e9                       # parameters
LARGE_STEPS = 2e8                             # parameters below which LoRA takes ten times the usual learning rate


@dataclass(frozen=True)
class Answers:
    """What a person said. None or 0 where they did not."""

    goal: Goal = "style"
    rows: int | None = None
    base: str = ""                       # on the shelf; empty: one of that size
    parameters: int = 0                  # of the base model
    base_tasks: tuple[str, ...] | None = None  # that the base model serves; None: not known
    gpu: bool = False
    memory_bytes: int = 0
    hours: float = 0                     # 0: as long as it takes
    prompt: Prompt = "lacking"
    changes: Changes = "stays"
    wish: Wish = "start"

    @property
    def task(self) -> str:
        return TASKS[self.goal]


@dataclass(frozen=True)
class Because:
    """A sentence of the page's words, with its values."""

    key: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """A method with the settings that matter here, by their names in a recipe; all others stay at their defaults."""

    method: str
    quantization: str = "none"
    settings: dict[str, Any] = field(default_factory=dict)
    reasons: tuple[Because, ...] = ()


@dataclass(frozen=True)
class Advice:
    verdict: Verdict
    instead: tuple[Because, ...]  # what would do without a training, or should come first
    choice: Choice
    others: tuple[Choice, ...]    # one or two, each with what it trades
    rows: Because                 # what the data has to look like
    fits: bool = True             # whether the base model can be trained in that memory


@dataclass(frozen=True)
class Room:
    """How the base model goes into the memory."""

    quantization: str
    careful: bool  # one row at a time, with gradient checkpointing
    fits: bool
    reason: Because


def advise(got: Answers, pace: Callable[[str], Pace | None] = lambda method: None) -> Advice:
    """The advice for these answers. `pace` tells what earlier runs of a method took on that base model, None: nothing."""
    verdict, instead = what_instead(got)
    room = room_for(got)
    method, settings, why = method_for(got, room)
    training, training_reasons = training_for(got, method, room, pace(method))
    choice = Choice(method, room.quantization, {**settings, **training}, (*why, room.reason, *training_reasons))
    return Advice(verdict, instead, choice, others_than(choice, got, room), Because(got.goal), room.fits)


def choices_of(choice: Choice, base: str = "") -> dict[str, str]:
    """The choices by their names in a recipe, as the address of the Train page takes them."""
    named = {"method": choice.method, "quantization": choice.quantization, **({"base": base} if base else {}), **choice.settings}
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in named.items()}


# ---- without a training


def what_instead(got: Answers) -> tuple[Verdict, tuple[Because, ...]]:
    """Whether to train at all, and what to do instead or before."""
    never, first = [], []
    few = got.rows is not None and got.rows < ENOUGH[got.goal]
    if got.goal == "facts":
        if got.changes == "changes":
            never.append(Because("facts_change"))
        elif few:
            never.append(Because("facts_few", {"rows": count(got.rows)}))
        else:
            first.append(Because("facts_lookup"))
    elif few:
        key = "no_rows" if not got.rows else "few_similar" if got.goal == "similar" else "few_rows"
        never.append(Because(key, {"rows": count(got.rows), "enough": count(ENOUGH[got.goal])}))
    if got.prompt == "works":
        never.append(Because("prompt_works"))
    elif got.prompt == "untried":
        first += _to_try(got)
    return ("rather not" if never else "first" if first else "train"), (*never, *first)


def _to_try(got: Answers) -> list[Because]:
    if got.goal in ("style", "skill", "preferences"):
        return [Because("try_prompt")]
    if got.goal == "similar":
        return [Because("try_ready")]
    # with many rows a small model of one's own beats a prompt in speed and price, and mostly in quality
    return [Because("try_labels")] if got.goal in ("labels", "numbers", "words") and (got.rows or 0) < 500 else []


# ---- memory


def room_for(got: Answers) -> Room:
    """The first of: as it is; as it is with care; in 4 bits with care. Whoever wishes for little memory begins with care."""
    if not got.memory_bytes or not got.parameters:
        return Room("none", False, True, Because("memory_unknown"))
    whole, small = _weights(got, "none"), _weights(got, "nf4")
    values = {"weights": units.size(whole), "small": units.size(small), "memory": units.size(got.memory_bytes),
              "bits": units.setting(8 * round(whole / got.parameters))}
    spare = got.wish == "memory"
    if not spare and whole + _beside(got, careful=False) <= got.memory_bytes:
        return Room("none", False, True, Because("memory_fits", values))
    if not (spare and got.parameters >= 1e9) and whole + _beside(got, careful=True) <= got.memory_bytes:
        return Room("none", True, True, Because("memory_careful", values))
    if small + _beside(got, careful=True) <= got.memory_bytes:
        return Room("nf4", True, True, Because("memory_spared" if spare else "memory_nf4", values))
    most = max(0.0, (got.memory_bytes - CAREFUL_LEAST) / (BYTES["nf4"] + CAREFUL_ROOM))
    return Room("nf4", True, False, Because("memory_too_large", {**values, "most": units.amount(_rounded(most))}))


def _weights(got: Answers, quantization: str) -> float:
    """Bytes of the base model's weights."""
    return got.parameters * (BYTES[quantization] if got.gpu or quantization != "none" else BYTES_OF_PROCESSOR)


def _beside(got: Answers, careful: bool) -> float:
    """About how many bytes come beside the weights: activations, the adapter, its gradients and the optimizer."""
    wide = 1 if got.gpu else 2  # fp32 takes twice what bf16 does
    return wide * got.parameters * CAREFUL_ROOM + CAREFUL_LEAST if careful else wide * got.parameters * ROOM


def _rounded(parameters: float) -> int:
    """Down to a size that people speak of: 3.4 billion becomes 3 billion."""
    for step in (1e10, 1e9, 1e8, 1e7, 1e6):
        if parameters >= step:
            return int(parameters // step * step)
    return 0


# ---- the method


def method_for(got: Answers, room: Room) -> tuple[str, dict[str, Any], tuple[Because, ...]]:
    """A method, the settings of its own that matter, and why."""
    wanted = _wanted(got)
    if can(wanted, got.task, room.quantization):
        method, why = wanted, [Because(f"method_{got.wish}_{wanted}", compared(wanted))]
    else:
        title = METHODS[wanted].title if wanted in METHODS else wanted
        method, why = "lora", [Because("method_start_lora", compared("lora")), Because("method_cannot", {"title": title})]
    settings = {}
    if method == "lora" and (got.wish == "quality" or (got.goal == "facts" and got.wish == "start")):
        settings = dict(HIGH_RANK)
        why = [Because("method_facts" if got.wish == "start" else "method_quality_lora", compared("lora", STABLE))]
    return _named(method, room.quantization), settings, tuple(why)


def _wanted(got: Answers) -> str:
    if got.wish == "files":
        return "lokr" if got.goal in ("skill", "facts") else "ia3"
    return "oft" if got.wish == "keep" else "lora"


def can(method: str, task: str, quantization: str) -> bool:
    """Whether the catalogue has a method of that name, for that task and on such a base, as far as has been tried."""
    entry = METHODS.get(_named(method, quantization))
    return (entry is not None and quantization in entry.quantizations and not entry.reason(f"task {task}")
            and not (quantization != "none" and entry.reason(quantization)))


def _named(method: str, quantization: str) -> str:
    """LoRA on a base in 4 bits has an entry of its own."""
    return "qlora" if method == "lora" and quantization == "nf4" and "qlora" in METHODS else method


def compared(method: str, row: str = "") -> dict[str, str]:
    """What PEFT's comparison found of a method (its most accurate configuration, or the one named), beside plain LoRA."""
    row, plain = row or AS_USUAL.get(method, ""), configuration(PLAIN)
    found = configuration(row) if row else next(iter(published(method)), None)
    beside = {f"lora_{name}": text for name, text in told(plain).items()}
    if found is None:
        return beside
    slower = found.seconds / plain.seconds - 1
    return {**beside, **told(found), "slower": units.share(abs(slower))}


def told(row: PublishedRow) -> dict[str, str]:
    """A published row in words."""
    return {"accuracy": units.share(row.accuracy), "memory": units.size(row.memory_bytes),
            "size": units.size(row.checkpoint_bytes), "time": units.duration(round(row.seconds)),
            "forgetting": units.figure(row.forgetting, 2)}


def others_than(choice: Choice, got: Answers, room: Room) -> tuple[Choice, ...]:
    """At most two other methods that can do it, with what each trades. They take the same settings of the training."""
    training = {name: value for name, value in choice.settings.items()
                if name.startswith("training.") and name != "training.learning_rate"}
    found = []
    for method, own in _candidates(got, room):
        quantization = "none" if method == "full" else room.quantization
        name = _named(method, quantization)
        if (own or name != choice.method) and can(method, got.task, quantization):
            values = compared(method, STABLE if own else "")
            rate = {"training.learning_rate": METHODS[name].learning_rate / 10} if got.goal == "preferences" else {}
            trade = "high_rank" if own else method
            found.append(Choice(name, quantization, {**own, **training, **rate}, (Because(f"trade_{trade}", values),)))
    return tuple(found[:2])


def _candidates(got: Answers, room: Room) -> list[tuple[str, dict[str, Any]]]:
    """Other methods for this, the nearest first, with settings of their own."""
    match got.wish:
        case "quality":
            found = [("hira", {}), ("lily", {})]
        case "memory":
            found = [("miss", {})]
        case "files":
            found = [("ia3" if _wanted(got) == "lokr" else "lokr", {}), ("lora", {})]
        case "keep":
            found = [("shira", {}), ("lora", {})]
        case "time":
            found = [("miss", {}), ("ia3", {})]
        case _:
            found = _by_goal(got, room)
    return [(method, own) for method, own in found if method != "full" or _whole_fits(got)]


def _by_goal(got: Answers, room: Room) -> list[tuple[str, dict[str, Any]]]:
    few = got.rows is not None and got.rows < 200
    if got.goal == "facts":
        return [*([] if room.careful else [("cartridge", {})]), ("full", {}), ("oft", {})]  # a cartridge takes no checkpointing
    if got.goal in ("labels", "numbers", "words", "similar"):
        return [("ia3", {}), ("full", {})] if few else [("full", {}), ("ia3", {}), ("oft", {})]
    if got.goal == "skill":
        return [("lora", dict(HIGH_RANK)), ("full", {}), ("oft", {})]
    return [("ia3" if few else "oft", {}), ("lokr", {})]


def _whole_fits(got: Answers) -> bool:
    """Whether all weights may be trained: many rows or a small model, and the memory for it."""
    small = 0 < got.parameters < 5e8
    room = _beside(got, careful=True)
    return (small or (got.rows or 0) >= 10_000) and 0 < got.parameters * WHOLE + room <= got.memory_bytes


# ---- the training


def training_for(got: Answers, method: str, room: Room, pace: Pace | None) -> tuple[dict[str, Any], tuple[Because, ...]]:
    """The settings of the training that should not stay at their defaults, and why."""
    settings: dict[str, Any] = {}
    reasons: list[Because] = []
    if got.base_tasks is not None and got.task not in got.base_tasks:
        writes = got.task == "text-generation"
        reasons.append(Because("base_cannot_write" if writes else "base_cannot_read", {"base": got.base}))
    elif got.task != "text-generation":
        reasons.append(Because("encoder"))
    epochs = _epochs(got, settings, reasons)
    _batch(got, room, settings, reasons)
    _time(got, pace, epochs, settings, reasons)
    if got.goal == "preferences":
        settings["training.learning_rate"] = METHODS[method].learning_rate / 10
        reasons += [Because("preferences_rate"), Because("preferences_after")]
    elif method == "lora" and 0 < got.parameters < LARGE_STEPS:
        settings["training.learning_rate"] = METHODS[method].learning_rate * 10
        reasons.append(Because("rate_small"))
    return settings, tuple(reasons)


def _epochs(got: Answers, settings: dict[str, Any], reasons: list[Because]) -> float:
    usual = TrainingSettings.model_fields["epochs"].default
    if not got.rows:
        return usual
    epochs = 5 if got.rows < 200 else 1 if got.rows >= 50_000 else 2 if got.rows >= 10_000 else usual
    if epochs != usual:
        settings["training.epochs"] = epochs
        key = "epochs_few" if epochs > usual else "epochs_one" if epochs == 1 else "epochs_many"
        reasons.append(Because(key, {"rows": count(got.rows), "epochs": epochs}))
    return epochs


def _batch(got: Answers, room: Room, settings: dict[str, Any], reasons: list[Because]) -> None:
    if room.careful:
        settings["training.gradient_checkpointing"] = True
    if got.goal == "similar":  # rows are compared with the others of their batch, which accumulation does not replace
        settings["training.batch_size"] = 8 if room.careful else 32
        reasons.append(Because("similar_batch", {"rows": settings["training.batch_size"]}))
    elif room.careful:
        settings |= {"training.batch_size": 1, "training.accumulation": TrainingSettings.model_fields["batch_size"].default}


def _time(got: Answers, pace: Pace | None, epochs: float, settings: dict[str, Any], reasons: list[Because]) -> None:
    if not got.gpu and got.parameters >= SLOW_ON_PROCESSOR:
        reasons.append(Because("slow_on_processor", {"parameters": units.amount(got.parameters)}))
    if pace is None or not got.rows:
        reasons.extend([Because("time_unknown")] if got.hours else [])
        return
    epoch, most = pace.seconds_per_row * got.rows, got.hours * 3600
    seconds = pace.overhead + epoch * epochs
    values = {"time": units.duration(round(seconds)), "once": units.duration(round(pace.overhead + epoch))}
    if not most or seconds <= most:
        reasons.append(Because("time_known", values))
    elif (fewer := int((most - pace.overhead) / epoch)) >= 1:
        settings["training.epochs"] = fewer
        reasons.append(Because("time_cut", {**values, "epochs": fewer}))
    else:
        settings["training.epochs"] = 1
        reasons.append(Because("time_short", values))


def count(number: int | None) -> str:
    return f"{number or 0:,}"
