"""How problems reach the page: a known one by its own words, an unknown one with its traceback in the server's log."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps

import gradio as gr

from storage.problems import StudioError
from studio.render import render
from studio.text import say

log = logging.getLogger(__name__)


def sentences(problem: Exception) -> list[str]:
    """What to tell the person, one sentence or a few for each thing that is wrong."""
    if isinstance(problem, StudioError):
        return getattr(problem, "problems", None) or [str(problem)]
    return [say("problem.unexpected")]


def problem_box(problems: list[str]) -> str:
    """Problems that stay visible beside what they are about; empty for none."""
    return render("problems.html", problems=problems) if problems else ""


@dataclass(frozen=True)
class Explained:
    """What a handler gave, or the problems that kept it from giving anything."""

    value: object = None
    problems: tuple[str, ...] = ()


def attempt(step: Callable, *values) -> Explained:
    """Call a step whose problems are shown in place. Unknown ones are logged with their traceback."""
    try:
        return Explained(step(*values))
    except StudioError as problem:
        return Explained(problems=tuple(sentences(problem)))
    except Exception as problem:
        log.exception("%s failed", getattr(step, "__name__", step))
        return Explained(problems=tuple(sentences(problem)))


def explain_problems(handler: Callable) -> Callable:
    """For handlers with no place of their own for problems: they appear as a message over the page."""

    @wraps(handler)
    def wrapped(*values, **named):
        try:
            return handler(*values, **named)
        except StudioError as problem:
            raise gr.Error("\n".join(sentences(problem)), title=say("problem.title"), print_exception=False) from problem
        except gr.Error:
            raise
        except Exception as problem:
            log.exception("%s failed", handler.__name__)
            raise gr.Error(say("problem.unexpected"), title=say("problem.title"), print_exception=False) from problem

    return wrapped
