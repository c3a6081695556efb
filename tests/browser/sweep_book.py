"""A sweep in the lab book, some runs of it with results."""

from jobs.recipe_reader import read_values_file
from jobs.services import Services
from jobs.sweep import submit_sweep
from storage.records import Run, RunState, Sweep
from storage.settings import REPOSITORY
from tests.browser.lab_book import finish, go_on

LISTS = {"method": ["lora", "ia3"], "method_settings": {"r": [4, 16]}, "training": {"learning_rate": [3e-4, 1e-3, 3e-3]}}


def add_sweep(services: Services, name: str = "ranks and rates", **lists) -> Sweep:
    """A waiting sweep of nine runs on the example's data, or of other lists."""
    values = read_values_file(REPOSITORY / "assets" / "recipes" / "poet.yaml")
    values["dataset"]["source"] = str(REPOSITORY / values["dataset"]["source"])
    return submit_sweep(services, {**values, "method_settings": {}, "name": name, **(lists or LISTS)})


def claim(services: Services, run: Run, share: float = 1.0) -> Run:
    """Take that waiting run, whatever waits before it, and bring it to a share of its steps."""
    return go_on(services, services.leases.claim(run.id, "here"), int(180 * share))


def end(services: Services, run: Run, eval_loss: float, peak: int = 640_000_000, state: RunState = RunState.FINISHED) -> Run:
    return finish(services, claim(services, run), state, eval_loss=eval_loss, peak=peak)


def filled_sweep(services: Services) -> Sweep:
    """A sweep in the middle: four runs finished, one failed, one cancelled, one trains, two wait. The third is the best."""
    sweep = add_sweep(services)
    runs = services.sweeps.runs(sweep.id)
    for run, loss, megabytes in zip(runs[:4], (0.91, 0.62, 0.54, 0.8), (610, 612, 655, 640), strict=True):
        end(services, run, loss, megabytes * 1_000_000)
    finish(services, claim(services, runs[4], 0.3), RunState.FAILED, problem="The loss became infinite. Lower the learning rate.")
    finish(services, claim(services, runs[5], 0.3), RunState.CANCELLED)
    claim(services, runs[6], 0.5)
    return sweep
