"""Sweeps: many runs from one recipe, compared."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from jobs.comparison import LEFT_OUT, compare, plan_comparison
from jobs.recipe_reader import read_recipe
from jobs.services import Services
from jobs.submit import CheckedRecipe, check_recipe, run_record
from jobs.summary import run_summary
from jobs.sweep_plan import Problems, SweepPlan, expand, run_name
from jobs.turn import Turn, check_turn
from storage.faults import fault_point
from storage.problems import RecipeInvalid
from storage.records import Request, Run, RunState, Sweep


def submit_sweep(services: Services, values: dict[str, Any], submission_key: str | None = None, turn: Turn = Turn(), *,
                 known: dict | None = None, notes: dict[str, Any] | None = None) -> Sweep:
    """Check every combination, accept them all as waiting runs, and ring for the worker.

    Raises RecipeInvalid with every problem, and then nothing is queued. Data and base models that runs share are read once, and not
    again where `known` has them. The same `submission_key` twice (a double click) gives the same sweep. `notes` are kept beside
    the recipe.
    """
    plan, problems, checked, wish = expand(values), [], [], {}
    try:
        checked = _check(services, plan, {} if known is None else known)
    except RecipeInvalid as problem:
        problems += problem.problems
    try:
        wish = vars(check_turn(services, turn))
    except RecipeInvalid as problem:
        problems += problem.problems
    if problems:
        raise RecipeInvalid(problems)
    sweep = services.sweeps.submit(
        name=plan.name, recipe={**values, **(notes or {})}, varied=plan.varied, submission_key=submission_key,
        runs=[{**run_record(each), "sweep_values": trial.tried, **wish} for trial, each in zip(plan.trials, checked, strict=True)])
    fault_point("submit.accepted")
    for run in services.sweeps.runs(sweep.id):
        services.bell.ring_for_run(run.id)
    return sweep


def submit_comparison(services: Services, values: dict[str, Any], submission_key: str | None = None, turn: Turn = Turn()) -> Sweep:
    """A sweep over a recipe's list of methods, without those that cannot run; the sweep keeps them with their reasons."""
    known: dict = {}
    planned = plan_comparison(values, lambda one: check_recipe(services, read_recipe(one), known))
    notes = {LEFT_OUT: planned.left_out} if planned.left_out else None
    return submit_sweep(services, planned.values, submission_key, turn, known=known, notes=notes)


def _check(services: Services, plan: SweepPlan, known: dict) -> list[CheckedRecipe]:
    checked, problems = [], Problems()
    for trial in plan.trials:
        named = trial.recipe.model_copy(update={"name": run_name(plan.name, trial.tried)})
        try:
            checked.append(check_recipe(services, named, known))
        except RecipeInvalid as problem:
            problems.add(trial.tried, problem)
    problems.complain([trial.tried for trial in plan.trials])
    return checked


def counts(runs: Iterable[Run]) -> dict[RunState, int]:
    """How many runs are in each state that any is in; those that have come furthest first."""
    found = Counter(run.state for run in runs)
    order = (RunState.FINISHED, RunState.STOPPED, RunState.FAILED, RunState.CANCELLED, RunState.RUNNING, RunState.QUEUED)
    return {state: found[state] for state in order if found[state]}


def progress_of(runs: list[Run]) -> float:
    """How far the runs are together, 0 to 1; a run that has ended counts as whole."""
    done = sum(1 if run.state.is_end else run.step / run.total_steps if run.total_steps else 0 for run in runs)
    return done / len(runs) if runs else 1


def best_run(runs: Iterable[Run]) -> Run | None:
    """The run with the lowest evaluation loss among those that left an adapter."""
    measured = [run for run in runs if run.state in (RunState.FINISHED, RunState.STOPPED)
                and run.eval_loss is not None and math.isfinite(run.eval_loss)]
    return min(measured, key=lambda run: run.eval_loss, default=None)


def best_of(sweep: Sweep, runs: list[Run]) -> Run | None:
    """The best run of a sweep: by the task's main score where it compares methods, else by the evaluation loss."""
    compared = compare(sweep, runs)
    return next((run for run in runs if run.id == compared.best), None) if compared else best_run(runs)


def best_first(runs: Iterable[Run]) -> list[Run]:
    """The runs by their evaluation loss, those without one last."""
    return sorted(runs, key=lambda run: math.inf if run.eval_loss is None else run.eval_loss)


def cancel_rest(services: Services, sweep_id: str) -> int:
    """Cancel all runs of a sweep that have not ended; returns how many were asked."""
    left = [run for run in services.sweeps.runs(sweep_id) if not run.state.is_end]
    # those that train come last: a device that becomes free would take the next of the waiting
    for run in sorted(left, key=lambda run: run.state == RunState.RUNNING):
        services.queue.ask(run.id, Request.CANCEL)
    return len(left)


def sweep_summary(services: Services, sweep_id: str) -> dict:
    """The sweep as `train --json` prints it, the best run first."""
    sweep, runs = services.sweeps.get(sweep_id), services.sweeps.runs(sweep_id)
    best, compared = best_of(sweep, runs), compare(sweep, runs)
    return {"sweep_id": sweep_id, "best": best.id if best else None,
            **({"score": compared.score.name, "unbeaten": compared.unbeaten} if compared else {}),
            "runs": [{**run_summary(services, run), "tried": run.sweep_values} for run in best_first(runs)]}
