"""Lack of memory is answered: the same learning in less memory, step by step, until nothing is left to try."""

from pathlib import Path

import psutil

from jobs.methods import find_method
from jobs.methods.full import FULL
from jobs.recipe import IN_BATCH, Recipe, TrainingSettings
from jobs.run_log import tell
from jobs.services import Services
from jobs.units import size
from storage.records import Request, Run, RunState

LACK_OF_MEMORY = {"gpu_oom": "The device's memory ran out", "host_oom": "The computer's memory ran out"}  # by class of failure
KERNEL_ENDED = "The computer's memory ran out, and the system ended the trainer."
EVALUATION_ROWS = 16  # at a time, unless memory was short
SNAPSHOT_LIMIT = 256 * 1024**2  # bytes of trainable weights up to which the last good state is held in memory


def adjusted(recipe: Recipe, adjustments: dict) -> Recipe:
    """The recipe with the training settings that a lack of memory changed."""
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=adjustments)}) if adjustments else recipe


def smaller(recipe: Recipe) -> dict | None:
    """The next training settings to try in less memory, as learning that is the same; None where nothing is left.

    First half the rows at a time, added up over as many more batches (the effective batch stays), down to one row; then
    gradient checkpointing. Where the rows of a batch are compared with each other, fewer at a time learn less: gradient
    checkpointing comes first, and two rows are the least.
    """
    can_checkpoint = not recipe.training.gradient_checkpointing and not find_method(recipe.method).special.not_checkpointed
    checkpointing = {"gradient_checkpointing": True} if can_checkpoint else None
    if recipe.dataset.format in IN_BATCH:
        return checkpointing or fewer_rows(recipe.training, least=2)
    return fewer_rows(recipe.training, least=1) or checkpointing


def fewer_rows(training: TrainingSettings, least: int) -> dict | None:
    """At most half the rows at a time, added up to the same batch; None where that would be fewer than `least`."""
    effective = training.batch_size * training.accumulation
    rows = max((rows for rows in range(least, training.batch_size // 2 + 1) if effective % rows == 0), default=None)
    return rows and {"batch_size": rows, "accumulation": effective // rows}


def evaluation_rows(recipe: Recipe, adjustments: dict) -> int:
    """Rows at a time while evaluating: what memory was too short for in training, it is too short for here."""
    return recipe.training.batch_size if adjustments else max(recipe.training.batch_size, EVALUATION_ROWS)


def answer_lack_of_memory(services: Services, run: Run, kind: str, reason: str = "") -> None:
    """Send a run back to go on from its last checkpoint in less memory, or end it with the setting that would fit.

    `reason` says more about how the memory ran out, in a sentence.
    """
    run = services.runs.get(run.id)
    recipe = adjusted(Recipe.model_validate(run.recipe), run.adjustments)
    what = reason or f"{LACK_OF_MEMORY[kind]}."
    if run.request == Request.CANCEL:
        services.leases.crashed(run.id, run.fence, what)
        return
    change = smaller(recipe)
    if change is None:
        rows = "One row" if recipe.training.batch_size == 1 else f"{recipe.training.batch_size} rows"
        problem = (f"{what} {rows} at a time with gradient checkpointing is the least that learns the same. "
                   f"{last_resort(recipe, run.data.get('longest_row'))}")
        if services.leases.end(run.id, run.fence, RunState.FAILED, problem=problem, problem_kind=kind):
            tell(services, run.id, problem, "error")
        return
    line = f"{what} {in_words(change, recipe)} The run goes on from its last checkpoint."
    if services.leases.put_back(run.id, run.fence, line, adjustments={**run.adjustments, **change}):
        tell(services, run.id, line, "warning")


def in_words(change: dict, recipe: Recipe) -> str:
    if "batch_size" in change:
        compared = ", though each row is compared with fewer others" if recipe.dataset.format in IN_BATCH else ""
        return (f"Rows at a time go from {recipe.training.batch_size} to {change['batch_size']}, and accumulation from "
                f"{recipe.training.accumulation} to {change['accumulation']}: the same batch of "
                f"{change['batch_size'] * change['accumulation']}{compared}.")
    return "Gradient checkpointing is switched on."


def last_resort(recipe: Recipe, longest_row: int | None = None) -> str:
    """What a person can change once the studio has tried everything that keeps the learning the same."""
    length = min(recipe.training.max_length, longest_row or recipe.training.max_length)
    known = f"the longest row has {length}" if longest_row else f"it is {length}"
    options = [f"Set training.max_length to {max(8, length // 2)} tokens ({known})"]
    if recipe.method == FULL:
        options.append("take lora as the method")
    elif recipe.quantization == "none":
        options.append("set quantization to nf4")
    return f"{', '.join(options)}, or use a smaller base model."


def memory_of_process(pid: int) -> int:
    """Bytes of a process's resident set; 0 once it is gone."""
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0


def beyond_limit(limit: int) -> str:
    return f"The trainer took more than the {size(limit)} that STUDIO_MEMORY_LIMIT allows, and was ended."


def be_ended_first() -> None:
    """Ask the kernel to end this process before the page and the worker, should the machine's memory run out."""
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:
        return  # no such file on this system: there is nothing to ask


def memory_kills() -> int:
    """How many processes the system has ended for lack of memory so far, by this container's count where it has one."""
    for path, name in ((Path("/sys/fs/cgroup/memory.events"), "oom_kill"), (Path("/proc/vmstat"), "oom_kill")):
        try:
            for line in path.read_text().splitlines():
                if line.split()[0] == name:
                    return int(line.split()[1])
        except OSError:
            continue
    return 0
