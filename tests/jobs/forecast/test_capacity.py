"""The table of what can be tuned: it is as forecasts are now, and says what fits."""

import json

import pytest
from typer.testing import CliRunner

from jobs.forecast import terms
from jobs.forecast.capacity import (
    LENGTHS,
    ROOM,
    TABLE,
    VARIANTS,
    Model,
    Phase,
    even_lengths,
    even_rows,
    models,
    phases,
    room,
    rooms,
    taken,
)
from jobs.forecast.result import FITS, TIGHT, TOO_LARGE, UNKNOWN

GB = 10**9
SMALL = "SmolLM2-135M"
UNSEEN = [("cuda", "lora_checkpointing", 4, 768), ("cuda", "full", 2, 512), ("cpu", "qlora", 6, 640)]  # nothing was fitted there
FEW = [Phase({"base weights": 4 * GB}, 4 * GB, 1e6, 0, 10), Phase({"base weights": 4 * GB}, 4.2 * GB, 1e5, 0, 0, True)]
MODEL, VARIANT = Model("some", "text-generation", 10**9, 32768), VARIANTS[1]


@pytest.mark.parametrize(("kind", "name", "rows", "length"), UNSEEN)
def test_the_table_is_as_forecasts_are_now(kind, name, rows, length):
    from jobs.forecast.capacity_table import architectures, traced

    config, task = architectures()[SMALL]
    variant = next(variant for variant in VARIANTS if variant.name == name)
    found = traced(config, task, variant, kind, rows, length, evaluates=True)
    now = sum(terms.with_overhead(found.parts, kind).values()) + terms.beside(kind)
    remake = "The forecast has changed: make the table anew with python -m jobs.forecast.capacity_table"
    assert taken(phases(kind, SMALL, name), kind, rows, length) == pytest.approx(now, rel=0.02), remake


def test_how_a_phase_grows_is_found_from_a_few_sizes():
    from jobs.forecast.capacity_table import FEW_TOKENS, PLACES, evaluation, training

    for places in (PLACES, FEW_TOKENS):
        real = Phase({}, 3e9, 2e6, 9e5, 30)
        found = Phase({}, *training({place: round(real.bytes_at(*place)) for place in places[1:]}))
        for place in ((1, 300), (3, 512), (64, 512), (1, 512)):
            assert found.bytes_at(*place) == pytest.approx(real.bytes_at(*place), rel=1e-4)
        head, layers = Phase({}, 5e9, 1e4, 0, 0, True), Phase({"base weights": GB}, GB, 4e4, 0, 3, True)
        sizes = {place: round(max(head.bytes_at(*place), layers.bytes_at(*place))) for place in places}
        evaluating = evaluation(sizes, layers.fixed)
        for place in places:
            assert max(phase.bytes_at(*place) for phase in evaluating) == pytest.approx(sizes[place], rel=1e-3)


def test_every_model_has_every_method():
    held = json.loads(TABLE.read_text("utf-8"))
    names = {variant.name for variant in VARIANTS}
    for cells in held["cells"].values():
        assert all(set(by_variant) == names for by_variant in cells.values())
        assert set(cells) <= set(held["models"])
    assert len(models("cuda")) >= len(models("cpu")) >= 1


def test_what_fits_fits_and_the_next_larger_does_not():
    memory = 16 * GB
    found = room("cuda", memory, MODEL, VARIANT, FEW)

    def fits(rows, length):
        return taken(FEW, "cuda", rows, length) <= ROOM * memory

    assert found.verdict == FITS and set(found.batches) == set(LENGTHS)
    for length, rows in found.batches.items():
        assert fits(rows, length) and not fits(next(more for more in even_rows() if more > rows), length)
    lengths = even_lengths(MODEL.context)
    assert fits(1, found.longest) and not fits(1, lengths[lengths.index(found.longest) + 1])


def test_verdicts_leave_room_for_others():
    least = taken(FEW, "cuda", 1, 256)
    assert room("cuda", round(least / 0.95), MODEL, VARIANT, FEW).verdict == TIGHT
    assert room("cuda", round(least / 0.95), MODEL, VARIANT, FEW).longest >= 256
    too_large = room("cuda", least - 1, MODEL, VARIANT, FEW)
    assert (too_large.verdict, too_large.longest, set(too_large.batches.values())) == (TOO_LARGE, 0, {0})
    assert too_large.least_bytes == least
    assert room("cuda", 0, MODEL, VARIANT, FEW).verdict == UNKNOWN
    assert room("cuda", round(least / 0.85), MODEL, VARIANT, FEW, correction=1.2).verdict == TOO_LARGE  # this device takes more


def test_an_evaluation_of_few_rows_counts_as_it_is_made():
    evaluating = FEW[1]
    assert evaluating.bytes_at(1, 512) == evaluating.bytes_at(16, 512) < evaluating.bytes_at(32, 512)


def test_more_memory_never_fits_less():
    for kind in ("cuda", "cpu"):
        smaller, larger = rooms(kind, 12 * GB), rooms(kind, 24 * GB)
        for one, other in zip(smaller, larger, strict=True):
            assert other.longest >= one.longest and all(other.batches[length] >= rows for length, rows in one.batches.items())


def test_lengths_end_with_what_the_model_reads():
    assert even_lengths(512) == [256, 512]
    assert even_lengths(8192)[-1] == 8192 and len(even_lengths(131072)) < 40


def test_the_command_line_tells_the_same(monkeypatch, tmp_path):
    from app import app

    monkeypatch.setenv("STUDIO_HOME", str(tmp_path))
    done = CliRunner().invoke(app, ["fit", "--device", "cuda", "--memory", "24", "--json"])
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["device"], told["memory_bytes"]) == ("cuda", 24 * GB)
    assert [(row["model"]["name"], row["verdict"], row["longest"]) for row in told["rooms"]] == [
        (room.model.name, room.verdict, room.longest) for room in rooms("cuda", 24 * GB)]
