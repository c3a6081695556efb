"""What is known of roles, so that a message can find its own: prompts that people wrote, and those that adapters learned from."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from jobs.data import open_imported
from jobs.imports import first_look, read_again
from jobs.judging.routing import RoleExamples
from jobs.services import Services
from storage.problems import NotFound, StudioError
from storage.records import Adapter, Role

MOST_LEARNED = 400  # prompts of one adapter, spread over its data


class NoRoles(StudioError):
    """There is nobody to route to."""


def roles_of(services: Services, adapters: Iterable[Adapter]) -> list[Role]:
    """The roles that these adapters have, the oldest first."""
    ids = {adapter.run_id for adapter in adapters}
    return [role for role in services.roles.all() if role.run_id in ids]


def examples_of(services: Services, roles: Sequence[Role]) -> list[RoleExamples]:
    """Each role with its prompts. Raises NoRoles where there is none."""
    if not roles:
        raise NoRoles("No adapter of this base model has a role yet. Give some a role and a few example prompts under 'Roles'.")
    return [RoleExamples(role.id, role.name, tuple(role.prompts), learned_prompts(services, role.run_id)) for role in roles]


def learned_prompts(services: Services, run_id: str) -> tuple[str, ...]:
    """Questions that an adapter learned from, as far as its data are still there as its run read them."""
    try:
        run = services.runs.get(run_id)
    except NotFound:  # an adapter that was not trained here
        return ()
    dataset = services.datasets.find(run.data.get("dataset_id", ""))
    wanted = run.recipe.get("dataset", {})
    if dataset is None:
        return ()
    try:
        seen = first_look(services, dataset, wanted.get("format") or "auto", wanted.get("columns") or None, run.task)
        data = read_again(services, dataset, seen)
    except StudioError:  # the data cannot be read any more: the role's own prompts remain
        return ()
    return _questions(data.folder) if data else ()


@lru_cache(32)
def _questions(folder: Path) -> tuple[str, ...]:
    examples = open_imported(folder).examples
    step = max(1, -(-len(examples) // MOST_LEARNED))
    found = (_question(examples[number]) for number in range(0, len(examples), step))
    return tuple(dict.fromkeys(filter(None, found)))


def _question(example: dict) -> str:
    """The first thing that a person says in an example."""
    for turn in example.get("messages") or example.get("prompt") or []:
        if isinstance(turn, dict) and turn.get("role") == "user" and isinstance(turn.get("content"), str):
            return turn["content"]
    return ""
