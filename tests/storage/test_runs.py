import threading
import time

import pytest
from sqlalchemy import update

from storage import tables
from storage.database import migrate
from storage.problems import NotFound
from storage.records import MetricPoint, Request, RunState


@pytest.fixture
def submit(services):
    def submit(name="a run", key=None, **values):
        return services.runs.submit(**{"name": name, "task": "text-generation", "method": "lora", "base_model": "demo-base",
                                       "recipe": {}, "base": {}, "data": {}, "submission_key": key, **values})
    return submit


def test_a_double_click_makes_one_run(services, submit):
    assert submit(key="same").id == submit(key="same").id
    assert len(services.runs.search()) == 1


def test_runs_are_claimed_in_the_order_they_were_submitted_and_one_per_device(services, submit):
    first, second = submit("first"), submit("second")
    assert [services.queue.position(run) for run in (first, second)] == [1, 2]
    assert services.leases.claim_next("cpu", "host").id == first.id
    assert services.leases.claim_next("cpu", "host") is None, "the device is taken"
    assert services.leases.claim_next("cuda:0", "host").id == second.id
    assert services.leases.claim_next("cuda:1", "host") is None, "nothing waits"


def test_eight_claims_at_once_give_a_run_to_one(services, submit):
    submit()
    claimed = []
    claim = services.leases.claim_next
    threads = [threading.Thread(target=lambda n=n: claimed.append(claim(f"cuda:{n}", "host"))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([run for run in claimed if run]) == 1


def test_a_trainer_that_lost_its_lease_writes_nothing(services, submit):
    old = services.leases.claim_next("cpu", "host") if submit() else None
    assert [run.id for run in services.leases.running()] == [old.id]
    assert services.leases.crashed(old.id, old.fence, "gone")
    new = services.leases.claim_next("cpu", "host")
    assert new.fence == old.fence + 1
    assert services.leases.beat(old.id, old.fence, step=99) is None
    assert not services.runs.add_metrics(old.id, old.fence, [MetricPoint(1, "loss", 1.0)])
    assert not services.leases.end(old.id, old.fence, RunState.FINISHED)
    run = services.runs.get(old.id)
    assert (run.state, run.step, services.runs.metrics(old.id)) == (RunState.RUNNING, 0, [])


def test_an_ended_run_never_changes_its_state_again(services, submit):
    submit()
    run = services.leases.claim_next("cpu", "host")
    assert services.leases.end(run.id, run.fence, RunState.FINISHED, eval_loss=1.0)
    assert not services.leases.end(run.id, run.fence, RunState.FAILED)
    assert not services.leases.crashed(run.id, run.fence, "late")
    services.queue.ask(run.id, Request.CANCEL)
    assert services.runs.get(run.id).state == RunState.FINISHED


def test_three_crashes_in_a_row_fail_a_run_and_a_checkpoint_starts_the_count_anew(services, submit):
    submit()
    for _ in range(2):
        run = services.leases.claim_next("cpu", "host")
        services.leases.crashed(run.id, run.fence, "gone")
    run = services.leases.claim_next("cpu", "host")
    services.leases.checkpointed(run.id, run.fence, step=10)
    services.leases.crashed(run.id, run.fence, "gone")
    assert services.runs.get(run.id).state == RunState.QUEUED
    for _ in range(2):
        run = services.leases.claim_next("cpu", "host")
        services.leases.crashed(run.id, run.fence, "The trainer's process was ended by signal 9.")
    run = services.runs.get(run.id)
    assert run.state == RunState.FAILED
    assert "3 times" in run.problem and "signal 9" in run.problem


def test_cancelling_a_waiting_run_ends_it_at_once(services, submit):
    run = submit()
    assert services.queue.ask(run.id, Request.CANCEL).state == RunState.CANCELLED
    assert services.leases.claim_next("cpu", "host") is None


def test_a_cancel_outranks_a_stop_and_not_the_other_way_round(services, submit):
    submit()
    run = services.leases.claim_next("cpu", "host")
    services.queue.ask(run.id, Request.STOP)
    services.queue.ask(run.id, Request.CANCEL)
    services.queue.ask(run.id, Request.STOP)
    assert services.leases.beat(run.id, run.fence) == Request.CANCEL


def test_a_stop_outlives_a_crash(services, submit):
    submit()
    run = services.leases.claim_next("cpu", "host")
    services.queue.ask(run.id, Request.STOP)
    services.leases.crashed(run.id, run.fence, "gone")
    assert services.leases.claim_next("cpu", "host").request == Request.STOP


def test_a_run_that_was_cancelled_while_it_paused_does_not_go_back_to_the_queue(services, submit):
    submit()
    run = services.leases.claim_next("cpu", "host")
    services.queue.ask(run.id, Request.CANCEL)
    assert services.leases.put_back(run.id, run.fence, "paused")
    assert services.runs.get(run.id).state == RunState.CANCELLED


def test_repeated_steps_replace_their_metrics(services, submit):
    submit()
    run = services.leases.claim_next("cpu", "host")
    services.runs.add_metrics(run.id, run.fence, [MetricPoint(1, "loss", 3.0), MetricPoint(2, "loss", 2.0)])
    services.runs.add_metrics(run.id, run.fence, [MetricPoint(2, "loss", 1.5)])
    assert [(point.step, point.value) for point in services.runs.metrics(run.id, ["loss"])] == [(1, 3.0), (2, 1.5)]


def test_the_lab_book_filters_and_sorts_with_empty_figures_last(services, submit):
    for name, loss in (("alpha", 2.0), ("beta", None), ("gamma", 1.0)):
        submit(name)
        run = services.leases.claim_next("cpu", "host")
        services.leases.end(run.id, run.fence, RunState.FINISHED, eval_loss=loss)
    submit("delta", method="ia3")
    assert [run.name for run in services.runs.search()] == ["delta", "gamma", "beta", "alpha"]
    assert [run.name for run in services.runs.search("IA3")] == ["delta"]
    assert [run.name for run in services.runs.search("100%_")] == []
    finished = services.runs.search(states=["finished"], sort="eval_loss", descending=False)
    assert [run.name for run in finished] == ["gamma", "alpha", "beta"]
    with pytest.raises(NotFound, match="sorted by 'secret'"):
        services.runs.search(sort="secret")


def test_no_update_is_lost_between_processes_that_read_and_then_write(services, submit):
    run = submit()

    def add_one():
        for _ in range(25):
            with services.runs.engine.begin() as connection:
                step = connection.execute(tables.runs.select().where(tables.runs.c.id == run.id)).one().step
                connection.execute(update(tables.runs).where(tables.runs.c.id == run.id).values(step=step + 1))

    threads = [threading.Thread(target=add_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert services.runs.get(run.id).step == 100


def test_migrating_twice_changes_nothing(services, submit):
    run = submit()
    migrate(services.runs.engine)
    assert services.runs.get(run.id).name == run.name


def test_the_database_and_its_folder_belong_to_one_user(settings, services):
    assert oct((settings.home / "studio.db").stat().st_mode)[-3:] == "600"
    assert oct(settings.home.stat().st_mode)[-3:] == "700"


def test_a_worker_counts_as_alive_while_it_beats(services):
    services.workers.beat("w1", "host", 1, ["cpu"])
    assert [worker.id for worker in services.workers.alive()] == ["w1"]
    services.workers.leave("w1")
    assert services.workers.alive() == []


def test_a_download_is_taken_by_one_worker_and_a_failed_one_can_be_asked_for_again(services):
    services.downloads.ask("org/name")
    mine = services.downloads.claim("org/name")
    assert mine and not services.downloads.claim("org/name")
    services.downloads.progress(mine, state="failed", problem="No network.")
    assert services.downloads.waiting() == []
    assert services.downloads.ask("org/name").state == "queued"
    assert [download.hub_id for download in services.downloads.waiting()] == ["org/name"]


def test_log_lines_come_in_order_and_only_the_last_of_many(services, submit):
    run = submit()
    for number in range(5):
        services.runs.log(run.id, f"line {number}")
    assert [line.text for line in services.runs.log_lines(run.id, limit=2)] == ["line 3", "line 4"]
    assert services.runs.log_lines(run.id)[0].at <= time.time()
