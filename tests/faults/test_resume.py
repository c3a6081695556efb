"""A run that is killed at any moment ends with the same adapter, bit for bit, as one that was never interrupted."""

import random
import time

import pytest

from jobs import checkpoints
from storage.records import RunState
from tests.faults import training
from tests.faults.faulty import start_trainer_with
from tests.faults.record import full, record
from tests.tiny_models import write_chats

SAVE_STEPS = 4

RECIPES = {
    # dropout, and an accumulation that does not divide the epoch: 9 batches in 5 steps
    "lora": {"method_settings": {"lora_dropout": 0.1}, "training": {"epochs": 6, "batch_size": 4, "accumulation": 2}},
    "qlora": {"method": "qlora", "method_settings": {"lora_dropout": 0.1}, "training": {"epochs": 5, "schedule": "cosine"}},
    "prompt-tuning": {"method": "prompt-tuning", "training": {"epochs": 5, "learning_rate": 0.03}},
    "packed": {"training": {"epochs": 12, "packing": True, "max_length": 128, "batch_size": 1}},
    "classifier": {"task": "text-classification", "method_settings": {"lora_dropout": 0.1}, "training": {"epochs": 4,
                   "best_by": "macro_f1"}},
    "ia3 classifier": {"task": "text-classification", "method": "ia3", "training": {"epochs": 4, "optimizer": "adafactor"}},
    "prompt classifier": {"task": "text-classification", "method": "prompt-tuning", "training": {"epochs": 4}},
    # rows of like length together, over several epochs
    "grouped": {"method_settings": {"lora_dropout": 0.1}, "training": {"epochs": 3, "batch_size": 96}, "rows": 1200},
}
QUICK = ("lora", "qlora", "prompt classifier", "grouped")
KNOWN: dict[str, dict] = {}  # what uninterrupted runs learnt


@pytest.fixture
def new_run(services, tiny_llama, tiny_bert, chats, labelled, tmp_path):
    def new_run(name: str, **training_settings):
        recipe = dict(RECIPES[name])
        is_chat = recipe.get("task") != "text-classification"
        source = chats if is_chat else labelled
        if rows := recipe.pop("rows", 0):
            source = write_chats(tmp_path / "many.jsonl", rows)
        settings = {"learning_rate": 5e-3, "eval_steps": 5, **recipe.pop("training"), **training_settings}
        return training.submit_run(services, tiny_llama if is_chat else tiny_bert, source, training=settings, **recipe)
    return new_run


@pytest.fixture
def expected(services, new_run):
    """What a run learns that is never killed. It writes no checkpoint before its end: these may change nothing either."""
    def expected(name: str, settings: dict, **arguments) -> dict:
        key = f"{name} {settings} {arguments}"
        if key not in KNOWN:
            run = training.train_to_the_end(services, new_run(name, **settings), **arguments)
            KNOWN[key] = training.what_it_learnt(services, run)
        return KNOWN[key]
    return expected


def at_step(step: int, later: float = 0.0):
    """A moment: some time after a step was taken."""
    def moment(attempt: training.Attempt) -> bool:
        came = attempt.wait_for(lambda: max(attempt.steps(), default=0) >= step)
        time.sleep(later)
        return came and attempt.process.is_alive()
    return moment


def tell(services, name: str, stories: list[training.Story], equal: int) -> None:
    ends = [sum(event.to_state == RunState.FINISHED for event in services.runs.events(story.run.id)) for story in stories]
    record(name, runs=len(stories), kills=sum(story.kills for story in stories), lost=ends.count(0),
           finished_twice=sum(count > 1 for count in ends), resumed=sum(bool(story.kills) for story in stories), bit_equal=equal)


@pytest.mark.parametrize("name", RECIPES if full() else QUICK)
def test_f2_a_run_killed_at_random_steps_ends_as_if_it_never_was(services, new_run, expected, name):
    uninterrupted = expected(name, {}, logging_steps=3)
    total, chance = uninterrupted["steps"], random.Random(name)
    stories = []
    for _ in range(3 if full() else 1):
        steps = sorted(chance.sample(range(SAVE_STEPS + 1, total), 2))
        story = training.train_with_kills(services, new_run(name, save_steps=SAVE_STEPS),
                                          [at_step(step, chance.uniform(0, 0.05)) for step in steps], logging_steps=3)
        stories.append(story)
        assert story.kills and story.run.attempts == story.kills + 1
        assert all(0 <= again <= SAVE_STEPS for again in story.repeated), f"killed at {steps}: {story.repeated} steps again"
        assert training.what_it_learnt(services, story.run) == uninterrupted
    tell(services, "F2", stories, equal=len(stories))


def test_f3_a_kill_at_any_point_of_writing_a_checkpoint_costs_one_checkpoint_at_most(services, new_run, expected):
    run = new_run("lora", save_steps=2)
    points = ("checkpoint.files", "checkpoint.synced", "checkpoint.manifest", "checkpoint.sealed")
    for attempt, point in enumerate(points, 1):
        claimed = services.leases.claim(run.id, "here")
        process = start_trainer_with(f"{point}:3", claimed, services)
        process.join()
        assert process.exitcode == 70, training.log_of(services, run)
        assert services.leases.crashed(run.id, claimed.fence, "It was killed.")
        left = training.partial_folders(services, run)
        assert [folder.parent.name for folder in left] == ([] if point == "checkpoint.sealed" else [f"attempt-{attempt}"]), \
            "what an earlier attempt left half written is gone, and this one's is still there"
    finished = training.train_to_the_end(services, run)
    assert finished.attempts == len(points) + 1
    assert training.what_it_learnt(services, finished) == expected("lora", {})
    folders = list(training.checkpoints_dir(services, run).glob("*/*-*"))
    assert len(folders) == 1 and checkpoints.is_whole(folders[0]), "one checkpoint stays, to go on from"


@pytest.mark.parametrize("ends_early", [False, True])
def test_a_crash_after_the_last_step_takes_no_step_again(services, new_run, expected, ends_early):
    # with so low a rate that no evaluation counts as better, the second one is the last
    settings = {"learning_rate": 1e-30, "patience": 1} if ends_early else {}
    uninterrupted = expected("lora", settings)
    run = new_run("lora", **settings)
    claimed = services.leases.claim(run.id, "here")
    start_trainer_with("finish.saved:1", claimed, services).join()
    assert services.leases.crashed(run.id, claimed.fence, "It was killed.")
    attempt = training.start(services, run)
    assert attempt.end().attempts == 2 and attempt.steps() == []
    assert training.what_it_learnt(services, run) == uninterrupted
    assert (uninterrupted["steps"] == 10) == ends_early


@pytest.mark.parametrize("killed_at", [1, 2])
def test_the_last_good_state_is_known_after_a_kill_too(services, new_run, killed_at):
    settings = {"learning_rate": 1e30, "warmup": 0.2, "save_steps": 1}
    uninterrupted = training.train_to_the_end(services, new_run("lora", **settings))
    run = new_run("lora", **settings)
    claimed = services.leases.claim(run.id, "here")
    start_trainer_with(f"checkpoint.sealed:{killed_at}", claimed, services).join()
    assert services.leases.crashed(run.id, claimed.fence, "It was killed.")
    resumed = training.train_to_the_end(services, run)
    assert (resumed.state, resumed.attempts) == (uninterrupted.state, 2) == (RunState.FAILED, 2)
    assert resumed.problem == uninterrupted.problem and "the last good state, is kept" in resumed.problem
    kept, expected = (services.adapters.get(each.id).files for each in (resumed, uninterrupted))
    assert [file["sha256"] for file in kept if file["name"].endswith(".safetensors")] == \
        [file["sha256"] for file in expected if file["name"].endswith(".safetensors")]


def test_f3_kills_while_checkpoints_are_written_all_the_time_are_all_survived(services, new_run, expected):
    runs, longest, settings = (50, 2.5, {"epochs": 24}) if full() else (1, 0.0, {})
    stories, chance = [], random.Random(3)
    for number in range(runs):
        delay = longest * number / runs
        story = training.train_with_kills(
            services, new_run("lora", save_steps=1, **settings),
            [at_step(1, delay / 2 + chance.uniform(0, 0.05)) for _ in range(2)])
        stories.append(story)
        assert all(again <= 1 for again in story.repeated), story.repeated
        assert training.what_it_learnt(services, story.run) == expected("lora", settings)
        assert not training.partial_folders(services, story.run)
    tell(services, "F3", stories, equal=len(stories))
