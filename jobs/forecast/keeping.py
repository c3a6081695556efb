"""Every run keeps what was forecast of it: at its submission where the answer is at hand, else while it prepares its data.

It is made with what can be known before the first step: the settings that were asked, and how long the longest row is. The health
report of the data tells that, or an earlier run on them; else the run's own preparation does, for which the forecast waits.
"""

import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from jobs.devices import DeviceFacts
from jobs.forecast.asking import device_of, forecast_for, known_of_run, question_for
from jobs.forecast.learnt import corrected
from jobs.forecast.result import Forecast
from jobs.machine import facts_of
from jobs.recipe import Recipe
from jobs.run_log import tell
from jobs.services import Services, open_services
from storage.problems import StudioError
from storage.records import Run, RunState
from storage.settings import StudioSettings
from storage.sqlite import LONG_PATIENCE

log = logging.getLogger("studio.forecast")

NICENESS = 15  # a trainer has 5: it goes first
LOOK_SECONDS = 0.5
GIVE_WAY = 5    # seconds that the run has the machine for itself to come to its first step
PATIENCE = 60  # seconds that a command waits for a forecast once its run has ended
NOT_FORECAST = "This run could not be forecast."


def keep_at_hand(services: Services, run: Run) -> bool:
    """Keep what this process has said of the same recipe just before, without making it anew.

    Not where the longest row is unknown yet, nor where the run may land on devices of several kinds.
    """
    if not services.forecaster.has_answers or run.forecast_memory_bytes is not None:
        return False
    try:
        found = at_hand(services, run)
        return found is not None and services.runs.keep_forecast(run.id, found.record())
    except StudioError:
        return False  # the worker will try it, and say so
    except Exception:  # the run is accepted, whatever becomes of its forecast
        log.exception("What was forecast of run %s could not be kept.", run.id)
        return False


def at_hand(services: Services, run: Run) -> Forecast | None:
    if len({facts.kind for facts in facts_of(services, run.wanted_device)}) > 1:
        return None
    question = question_for(services, Recipe.model_validate(run.recipe), device_of(services, run.wanted_device), known_of_run(run))
    if not (question.known.longest_row or question.recipe.training.packing):
        return None
    found = services.forecaster.at_hand(*question.asked)
    return found and question.completed(found)


def forecast_of_run(run_id: str, fence: int, settings: StudioSettings) -> None:
    """The whole life of a process that is forked from the warm server beside a trainer."""
    os.setsid()
    os.nice(NICENESS)
    with contextlib.suppress(OSError):  # no such file on this system
        Path("/proc/self/oom_score_adj").write_text("1000")  # should memory run out, nothing is lost less
    services = open_services(settings, patience=LONG_PATIENCE)
    give_way(services, run_id, fence)
    device = device_of(services, services.runs.get(run_id).device)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # nothing here may take memory of the device
    from jobs.forecast.forecast import forecast  # torch is imported here

    keep_for_run(services, run_id, fence, device, lambda *asked: corrected(forecast(*asked[:-1]), asked[-1]))


def give_way(services: Services, run_id: str, fence: int) -> None:
    """Wait for the run's first step, which somebody looks out for; not for long, since a large model takes minutes to load."""
    until = time.monotonic() + GIVE_WAY
    while time.monotonic() < until and _is_before_first_step(services.runs.find(run_id), fence):
        time.sleep(LOOK_SECONDS)


def _is_before_first_step(run: Run | None, fence: int) -> bool:
    return run is not None and run.fence == fence and run.state == RunState.RUNNING and not run.step


def keep_for_run(services: Services, run_id: str, fence: int, device: DeviceFacts, ask: Callable[..., Forecast]) -> bool:
    """Wait for the run's rows, forecast what was asked, and keep it; what cannot be forecast leaves a line in the run's log."""
    run = services.runs.find(run_id)
    while _is_before_first_step(run, fence) and not run.data.get("longest_row"):
        time.sleep(LOOK_SECONDS)
        run = services.runs.find(run_id)
    if run is None or run.fence != fence or run.state == RunState.QUEUED or run.forecast_memory_bytes is not None:
        return False  # its next attempt asks anew
    try:
        found = forecast_for(services, Recipe.model_validate(run.recipe), device=device, ask=ask,
                             known=known_of_run(run))
    except Exception as error:  # of models and methods without number, some are traced as nobody thought of
        log.info("Run %s could not be forecast.", run_id, exc_info=not isinstance(error, StudioError))
        tell(services, run_id, f"{NOT_FORECAST} {error or type(error).__name__}")
        return False
    return services.runs.keep_forecast(run_id, found.record())


def is_settled(services: Services, run: Run) -> bool:
    """Whether a run has its forecast, or never will."""
    return (run.forecast_memory_bytes is not None or not run.attempts
            or any(line.text.startswith(NOT_FORECAST) for line in services.runs.log_lines(run.id)))


def wait_for_forecasts(services: Services, run_ids: list[str], patience: float = PATIENCE) -> None:
    """Give the forecasts of runs that have ended the moment that they may still need."""
    deadline = time.monotonic() + patience
    for run_id in run_ids:
        while not is_settled(services, services.runs.get(run_id)) and time.monotonic() < deadline:
            time.sleep(0.1)
