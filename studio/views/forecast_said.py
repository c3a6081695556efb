"""What was said of a run's memory and time before, beside what was measured: for its page and for the page of all of them."""

from jobs import units
from jobs.forecast.accuracy import Compared, compare
from jobs.forecast.learnt import why_not
from jobs.forecast.result import Seconds
from storage.records import Run
from studio.text import say

TOLD = {"adjusted", "rows"}  # of what makes a run another thing than its forecast, what a person can understand without more


def difference(compared: Compared) -> str:
    """By how much more or less was said than measured."""
    if abs(compared.error) < 0.0005:
        return say("accuracy.as_measured")
    return say("accuracy.too_much" if compared.error > 0 else "accuracy.too_little", share=units.share(abs(compared.error)))


def signed(compared: Compared) -> str:
    """The same as a figure: +3% where too much was said."""
    return ("+" if compared.error > 0 else "−" if compared.error < 0 else "") + units.share(abs(compared.error))


def about_forecast(run: Run) -> str:
    """What stands below a run's forecast: how right it was, or why that cannot be said."""
    if compared := compare(run):
        return difference(compared)
    if not (run.state.is_end and run.peak_memory_bytes):
        return say("accuracy.said_before")
    why = why_not(run)
    return say(f"accuracy.not_compared_{why}") if why in TOLD else ""


def time_said(run: Run) -> Seconds | None:
    """How long the whole run was thought to take, its start and end with it."""
    record = run.forecast.get("run_seconds")
    return Seconds(**record) if record else None


def about_time(run: Run, said: Seconds) -> str:
    between = say("accuracy.between", least=units.duration(said.least), most=units.duration(said.most))
    if not (run.finished_at and run.claimed_at and run.attempts == 1):
        return between
    return f"{between}; {say('accuracy.took', time=units.duration(run.finished_at - run.claimed_at))}"
