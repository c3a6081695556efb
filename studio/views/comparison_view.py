"""A comparison of methods as the page of its sweep shows it: who beats whom, and quality against memory and size."""

from collections.abc import Sequence

from jobs import units
from jobs.comparison import LEFT_OUT, Comparison
from jobs.methods import METHODS
from storage.records import Adapter, Run, Sweep
from studio.recipe_form import by_titles
from studio.render import render
from studio.text import ENGLISH, say
from studio.views.run_view import SHARES, method_title
from studio.views.scatter import Spot, scale, scatter

NAMED = 2  # of those that beat a run, as many as its row names
BUDGET = ("max_steps", "epochs", "batch_size", "accumulation", "max_length")


def comparison(sweep: Sweep, runs: Sequence[Run], compared: Comparison | None) -> str:
    """What came of a comparison so far, in words and drawn; empty for a sweep that compares no methods."""
    if compared is None:
        return ""
    whole = [run for run in runs if run.id in compared.beaten_by]
    return render(
        "comparison.html",
        verdict=_verdict(sweep, runs, compared),
        charts=[_against_memory(sweep, runs, whole, compared), _against_size(sweep, runs, whole, compared)] if whole else [],
        budget=_budget(runs),
        notes=[note for note in (_memory_note(whole), _short_of_memory(sweep, runs)) if note],
        left_out=[(method_title(name), *by_titles([why])) for name, why in sweep.recipe.get(LEFT_OUT, {}).items()],
    )


def standing(sweep: Sweep, runs: Sequence[Run], run: Run, compared: Comparison) -> tuple[str, str]:
    """How a run stands: `unbeaten` or `beaten` with the words for it, or nothing where it has not all three figures."""
    if run.id not in compared.beaten_by:
        return "", ""
    by = compared.beaten_by[run.id]
    if not by:
        return "unbeaten", say("comparison.unbeaten")
    names = [name_of(sweep, runs, id) for id in by]
    more = len(names) - NAMED
    shown = ", ".join(names[:NAMED]) + (" " + say("comparison.more", count=more) if more > 0 else "")
    return "beaten", say("comparison.beaten_by", names=shown)


def name_of(sweep: Sweep, runs: Sequence[Run], run_id: str) -> str:
    """A run's method, or its number where a method has several runs."""
    number, run = next((number, run) for number, run in enumerate(runs, 1) if run.id == run_id)
    return method_title(run.method) if sweep.varied == ["method"] else say("sweep.run", number=number)


def links(best: Run | None, adapters: Sequence[Adapter]) -> str:
    """Where to go from a comparison: `adapters` are those that nobody beats and are still there, the best one first."""
    own = next((adapter for adapter in adapters if best and adapter.run_id == best.id), None)
    return render("comparison_links.html", best=best, adapter=own, several=[adapter.run_id for adapter in adapters]) if best else ""


def score_text(name: str, value: float | None) -> str:
    return units.share(value) if name in SHARES else units.figure(value)


def score_title(name: str) -> str:
    return ENGLISH[f"choice.{name}"]


# ---- inside


def _verdict(sweep: Sweep, runs: Sequence[Run], compared: Comparison) -> str:
    ended = all(run.state.is_end for run in runs)
    if not compared.beaten_by:
        return say("comparison.nothing" if ended else "comparison.waiting")
    best = compared.rows[compared.best]
    score = compared.score.name
    first = say("comparison.best" if ended else "comparison.best_so_far", name=name_of(sweep, runs, best.id),
                score=_lower_case(score_title(score)), value=score_text(score, best.quality))
    names = ", ".join(name_of(sweep, runs, id) for id in compared.unbeaten)
    return f"{first} {say('comparison.front', names=names)}"


def _against_memory(sweep: Sweep, runs: Sequence[Run], whole: Sequence[Run], compared: Comparison) -> str:
    kinds = {run.peak_memory_of for run in whole}
    kind = kinds.pop() if len(kinds) == 1 else "mixed"
    return _chart(sweep, runs, whole, compared, "memory", say(f"comparison.memory_{kind}") if kind in ("cuda", "process", "mixed")
                  else say("figure.peak_memory"))


def _against_size(sweep: Sweep, runs: Sequence[Run], whole: Sequence[Run], compared: Comparison) -> str:
    return _chart(sweep, runs, whole, compared, "size", say("figure.checkpoint"))


def _chart(sweep: Sweep, runs: Sequence[Run], whole: Sequence[Run], compared: Comparison, figure: str, x_title: str) -> str:
    score, rows = compared.score, [compared.rows[run.id] for run in whole]
    quality, spots = score_title(score.name), []
    for row in rows:
        name = name_of(sweep, runs, row.id)
        figures = (f"{quality} {score_text(score.name, row.quality)}", f"{say('figure.peak_memory')} {units.size(row.memory)}",
                   f"{say('figure.checkpoint')} {units.size(row.size)}")
        unbeaten, is_best = not compared.beaten_by[row.id], row.id == compared.best
        spots.append(Spot(getattr(row, figure), row.quality, f"★ {name}" if is_best else name, f"{name}: {', '.join(figures)}",
                          unbeaten, is_best))
    x = scale([spot.x for spot in spots], _bytes, powers=figure == "size", about=3)
    y = scale([spot.y for spot in spots], lambda value: score_text(score.name, value))
    if x.by_powers:
        x_title = f"{x_title}, {say('comparison.by_powers')}"
    return scatter(
        spots, x, y,
        title=say(f"comparison.against_{figure}", score=quality),
        x_title=x_title,
        y_title=f"{quality}, {say('comparison.lower' if score.lower else 'comparison.higher')}",
        better=say("comparison.better_low" if score.lower else "comparison.better_high"),
        summary=say("comparison.summary", points="; ".join(spot.title for spot in spots)))


def _budget(runs: Sequence[Run]) -> list[str]:
    """What every run was given, as far as it was the same for all."""
    given = [{name: run.recipe.get("training", {}).get(name) for name in BUDGET} for run in runs]
    said = []
    if all(each == given[0] for each in given) and None not in given[0].values():
        each = given[0]
        rows = each["batch_size"] * each["accumulation"]
        steps = {run.total_steps for run in runs if run.total_steps} or {each["max_steps"]}
        length = (say("comparison.steps", steps=f"{max(steps):,}") if len(steps) == 1 and max(steps)
                  else say("comparison.epochs", epochs=units.setting(each["epochs"])))
        said.append(say("comparison.budget", length=length, rows=rows, tokens=f"{each['max_length']:,}"))
    if all(run.method in METHODS and run.recipe.get("training", {}).get("learning_rate") == METHODS[run.method].learning_rate
           for run in runs):
        said.append(say("comparison.own_rates"))
    return [*said, say("comparison.chance")]


def _memory_note(whole: Sequence[Run]) -> str:
    kinds = {run.peak_memory_of for run in whole}
    return say("comparison.mixed_note") if len(kinds) > 1 else say("comparison.process_note") if kinds == {"process"} else ""


def _short_of_memory(sweep: Sweep, runs: Sequence[Run]) -> str:
    names = ", ".join(name_of(sweep, runs, run.id) for run in runs if run.adjustments)
    return say("comparison.adjusted", names=names) if names else ""


def _bytes(value: float) -> str:
    """A round number of bytes with the digits that tell it from its neighbours on an axis."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.5g} {unit}"
    return f"{value:g} B"


def _lower_case(title: str) -> str:
    """A title within a sentence; one that begins with an abbreviation, such as F1, stays."""
    return title[:1].lower() + title[1:] if title[1:2].islower() else title
