import time

import pytest

from jobs.services import open_services
from storage.problems import InUse, NotFound
from storage.records import Dataset, Request, RunState
from storage.trash import UNDO_SECONDS

ADAPTER = {"name": "poet", "folder": "f-1", "zip_name": "f-1.zip", "bytes": 1, "zip_bytes": 1, "files": [], "task": "t",
           "method": "lora", "base_model": "demo-base", "base_path": "", "base_hash": ""}


@pytest.fixture
def clock():
    return [time.time()]


@pytest.fixture
def services(settings, clock):
    return open_services(settings, clock=lambda: clock[0])


@pytest.fixture
def submit(services):
    def submit(name="a run", **values):
        return services.runs.submit(**{"name": name, "task": "t", "method": "lora", "base_model": "demo-base", "recipe": {},
                                       "base": {}, "data": {}, **values})
    return submit


@pytest.fixture
def finished(services, submit):
    """A finished run with an adapter."""
    submit("poet")
    run = services.leases.claim_next("cpu", "host")
    services.leases.end(run.id, run.fence, RunState.FINISHED, adapter=ADAPTER)
    return services.runs.get(run.id)


def dataset(id="d1", paths=("aa/rows.csv",)) -> Dataset:
    return Dataset(id=id, name="rows.csv", sha256=f"hash of {id}", bytes=10, created_at=1.0,
                   files=[{"name": "rows.csv", "path": path, "bytes": 10, "sha256": path} for path in paths])


def test_a_deleted_run_and_its_adapter_are_hidden_everywhere_and_come_back_together(services, finished):
    services.trash.delete("run", finished.id)
    assert services.runs.search() == [] and services.adapters.all() == [] and services.adapters.find(finished.id) is None
    assert services.runs.get(finished.id).deleted_at, "its page can still say that it is deleted"
    assert [(thing.kind, thing.name) for thing in services.trash.all()] == [("run", "poet")]
    services.trash.restore("run", finished.id)
    assert services.runs.search()[0].id == finished.id == services.adapters.get(finished.id).run_id
    assert services.trash.all() == []


def test_an_adapter_that_was_deleted_before_its_run_stays_deleted_when_the_run_comes_back(services, finished, clock):
    services.trash.delete("adapter", finished.id)
    clock[0] += 60
    services.trash.delete("run", finished.id)
    with pytest.raises(NotFound, match="Restore the run first"):
        services.trash.restore("adapter", finished.id)
    services.trash.restore("run", finished.id)
    assert services.adapters.find(finished.id) is None
    assert [thing.kind for thing in services.trash.all()] == ["adapter"]


def test_only_an_ended_run_can_be_deleted(services, submit):
    run = submit()
    with pytest.raises(NotFound, match=run.id):
        services.trash.delete("run", run.id)
    services.queue.ask(run.id, Request.CANCEL)
    services.trash.delete("run", run.id)
    with pytest.raises(NotFound, match=run.id):
        services.trash.delete("run", run.id)


@pytest.mark.parametrize("kind, start_from", [("run", "{id}"), ("adapter", "{id}"), ("adapter", "/adapters/f-1")])
def test_what_a_waiting_run_starts_from_is_not_deleted(services, submit, finished, kind, start_from):
    waiting = submit("poet 2", recipe={"start_from": start_from.format(id=finished.id)})
    with pytest.raises(InUse, match="waiting run 'poet 2'"):
        services.trash.delete(kind, finished.id, names=["/adapters/f-1"])
    assert services.adapters.find(finished.id), "nothing was hidden"
    services.queue.ask(waiting.id, Request.CANCEL)
    services.trash.delete(kind, finished.id, names=["/adapters/f-1"])
    assert services.adapters.find(finished.id) is None


def test_a_run_that_another_continues_can_be_deleted_since_the_other_has_its_own_copy(services, submit, finished):
    submit("poet 2", continues=finished.id, recipe={"start_from": "something else"})
    services.trash.delete("run", finished.id)
    assert [run.name for run in services.runs.search()] == ["poet 2"]


@pytest.mark.parametrize("role", ["source", "validation"])
def test_data_that_a_running_run_reads_is_not_deleted(services, submit, role):
    services.datasets.add(dataset())
    submit("reader", recipe={"dataset": {role: "d1"}})
    run = services.leases.claim_next("cpu", "host")
    with pytest.raises(InUse, match="running run 'reader'"):
        services.trash.delete("dataset", "d1")
    services.leases.end(run.id, run.fence, RunState.FINISHED)
    assert services.trash.uses_of_datasets() == {"d1": 1}
    services.trash.delete("dataset", "d1")
    assert services.datasets.all() == [] and services.datasets.find("d1") is None


def test_the_same_data_uploaded_again_is_no_longer_deleted(services):
    services.datasets.add(dataset())
    services.trash.delete("dataset", "d1")
    assert services.datasets.add(dataset()).id == "d1"
    assert services.datasets.find("d1") and services.trash.all() == []


def test_what_is_marked_for_good_cannot_come_back_and_is_due_at_once(services, finished):
    with pytest.raises(NotFound):
        services.trash.mark_for_good("run", finished.id)
    services.trash.delete("run", finished.id)
    assert services.trash.due() == []
    assert services.trash.mark_for_good("run", finished.id).folder == "f-1"
    assert ("run", finished.id) in services.trash.due() and services.trash.all() == []
    with pytest.raises(NotFound):
        services.trash.restore("run", finished.id)
    services.trash.forget("run", finished.id)
    with pytest.raises(NotFound):
        services.runs.get(finished.id)
    assert services.trash.due() == []


def test_the_time_to_undo_ends_after_a_week(services, finished, clock):
    services.trash.delete("run", finished.id)
    clock[0] += UNDO_SECONDS - 1
    assert services.trash.due() == []
    clock[0] += 1
    assert ("run", finished.id) in services.trash.due()


def test_a_sweep_is_forgotten_with_its_last_run(services, clock):
    values = {"task": "t", "method": "lora", "base_model": "b", "recipe": {}, "base": {}, "data": {}}
    sweep = services.sweeps.submit(name="ranks", recipe={}, varied=["r"],
                                   runs=[{**values, "name": name, "sweep_values": {}} for name in ("one", "two")])
    for number, run in enumerate(services.runs.search(sweep_id=sweep.id)):
        assert services.sweeps.get(sweep.id).name == "ranks", f"{number} runs are gone"
        services.queue.ask(run.id, Request.CANCEL)
        services.trash.delete("run", run.id)
        services.trash.mark_for_good("run", run.id)
        services.trash.forget("run", run.id)
    with pytest.raises(NotFound):
        services.sweeps.get(sweep.id)


def test_files_of_forgotten_data_go_but_for_those_that_other_data_has(services):
    services.datasets.add(dataset("d1", ["aa/shared.csv", "bb/own.csv"]))
    services.datasets.add(dataset("d2", ["aa/shared.csv"]))
    services.trash.delete("dataset", "d1")
    services.trash.mark_for_good("dataset", "d1")
    removed = []
    services.trash.forget_dataset("d1", removed.append)
    assert removed == ["bb/own.csv"]
    services.trash.remove_unused(["aa/shared.csv", "cc/lost.csv"], removed.append)
    assert removed == ["bb/own.csv", "cc/lost.csv"]


def test_data_that_came_back_in_time_keeps_its_files(services):
    services.datasets.add(dataset())
    services.trash.delete("dataset", "d1")
    services.trash.mark_for_good("dataset", "d1")
    services.datasets.add(dataset())  # uploaded again while its removal was under way
    services.trash.forget_dataset("d1", lambda path: pytest.fail(f"{path} was removed"))
    assert services.datasets.find("d1")


def test_data_is_needed_by_runs_that_mix_it_with_others(services, submit):
    for id in ("d1", "d2", "d3"):
        services.datasets.add(dataset(id, paths=[f"{id}/rows.csv"]))
    run = submit("mixed", recipe={"dataset": {"source": ["d1", "d2"], "weights": [2, 0.5], "validation": "d3"}})
    submit("alone", recipe={"dataset": {"source": "d2", "validation": 0.1}})
    assert services.trash.uses_of_datasets() == {"d1": 1, "d2": 2, "d3": 1, "0.1": 1}
    assert [used.name for used in services.trash.dependents("dataset", "d2")] == ["alone", "mixed"]
    for id in ("d1", "d3"):
        with pytest.raises(InUse, match="the waiting run 'mixed'"):
            services.trash.delete("dataset", id)
    assert services.trash.dependents("dataset", "d") == []
    services.queue.ask(run.id, Request.CANCEL)
    services.trash.delete("dataset", "d1")
