"""Remembers sweeps: one recipe with lists of values, and the runs that it became."""

import time
import uuid
from collections.abc import Callable

from sqlalchemy import Engine, insert, select

from storage import tables
from storage.problems import NotFound
from storage.records import Run, Sweep
from storage.runs import add_run, to_run

_run = tables.runs.c
_reads = {"reads_only": True}


class SweepRepository:
    """What belongs together. The runs themselves are in the lab book, under their sweep's id."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time):
        self.engine, self.clock = engine, clock

    def submit(self, *, name: str, recipe: dict, varied: list[str], runs: list[dict], submission_key: str | None = None) -> Sweep:
        """Accept a sweep with all its runs, in one transaction: a crash leaves all of it or nothing.

        `runs` holds for each what RunRepository.submit() takes, without its key and its sweep.
        The same `submission_key` again (a double click) gives the sweep that it made the first time.
        """
        keys = [submission_key and f"{submission_key}-{number}" for number in range(len(runs))]
        with self.engine.begin() as connection:
            known = connection.execute(select(tables.sweeps).join(tables.runs, _run.sweep_id == tables.sweeps.c.id).where(
                _run.submission_key.in_([key for key in keys if key])).limit(1)).first()
            if known:
                return Sweep(**known._mapping)
            sweep = Sweep(uuid.uuid4().hex[:12], name, runs[0].get("owner", ""), recipe, varied, self.clock())
            connection.execute(insert(tables.sweeps).values(**vars(sweep)))
            for key, values in zip(keys, runs, strict=True):
                add_run(connection, self.clock(), submission_key=key, sweep_id=sweep.id, **values)
        return sweep

    def get(self, sweep_id: str) -> Sweep:
        """The sweep of that id; raises NotFound."""
        with self.engine.connect().execution_options(**_reads) as connection:
            row = connection.execute(select(tables.sweeps).where(tables.sweeps.c.id == sweep_id)).first()
        if row is None:
            raise NotFound(f"There is no sweep '{sweep_id}'. The Runs page shows which runs belong to one.")
        return Sweep(**row._mapping)

    def runs(self, sweep_id: str) -> list[Run]:
        """The runs of a sweep in the order in which they were accepted, without deleted ones."""
        with self.engine.connect().execution_options(**_reads) as connection:
            return [to_run(row) for row in connection.execute(select(tables.runs).where(
                _run.sweep_id == sweep_id, _run.deleted_at.is_(None)).order_by(_run.created_at, _run.queue_order))]
