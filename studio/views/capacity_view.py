"""The table of what fits: a row for each well-known model, a column for each method, a link to the Train page in each cell."""

from itertools import groupby
from urllib.parse import urlencode

from jobs import units
from jobs.forecast.capacity import MOST_ROWS, VARIANTS, Room
from jobs.forecast.result import FITS, TIGHT, TOO_LARGE
from jobs.methods import METHODS
from studio.render import render
from studio.text import say

KINDS = {FITS: "fits", TIGHT: "tight", TOO_LARGE: "does_not_fit"}


def capacity_table(rooms: list[Room], device: str, learnt: str = "") -> str:
    """`device` says in a sentence for which one, `learnt` what its own runs taught."""
    columns = [variant for variant in VARIANTS if any(room.variant == variant for room in rooms)]
    rows = []
    for model, found in groupby(rooms, key=lambda room: room.model):
        by_variant = {room.variant: cell(room) for room in found}
        rows.append({"name": model.name, "size": say("capacity.parameters", amount=units.amount(model.parameters)),
                     "cells": [by_variant.get(variant) for variant in columns]})
    return render("capacity.html", device=device, learnt=learnt, count=count(rooms), rows=rows, most=MOST_ROWS,
                  titles=[say(f"capacity.variant.{variant.name}") for variant in columns])


def count(rooms: list[Room]) -> str:
    fits, tight = (sum(room.verdict == verdict for room in rooms) for verdict in (FITS, TIGHT))
    return say("capacity.count_tight" if tight else "capacity.count", fits=fits, all=len(rooms), tight=tight)


def cell(room: Room) -> dict:
    """What it says, and where it leads."""
    told, kind = lines(room), KINDS[room.verdict]
    name, verdict = say(f"capacity.variant.{room.variant.name}"), say(f"capacity.{kind}")
    label = say("capacity.open", model=room.model.name, variant=name, words=", ".join([verdict, *told]))
    return {"kind": kind, "verdict": verdict, "lines": told, "link": train_link(room), "label": label}


def lines(room: Room) -> list[str]:
    """Batches that fit by length, how long a row may be, and what the smallest takes where nothing fits."""
    if room.verdict == TOO_LARGE:
        return [say("capacity.least", size=units.size(room.least_bytes))]
    told = [say("capacity.batch", rows=rows, length=f"{length:,}") for length, rows in room.batches.items() if rows]
    return [*told, say("capacity.up_to", length=f"{room.longest:,}")] if room.longest else told


def train_link(room: Room) -> str:
    """The Train page with the method and the largest batch at the shortest of these lengths; empty where nothing fits."""
    if room.verdict == TOO_LARGE or not room.longest:
        return ""
    length, rows = next(iter(room.batches.items()))
    if not rows:
        length, rows = room.longest, 1
    wanted = {"method": room.variant.method, "quantization": METHODS[room.variant.method].quantizations[0],
              "training.max_length": length, "training.batch_size": rows}
    return "/?" + urlencode(wanted | ({"training.gradient_checkpointing": "true"} if room.variant.gradient_checkpointing else {}))
