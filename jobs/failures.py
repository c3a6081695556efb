"""Failures by class: what the exception of a run means, what to do next, and what a run again would change."""

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jobs.memory import adjusted
from jobs.recipe import Recipe
from storage.problems import StudioError
from storage.records import Run


@dataclass(frozen=True)
class Failure:
    """What ended a run: the class of failure, and what happened in a sentence or two."""

    kind: str
    problem: str


@dataclass(frozen=True)
class FailureClass:
    """One class of failure. `change` gives the training settings that a run again would change for it."""

    title: str
    next_step: str
    change: Callable[[Run, Recipe], dict] = lambda run, recipe: {}


def _lower_learning_rate(run: Run, recipe: Recipe) -> dict:
    # what does not fit is found before the first step; only a loss that left the numbers is found after it
    return {"learning_rate": recipe.training.learning_rate / 10} if run.training_since is not None else {}


def _shorter_rows(run: Run, recipe: Recipe) -> dict:
    longest = min(recipe.training.max_length, run.data.get("longest_row") or recipe.training.max_length)
    return {"max_length": max(8, longest // 2)}


FAILURES: dict[str, FailureClass] = {
    "user_config": FailureClass(
        "A setting does not fit", "Change the setting that the reason names, and run it again.", _lower_learning_rate),
    "data_invalid": FailureClass(
        "The data cannot be used", "Mend the rows that the reason names, upload the file again, and run it again."),
    "gpu_oom": FailureClass(
        "The device's memory ran out",
        "Run it again with shorter rows, with the base model in fewer bits, or with a smaller one.", _shorter_rows),
    "host_oom": FailureClass(
        "The computer's memory ran out",
        "Close other programs, or run it again with shorter rows or a smaller base model.", _shorter_rows),
    "disk_full": FailureClass(
        "The disk is full", "Delete what is not needed any more, then continue the run: its last checkpoint is kept."),
    "network": FailureClass("The network failed", "Check the connection, and run it again."),
    "auth_hub": FailureClass(
        "The Hub refused access",
        "Accept the model's terms on its page, set HF_TOKEN to a token that may read it, restart the worker, and run it again."),
    "artefact_corrupt": FailureClass(
        "A file is damaged or was changed",
        "Put the file back as it was, or get it anew (upload, download or train it again), and run it again."),
    "timeout": FailureClass("It took too long", "Run it again; if that happens again, read the end of the log."),
    "worker_lost": FailureClass(
        "The trainer was lost again and again",
        "Read the end of the log. Continue the run from its last checkpoint, or run it again with less at a time."),
    "bug": FailureClass(
        "Something unexpected happened", "Download the log and report it together with the recipe; both are on the run's page."),
}


def classify(error: BaseException) -> Failure:
    """The class of an exception, by itself or by what it came from; what nothing explains is a bug."""
    for link in _chain(error):
        if isinstance(link, StudioError):
            return Failure(link.kind, str(link))
        for kind, (what, means) in _SIGNS.items():
            if means(link, str(link).lower()):
                return Failure(kind, f"{what}: {_first_line(link)}")
    return Failure("bug", f"Training ended unexpectedly: {type(error).__name__}: {error}")


def next_step(run: Run) -> str:
    """What to do about a failed run; empty for any other."""
    return FAILURES[run.problem_kind].next_step if run.problem_kind in FAILURES else ""


def next_recipe(run: Run) -> Recipe:
    """The recipe that a run again starts from: as it ran, with what its failure asks for."""
    recipe = adjusted(Recipe.model_validate(run.recipe), run.adjustments)
    known = FAILURES.get(run.problem_kind)
    return adjusted(recipe, known.change(run, recipe)) if known else recipe


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _is(error: BaseException, *names: str) -> bool:
    """Whether it is of a class of one of these names: the libraries themselves need not be imported here."""
    return any(kind.__name__ in names for kind in type(error).__mro__)


def _has(text: str, *words: str) -> bool:
    return any(word in text for word in words)


def _status(error: BaseException) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[0][:300].rstrip('.')}." if lines else f"{type(error).__name__}."


# In this order: a full disk speaks through the classes of damaged files, a refused log-in through those of the network.
# safetensors, torch.save and SQLite tell a full disk in words of their own.
_SIGNS: dict[str, tuple[str, Callable[[BaseException, str], bool]]] = {
    "disk_full": ("The disk became full", lambda error, text: getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
                  or _has(text, "no space left on device", "database or disk is full", "disk quota exceeded")
                  or ("inline_container.cc" in text and "reader" not in text)),
    "gpu_oom": ("The device's memory ran out", lambda error, text: _is(error, "OutOfMemoryError") or _has(
        text, "cuda out of memory", "error: out of memory", "cublas_status_alloc_failed", "cudnn_status_alloc_failed",
        "backend out of memory")),
    "host_oom": ("The computer's memory ran out", lambda error, text: isinstance(error, MemoryError)
                 or getattr(error, "errno", None) == errno.ENOMEM
                 or _has(text, "defaultcpuallocator: can't allocate memory", "defaultcpuallocator: not enough memory")),
    "auth_hub": ("The Hub refused access", lambda error, text: _status(error) in (401, 403) or _is(error, "GatedRepoError")),
    "timeout": ("It took too long", lambda error, text: _is(error, "TimeoutError", "TimeoutException", "Timeout",
                                                            "TimeoutExpired")),
    "network": ("The network failed", lambda error, text: _is(error, "ConnectionError", "TransportError", "gaierror",
                                                              "HfHubHTTPError", "HTTPStatusError")),
    "artefact_corrupt": ("A file is damaged", lambda error, text: _is(error, "SafetensorError", "BadZipFile", "UnpicklingError")
                         or _has(text, "pytorchstreamreader failed", "database disk image is malformed",
                                 "file is not a database")),
}
