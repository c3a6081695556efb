"""What people said of answers, roles and certificates is remembered and never mixed up."""

import dataclasses

import pytest

from storage import tables
from storage.database import open_database
from storage.judging import CertificateRepository, ComparisonRepository, RoleRepository
from storage.problems import NotFound
from storage.records import BASE, Verdict
from storage.runs import RunRepository
from storage.settings import StudioSettings

ANSWERS = [{"answerer": BASE, "name": "demo-base", "text": "No."}, {"answerer": "r1", "name": "poet", "text": "O no."}]


@pytest.fixture
def engine(tmp_path):
    return open_database(StudioSettings.from_env({"STUDIO_HOME": str(tmp_path / "home")}))


def add_adapter(engine) -> str:
    run = RunRepository(engine).submit(name="poet", task="text-generation", method="lora", base_model="demo-base", recipe={},
                                       base={}, data={})
    with engine.begin() as connection:
        connection.execute(tables.adapters.insert().values(
            run_id=run.id, name="poet", folder="f", zip_name="z", bytes=1, zip_bytes=1, files=[], task=run.task, method="lora",
            base_model="demo-base", base_path="", base_hash="", created_at=1.0))
    return run.id


def keep(repository, **more):
    return repository.keep(base_model="demo-base", task="text-generation", conversation=[{"role": "user", "content": "Yes?"}],
                           settings={"seed": 1}, answers=ANSWERS, **more)


def test_a_comparison_is_judged_and_judged_again(engine):
    repository = ComparisonRepository(engine, clock=lambda: 5.0)
    kept = keep(repository, blind=True)
    assert repository.get(kept.id) == kept and kept.verdict == Verdict.NONE
    assert repository.judge(kept.id, Verdict.BEST, "r1").best == "r1"
    judged = repository.judge(kept.id, Verdict.TIE, "r1")
    assert (judged.verdict, judged.best, judged.judged_at) == (Verdict.TIE, "", 5.0)
    assert repository.note(kept.id, "even").note == "even"
    assert repository.judge(kept.id, Verdict.NONE) == dataclasses.replace(kept, note="even")


def test_what_did_not_answer_cannot_be_best(engine):
    repository = ComparisonRepository(engine)
    kept = keep(repository)
    with pytest.raises(NotFound, match="'r2' did not answer"):
        repository.judge(kept.id, Verdict.BEST, "r2")
    for unknown in (lambda: repository.note("gone", "x"), lambda: repository.judge("gone", Verdict.TIE)):
        with pytest.raises(NotFound, match="no comparison 'gone'"):
            unknown()


def test_comparisons_come_newest_first_and_by_base_model(engine):
    times = iter((1.0, 2.0))
    repository = ComparisonRepository(engine, clock=lambda: next(times))
    first, second = keep(repository), keep(repository)
    assert repository.all("demo-base", "text-generation") == [second, first] and repository.all("other") == []
    repository.delete(first.id)
    assert repository.all() == [second]


def test_a_role_is_saved_once_by_its_name(engine):
    run_id, repository = add_adapter(engine), RoleRepository(engine)
    role = repository.save(run_id, "poet", ["Sing", " Sing ", ""])
    assert role.prompts == ["Sing"]
    again = repository.save(run_id, "poet", ["Rhyme"])
    assert (again.id, again.prompts) == (role.id, ["Rhyme"]) and repository.all() == [again]
    with engine.begin() as connection:
        connection.execute(tables.adapters.update().values(deleted_at=1.0))
    assert repository.all() == [], "its adapter is deleted"


def test_a_certificate_that_is_asked_for_anew_takes_no_news_of_the_old_one(engine):
    run_id, repository = add_adapter(engine), CertificateRepository(engine)
    repository.ask(run_id, {"prompts": []})
    assert repository.waiting() == [run_id]
    first = repository.claim(run_id)
    assert repository.claim(run_id) is None and repository.progress(first, done=0.5)
    repository.ask(run_id, {"prompts": ["x"]})
    second = repository.claim(run_id)
    assert not repository.progress(first, state="finished", passed=True)
    assert repository.progress(second, state="finished", passed=False, report={"score": 1})
    found = repository.find(run_id)
    assert (found.state, found.passed, found.report, found.wanted) == ("finished", False, {"score": 1}, {"prompts": ["x"]})
    assert repository.waiting() == [] and repository.find("other") is None
