"""What a recipe will take, as HTML: a verdict, a bar of parts and a legend for each device, and the changes that make it fit."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from jobs import units
from jobs.devices import DeviceFacts
from jobs.forecast.result import PARTS, TIGHT, TOO_LARGE, Forecast, Suggestion
from studio.render import render
from studio.text import say

MARKS = {"fits": "finished", "tight": "warned", "does not fit": "failed", "unknown": "queued"}  # how a verdict's pill looks


@dataclass(frozen=True)
class Answer:
    """A device that is offered, and what the recipe takes there."""

    device: DeviceFacts
    forecast: Forecast

    @property
    def taken(self) -> int:
        return self.forecast.peak_memory_bytes + self.forecast.beside_bytes

    @property
    def name(self) -> str:
        return self.device.name if self.device.kind == "cuda" and self.device.name else say(f"forecast.device.{self.device.kind}")


NOTHING = {"quiet": [], "answers": [], "facts": [], "some": False, "several": False, "stale": False}


def waiting() -> str:
    """Before anything is known."""
    return render("forecast.html", **{**NOTHING, "number": 0, "stale": True})


def quiet(number: int, sentences: Sequence[str]) -> str:
    """Why there is no forecast."""
    return render("forecast.html", **{**NOTHING, "number": number, "quiet": sentences})


def told(number: int, answers: Sequence[Answer], several: bool) -> str:
    """The forecast for each device; `several`: the form makes several runs, and this is of the one without their changes."""
    large = [answer.forecast.verdict == TOO_LARGE for answer in answers]
    return render("forecast.html", **{**NOTHING, "number": number, "answers": [shown(answer) for answer in answers],
                                      "facts": facts_of(answers[0].forecast), "some": any(large) and not all(large),
                                      "several": several})


def changes(found: Sequence[Suggestion], searching: bool, wanted: bool) -> str:
    """What makes it fit, each with a button; `wanted`: it does not fit, or only just."""
    if not wanted:
        return ""
    rows = [{"words": suggestion.words, "ask": json.dumps(suggestion.change, separators=(",", ":"))} for suggestion in found]
    return render("forecast_changes.html", rows=rows, searching=searching)


def refusal(sentences: Sequence[str]) -> str:
    """In the place of a start that would run out of memory."""
    return render("forecast_refusal.html", sentences=sentences)


def refused(answers: Sequence[Answer]) -> list[str]:
    """Why a run cannot be started, where none of the devices is large enough for it."""
    if not answers or any(answer.forecast.verdict != TOO_LARGE for answer in answers):
        return []
    return [say(f"forecast.refused.{answer.device.kind}", device=answer.name, needed=units.size(answer.taken),
                memory=units.size(answer.device.memory_bytes)) for answer in answers]


def shown(answer: Answer) -> dict:
    forecast, memory = answer.forecast, answer.device.memory_bytes
    whole = max(memory, answer.taken) or 1
    of = {"peak": units.size(forecast.peak_memory_bytes), "memory": units.size(memory),
          "missing": units.size(answer.taken - memory)}
    sentence = "forecast.of_unknown" if not memory else "forecast.of" if forecast.fits else "forecast.of_too_small"
    parts = [{"key": part.replace(" ", "-"), "name": say(f"forecast.part.{part}"), "size": units.size(size),
              "share": 100 * size / whole} for part, size in zip(PARTS, map(forecast.parts.get, PARTS), strict=True) if size]
    if forecast.beside_bytes:
        parts.append({"key": "beside", "name": say("forecast.part.beside"), "size": units.size(forecast.beside_bytes),
                      "share": 100 * forecast.beside_bytes / whole})
    ends = 100 * memory / whole if memory and memory < answer.taken else None
    return {"name": answer.name, "verdict": say(f"forecast.verdict.{forecast.verdict}"), "mark": MARKS[forecast.verdict],
            "of": say(sentence, **of), "parts": parts, "memory": of["memory"], "ends": ends,
            "note": say("forecast.tight") if forecast.verdict == TIGHT else "",
            "read": say("forecast.read", parts=", ".join(f"{part['name']} {part['size']}" for part in parts))}


def facts_of(forecast: Forecast) -> list[tuple[str, str]]:
    """What does not depend on the device, and how long it takes where that is known."""
    learnt = say("forecast.learns", part=units.amount(forecast.trainable_parameters), whole=units.amount(forecast.total_parameters),
                 share=units.share(forecast.trainable_parameters, forecast.total_parameters))
    told = [(say("forecast.fact.learns"), learnt), (say("forecast.fact.file"), units.size(forecast.checkpoint_bytes)),
            (say("forecast.fact.disk"), units.size(forecast.disk_bytes))]
    for name, seconds in (("step", forecast.step_seconds), ("run", forecast.run_seconds)):
        if seconds:
            told.append((say(f"forecast.fact.{name}"), say("forecast.about", likely=units.duration(seconds.likely),
                                                           least=units.duration(seconds.least), most=units.duration(seconds.most))))
    return told
