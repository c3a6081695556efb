"""What to change where a run does not fit, or only just: the nearest changes that take less memory, each forecast itself, and what
each costs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from jobs.forecast.result import FITS, PARTS, TIGHT, TOO_LARGE, Forecast, Suggestion
from jobs.memory import EVALUATION_ROWS
from jobs.methods import find_method
from jobs.methods.full import FULL
from jobs.recipe import IN_BATCH, Recipe
from jobs.units import size
from storage.problems import StudioError

MOST = 3
SHORTEST = 64   # tokens that a row may be cut at
HELPS = 0.97    # of the peak: a change that leaves more is not worth its cost
EIGHT_BITS = "adamw_8bit"

Ask = Callable[[Recipe], Forecast]


@dataclass(frozen=True)
class Change:
    """Settings by their names in the recipe, such as {"training.gradient_checkpointing": True}; what that is, and what it costs."""

    settings: dict[str, Any]
    words: str
    cost: str

    def __and__(self, other: "Change") -> "Change":
        return Change({**self.settings, **other.settings}, f"{self.words} and {other.words}", f"{self.cost}; {other.cost}")


Kind = list[Change]  # changes of one kind, the smallest first


def suggestions(recipe: Recipe, now: Forecast, ask: Ask) -> list[Suggestion]:
    return list(nearest_changes(recipe, now, ask))


def nearest_changes(recipe: Recipe, now: Forecast, ask: Ask) -> Iterator[Suggestion]:
    """At most three, each as soon as it is found: the smallest change of each kind that makes it fit with room to spare, those
    first that learn the same; then those that only just fit; then several kinds together."""
    enough, just, helping = [], [], []

    def asked(*changes: Change) -> Forecast:
        return ask(changed(recipe, joined(changes)))

    for kind in kinds_of_change(recipe, now):
        try:
            found, most = smallest(kind, asked)
        except StudioError:
            continue  # the method or the base model does not go with that
        if found:
            enough.append((kind, found[0]))
            yield suggestion(found[0], now, found[1])
        elif most.peak_memory_bytes < HELPS * now.peak_memory_bytes:
            helping.append(kind)
            if most.verdict == TIGHT and now.verdict == TOO_LARGE:
                just.append((kind[-1], most))
        if len(enough) == MOST:
            return
    just = just[:MOST - len(enough)]
    for change, forecast in just:
        yield suggestion(change, now, forecast)
    if len(enough) + len(just) < MOST and helping:
        more = less_of(*enough[0], helping[0], asked) if enough else together(helping, asked, bool(just))
        if more:
            yield suggestion(more[0], now, more[1])


def less_of(kind: Kind, alone: Change, other: Kind, asked: Callable[..., Forecast]) -> tuple[Change, Forecast] | None:
    """With the largest change of another kind, a smaller one than was enough alone; None where that is none."""
    less = kind[:kind.index(alone)]
    found, _ = smallest(less, partial(asked, other[-1])) if less else (None, None)
    return found and (other[-1] & found[0], found[1])


def smallest(kind: Kind, ask: Callable[[Change], Forecast]) -> tuple[tuple[Change, Forecast] | None, Forecast]:
    """The smallest change of a kind that fits with room to spare, if one does, and the forecast of the largest."""
    most = ask(kind[-1])
    if most.verdict != FITS:
        return None, most
    found, low, high = most, 0, len(kind) - 1
    while low < high:  # each change takes less than the one before
        middle = (low + high) // 2
        forecast = ask(kind[middle])
        if forecast.verdict == FITS:
            found, high = forecast, middle
        else:
            low = middle + 1
    return (kind[high], found), most


def together(kinds: list[Kind], asked: Callable[..., Forecast], with_room: bool) -> tuple[Change, Forecast] | None:
    """The largest changes of as few kinds as it takes, the last of them as small as it may be; None where all are not enough."""
    def is_enough(forecast: Forecast) -> bool:
        return forecast.verdict == FITS or bool(forecast.fits) and not with_room

    taken: Kind = []
    for kind in kinds:
        forecast = asked(*taken, kind[-1])
        if not is_enough(forecast):
            taken.append(kind[-1])
            continue
        for change in list(taken):  # what the later ones made needless
            rest = [other for other in taken if other is not change]
            if rest and is_enough(without := asked(*rest, kind[-1])):
                taken, forecast = rest, without
        found, _ = smallest(kind, partial(asked, *taken))
        last, forecast = found or (kind[-1], forecast)
        return joined([*taken, last]), forecast
    return None


def joined(changes: Sequence[Change]) -> Change:
    whole, *others = changes
    for other in others:
        whole = whole & other
    return whole


def suggestion(change: Change, now: Forecast, then: Forecast) -> Suggestion:
    words = f"{change.words}: {size(then.peak_memory_bytes)} instead of {size(now.peak_memory_bytes)}, {change.cost}."
    return Suggestion(change.settings, then.peak_memory_bytes, True, words[0].upper() + words[1:])


def kinds_of_change(recipe: Recipe, now: Forecast) -> Iterator[Kind]:
    """Those first that learn the same."""
    training, method = recipe.training, find_method(recipe.method)
    compared = recipe.dataset.format in IN_BATCH
    rows = fewer_at_a_time(recipe, compared, now.device)
    if rows and not compared:
        yield rows
    if not training.gradient_checkpointing and not method.special.not_checkpointed:
        yield [Change({"training.gradient_checkpointing": True}, "gradient checkpointing", "about a third slower")]
    if training.optimizer == "adamw_torch" and now.parts.get(PARTS[3], 0) > (1 - HELPS) * now.peak_memory_bytes:
        yield [Change({"training.optimizer": EIGHT_BITS}, "an optimizer in 8 bits", "its averages are rounded")]
    if kind := fewer_bits(recipe, now.device):
        yield kind
    if recipe.method == FULL:
        yield [Change({"method": "lora"}, "LoRA instead of all weights", "an adapter learns, and the base model stays as it is")]
    if lengths := shorter_rows(recipe):
        yield lengths
    if rows and compared:
        yield rows
    if now.evaluation_bytes >= now.peak_memory_bytes:  # at least so many rows at a time, whatever the batch
        if recipe.dataset.validation != "none" and training.batch_size < EVALUATION_ROWS:
            yield [Change({"dataset.validation": "none"}, "no validation data", "nothing measures what was learnt")]


def fewer_at_a_time(recipe: Recipe, compared: bool, device: str) -> Kind:
    """The same batch in more parts."""
    training, found = recipe.training, []
    effective = training.batch_size * training.accumulation
    same = "learns the same" if device == "cpu" else "learns the same, somewhat slower"
    cost = "each row is compared with fewer others" if compared else same
    for rows in range(training.batch_size - 1, 1 if compared else 0, -1):
        if effective % rows == 0:
            words = f"{rows} row{'s' if rows > 1 else ''} at a time"
            found.append(Change({"training.batch_size": rows, "training.accumulation": effective // rows}, words, cost))
    return found


def fewer_bits(recipe: Recipe, device: str) -> Kind:
    """The base model in fewer bits. On a CPU, where it would be held in 32, first in 16."""
    method, training, found = find_method(recipe.method), recipe.training, []
    if recipe.method == FULL or recipe.quantization != "none":
        return []
    if device == "cpu" and (training.precision, training.base_precision) == ("auto", "auto"):
        found.append(Change({"training.base_precision": "bf16"}, "the base model in bf16",
                            "a little less exact, and slow on a CPU that only imitates bf16"))
    return found + [Change({"quantization": bits}, f"the base model in {bits}", "slower, and a little less exact")
                    for bits in ("int8", "nf4") if bits in method.quantizations and not method.reason(bits)]


def shorter_rows(recipe: Recipe) -> Kind:
    now, length, lengths = recipe.training.max_length, 1 << (recipe.training.max_length - 1).bit_length(), []
    while length > SHORTEST:
        lengths += [length * 3 // 4, length // 2]
        length //= 2
    return [Change({"training.max_length": length}, f"rows of at most {length:,} tokens", "what is beyond is not learnt")
            for length in lengths if SHORTEST <= length < now]


def changed(recipe: Recipe, change: Change) -> Recipe:
    """The recipe with settings by their names exchanged."""
    parts: dict[str, dict[str, Any]] = {"": {}, "training": {}, "dataset": {}}
    for name, value in change.settings.items():
        part, _, setting = name.rpartition(".")
        parts[part][setting] = value
    whole = {part: getattr(recipe, part).model_copy(update=update) for part, update in parts.items() if part and update}
    if parts[""].get("method", recipe.method) != recipe.method:
        whole["method_settings"] = {}
    return recipe.model_copy(update={**whole, **parts[""]})
