import os
import subprocess
import sys

import pytest

from jobs import housekeeping
from jobs.housekeeping import bytes_on_disk, bytes_that_come_back, plan_deletion, remove_within
from jobs.janitor import tidy_up
from jobs.recipe_reader import read_recipe
from jobs.submit import check_recipe
from jobs.uploads import dataset_paths, keep_files
from storage.faults import EXIT_CODE
from storage.problems import InUse, NotFound, RecipeInvalid
from storage.records import Request, RunState
from studio.views.data_view import read_data
from tests.conftest import ROOT


@pytest.fixture
def add_run(services):
    """A run in the state asked for, with checkpoints on the disk, and an adapter where its state leaves one."""
    def add_run(name="poet", state=RunState.FINISHED, **values):
        run = services.runs.submit(**{"name": name, "task": "text-generation", "method": "lora", "base_model": "demo-base",
                                      "recipe": {}, "base": {}, "data": {}, **values})
        if state == RunState.QUEUED:
            return run
        run = services.leases.claim_next(f"device of {run.id}", "here")
        checkpoint = services.settings.runs_dir / run.id / "checkpoints" / "attempt-1" / "checkpoint-10"
        checkpoint.mkdir(parents=True)
        (checkpoint / "weights").write_bytes(b"c" * 3000)
        if state == RunState.RUNNING:
            return run
        adapter = None
        if state in (RunState.FINISHED, RunState.STOPPED):
            folder = services.settings.adapters_dir / f"{run.id}-1"
            folder.mkdir()
            (folder / "adapter_model.safetensors").write_bytes(b"a" * 1000)
            folder.with_name(f"{folder.name}.zip").write_bytes(b"z" * 500)
            adapter = {"name": name, "folder": folder.name, "zip_name": f"{folder.name}.zip", "bytes": 1000, "zip_bytes": 500,
                       "files": [], "task": "text-generation", "method": "lora", "base_model": "demo-base", "base_path": "",
                       "base_hash": ""}
        assert services.leases.end(run.id, run.fence, state, adapter=adapter)
        return services.runs.get(run.id)
    return add_run


@pytest.fixture
def keep(services, tmp_path):
    def keep(**files):
        paths = []
        for name, text in files.items():
            paths.append(tmp_path / f"{name}.csv")
            paths[-1].write_text(text)
        return keep_files(services, paths)
    return keep


def left(services, run_id: str) -> list[str]:
    """Files that a run or its adapter still has."""
    return [str(path) for path in services.settings.home.rglob("*") if run_id in str(path) and path.is_file()]


# ---- what a deletion would mean


def test_the_plan_for_a_run_counts_its_files_and_names_what_depends_on_it(services, add_run):
    run = add_run()
    again, more = add_run("poet again", continues=run.id), add_run("poet more", continues=run.id)
    add_run("prose", recipe={"start_from": run.id})
    plan = plan_deletion(services, "run", run.id)
    assert (plan.kind, plan.id, plan.name, plan.bytes) == ("run", run.id, "poet", 4500)
    assert plan.depends == [
        "Its adapter leaves the library and the playground with it.",
        f"2 runs continue from it: '{more.name}' and '{again.name}'.",
        "1 run started from its adapter, and cannot be repeated without it: 'prose'."]
    assert plan_deletion(services, "run", more.id).depends == ["Its adapter leaves the library and the playground with it."]


def test_the_plan_for_an_adapter_leaves_the_runs_own_files(services, add_run):
    run = add_run()
    add_run("prose", recipe={"start_from": str(services.settings.adapters_dir / f"{run.id}-1")})
    plan = plan_deletion(services, "adapter", run.id)
    assert plan.bytes == 1500
    assert plan.depends == ["Its run stays in the lab book with its figures.",
                            "1 run started from it, and cannot be repeated without it: 'prose'."]


def test_the_plan_for_data_counts_only_files_that_no_other_data_has(services, add_run, keep):
    both, alone = keep(shared="s" * 700, own="o" * 300), keep(shared="s" * 700)
    for number in range(5):
        add_run(f"reader {number}", recipe={"dataset": {"source": both.id}})
    plan = plan_deletion(services, "dataset", both.id)
    assert plan.bytes == 300
    assert plan.depends == ["5 runs used it, and cannot be repeated or resumed without it: "
                            "'reader 4', 'reader 3', 'reader 2' and 2 more."]
    assert plan_deletion(services, "dataset", alone.id).depends == ["No run used it."]


def test_a_sweep_keeps_its_other_runs(services, add_run):
    values = {"task": "t", "method": "lora", "base_model": "b", "recipe": {}, "base": {}, "data": {}, "sweep_values": {}}
    sweep = services.sweeps.submit(name="ranks", recipe={}, varied=["r"], runs=[{**values, "name": name} for name in "ab"])
    for run in services.runs.search(sweep_id=sweep.id):
        services.queue.ask(run.id, Request.CANCEL)
    first, second = services.runs.search(sweep_id=sweep.id)
    assert plan_deletion(services, "run", first.id).depends == ["It belongs to the sweep 'ranks', which keeps its 1 other run."]
    housekeeping.delete(services, "run", first.id)
    assert plan_deletion(services, "run", second.id).depends == ["It is the last run of the sweep 'ranks'."]


def test_a_run_that_has_not_ended_or_that_is_needed_is_refused_with_the_reason(services, add_run):
    running = add_run("still learning", RunState.RUNNING)
    with pytest.raises(NotFound, match="'still learning' is running. Cancel it before"):
        plan_deletion(services, "run", running.id)
    with pytest.raises(NotFound, match="'still learning' is running. Cancel it before"):
        housekeeping.delete(services, "run", running.id)
    run = add_run()
    add_run("next", RunState.QUEUED, recipe={"start_from": run.id})
    for step in (plan_deletion, housekeeping.delete):
        with pytest.raises(InUse, match="This run is needed by the waiting run 'next'. Cancel"):
            step(services, "run", run.id)
    with pytest.raises(NotFound, match="no dataset 'nobody'"):
        plan_deletion(services, "dataset", "nobody")


# ---- deleting, restoring, deleting for good


@pytest.mark.parametrize("kind", ["run", "adapter"])
def test_deleting_removes_no_file_until_it_is_for_good(services, add_run, kind):
    run = add_run()
    before = left(services, run.id)
    housekeeping.delete(services, kind, run.id)
    assert left(services, run.id) == before and len(before) == 3
    housekeeping.restore(services, kind, run.id)
    assert services.adapters.find(run.id) and services.runs.search()[0].id == run.id
    housekeeping.delete(services, kind, run.id)
    housekeeping.delete_for_good(services, kind, run.id)
    assert [path for path in left(services, run.id) if "adapters" in path or kind == "run"] == []
    assert (run.id in services.trash.run_states()) == (kind == "adapter")
    with pytest.raises(NotFound):
        housekeeping.restore(services, kind, run.id)


def test_data_deleted_for_good_leaves_the_files_that_other_data_has(services, keep):
    both, alone = keep(shared="s" * 700, own="o" * 300), keep(shared="s" * 700)
    shared, own = dataset_paths(services, both)
    housekeeping.delete(services, "dataset", both.id)
    housekeeping.delete_for_good(services, "dataset", both.id)
    assert not own.parent.exists() and dataset_paths(services, alone) == [shared]


@pytest.mark.parametrize("point", ["delete.marked", "delete.files"])
def test_a_crash_while_something_goes_leaves_no_record_of_nothing_and_the_janitor_finishes_it(services, add_run, point):
    run = add_run()
    housekeeping.delete(services, "run", run.id)
    code = ("from jobs import housekeeping\nfrom jobs.services import open_services\nfrom storage.settings import StudioSettings\n"
            f"housekeeping.delete_for_good(open_services(StudioSettings.from_env()), 'run', '{run.id}')")
    died = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, "STUDIO_HOME": str(services.settings.home), "STUDIO_FAULT": f"{point}:1"})
    assert died.returncode == EXIT_CODE, died.stderr
    assert bool(left(services, run.id)) == (point == "delete.marked")
    assert services.runs.search() == [] and services.trash.all() == [] and services.adapters.all() == []
    with pytest.raises(NotFound):
        housekeeping.restore(services, "run", run.id)
    assert tidy_up(services) == [f"Removed the deleted run {run.id} for good."]
    assert left(services, run.id) == [] and services.trash.run_states() == {} and tidy_up(services) == []


# ---- files


def test_a_file_with_a_second_name_elsewhere_does_not_come_back(tmp_path):
    run, other = tmp_path / "run", tmp_path / "other"
    for folder in (run / "a", run / "b", other):
        folder.mkdir(parents=True)
    (run / "a" / "own").write_bytes(b"x" * 100)
    os.link(run / "a" / "own", run / "b" / "own again")
    (run / "a" / "shared").write_bytes(b"x" * 1000)
    os.link(run / "a" / "shared", other / "shared")
    assert bytes_that_come_back([run]) == 100
    assert bytes_on_disk([run]) == 1100
    assert bytes_that_come_back([run, other]) == 1100


def test_a_link_is_removed_and_what_it_leads_to_is_not(tmp_path):
    home, outside = tmp_path / "home", tmp_path / "outside"
    (home / "run").mkdir(parents=True)
    outside.mkdir()
    (outside / "precious").write_text("stays")
    (home / "run" / "link").symlink_to(outside)
    (home / "linked run").symlink_to(outside)
    assert bytes_on_disk([home]) == 0
    remove_within(home, "run")
    remove_within(home, "linked run")
    assert list(home.iterdir()) == [] and (outside / "precious").exists()


@pytest.mark.parametrize("name", ["..", "", ".", "../outside", "a/b", "/etc"])
def test_only_an_entry_of_the_folder_itself_is_removed(tmp_path, name):
    with pytest.raises(ValueError, match="one entry"):
        remove_within(tmp_path, name)


def test_a_recipe_with_deleted_data_says_how_to_get_it_back(services, keep, tiny_llama):
    data = keep(rows="question,answer\n" + "".join(f"What is {n}?,A river\n" for n in range(20)))
    recipe = read_recipe({"base_model": str(tiny_llama), "dataset": {"source": data.id}})
    housekeeping.delete(services, "dataset", data.id)
    with pytest.raises(RecipeInvalid, match="'rows.csv' was deleted. Restore it on the Library page"):
        check_recipe(services, recipe)
    assert read_data(services, data.id).problems == (
        "The data 'rows.csv' was deleted. Restore it on the Library page, or upload it again.",)
    housekeeping.restore(services, "dataset", data.id)
    assert check_recipe(services, recipe).dataset.id == data.id
