"""Adapters that were made without training, such as blends: a finished run in the lab book, with the adapter, in one step."""

from sqlalchemy import insert, update

from storage import tables
from storage.records import Run, RunState
from storage.runs import RunRepository, add_event, add_run


def keep_made(runs: RunRepository, run_id: str, run: dict, adapter: dict) -> Run:
    """Remember a run that never waited for a device, as finished, with its adapter. It is never given to a worker."""
    now = runs.clock()
    with runs.engine.begin() as connection:
        add_run(connection, now, run_id=run_id, held=True, **run)
        connection.execute(update(tables.runs).where(tables.runs.c.id == run_id).values(
            state=RunState.FINISHED, held=False, finished_at=now))
        add_event(connection, run_id, now, RunState.QUEUED, RunState.FINISHED, 0, "made without training")
        connection.execute(insert(tables.adapters).values(run_id=run_id, created_at=now, **adapter))
    return runs.get(run_id)
