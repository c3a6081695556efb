"""The floor of free disk space, below which no run is accepted and none starts."""

import logging

import pytest

from jobs.recipe_reader import read_recipe
from jobs.services import open_services
from jobs.submit import submit
from jobs.worker import Worker
from storage.problems import RecipeInvalid
from storage.records import RunState
from storage.settings import StudioSettings


def settings_with_floor(settings, bytes: int) -> StudioSettings:
    return StudioSettings.from_env({"STUDIO_HOME": str(settings.home), "STUDIO_FREE_SPACE_FLOOR": str(bytes)})


def test_no_run_starts_below_the_floor_and_the_log_says_why_once(services, settings, chats, tiny_llama, caplog):
    run = submit(services, read_recipe({"base_model": str(tiny_llama), "dataset": {"source": str(chats)}}))
    short = Worker(settings_with_floor(settings, 10**18))
    with caplog.at_level(logging.WARNING, "studio.worker"):
        for _ in range(3):
            short.work()
    assert services.runs.get(run.id).state == RunState.QUEUED
    assert len(caplog.messages) == 1 and "GB free, and 1000000000.0 GB are needed" in caplog.messages[0]
    assert Worker(settings_with_floor(settings, 1)).next_run("cpu").id == run.id, "with room again it starts"


def test_nothing_is_accepted_below_the_floor(settings, chats, tiny_llama):
    services = open_services(settings_with_floor(settings, 10**18))
    with pytest.raises(RecipeInvalid, match="Delete runs or data for good on the Library page"):
        submit(services, read_recipe({"base_model": str(tiny_llama), "dataset": {"source": str(chats)}}))
    assert services.runs.search() == []
