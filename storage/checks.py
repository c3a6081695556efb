"""Remembers health reports of datasets, and which of them are still to be made."""

import time

from sqlalchemy import Engine, insert, select, update

from storage import tables
from storage.database import database_seconds
from storage.library import WORKER_SILENCE
from storage.records import DataCheck

_reads = {"reads_only": True}
_check = tables.checks.c


class CheckRepository:
    """One record for one dataset read in one way."""

    def __init__(self, engine: Engine):
        self.engine = engine

    def ask(self, check_id: str, dataset_id: str, wanted: dict, again: bool = False) -> DataCheck:
        """Ask for a report; one that is there or under way stays as it is, and one that failed is tried again.

        With `again`, one that is there is made anew as well.
        """
        values = {"state": "queued", "phase": "", "done": 0, "problem": "", "report": None, "asked_at": time.time()}
        with self.engine.begin() as connection:
            known = connection.execute(select(_check.state).where(_check.id == check_id)).scalar()
            if known is None:
                connection.execute(insert(tables.checks).values(id=check_id, dataset_id=dataset_id, wanted=wanted, **values))
            elif known == "failed" or (again and known == "finished"):
                connection.execute(update(tables.checks).where(_check.id == check_id).values(**values))
        return self.find(check_id)

    def claim(self, check_id: str) -> DataCheck | None:
        """Take one that waits, or whose worker has gone silent; None where there is nothing to take."""
        with self.engine.begin() as connection:
            taken = connection.execute(update(tables.checks).where(_check.id == check_id, _is_open()).values(
                state="running", beat_at=database_seconds())).rowcount == 1
        return self.find(check_id) if taken else None

    def progress(self, check_id: str, **changes) -> bool:
        """Store phase, done, state, problem or report, and that somebody is at work; False where the check is gone."""
        with self.engine.begin() as connection:
            return connection.execute(update(tables.checks).where(_check.id == check_id, _check.state == "running").values(
                beat_at=database_seconds(), **changes)).rowcount == 1

    def give_back(self, check_id: str) -> None:
        """Let one that is running wait again: whoever made it has gone."""
        with self.engine.begin() as connection:
            connection.execute(update(tables.checks).where(_check.id == check_id, _check.state == "running").values(
                state="queued", phase="", done=0))

    def ids(self) -> set[str]:
        """Of all checks."""
        with self.engine.connect().execution_options(**_reads) as connection:
            return set(connection.execute(select(_check.id)).scalars())

    def find(self, check_id: str) -> DataCheck | None:
        with self.engine.connect().execution_options(**_reads) as connection:
            row = connection.execute(select(tables.checks).where(_check.id == check_id)).first()
        return DataCheck(**row._mapping) if row else None

    def of_dataset(self, dataset_id: str) -> list[DataCheck]:
        """Those of a dataset, the one asked for last first."""
        with self.engine.connect().execution_options(**_reads) as connection:
            rows = connection.execute(select(tables.checks).where(_check.dataset_id == dataset_id)
                                      .order_by(_check.asked_at.desc())).all()
        return [DataCheck(**row._mapping) for row in rows]

    def waiting(self) -> list[str]:
        """The ids of those that a worker should take up: queued, or running without a sign of life."""
        with self.engine.connect().execution_options(**_reads) as connection:
            return list(connection.execute(select(_check.id).where(_is_open()).order_by(_check.asked_at)).scalars())


def _is_open():
    silent = (_check.state == "running") & (_check.beat_at < database_seconds() - WORKER_SILENCE)
    return (_check.state == "queued") | silent
