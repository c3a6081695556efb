"""Remembers adapters, datasets, workers and downloads."""

import time

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from storage import tables
from storage.database import database_seconds
from storage.problems import NotFound
from storage.records import Adapter, Dataset, Download, Worker

WORKER_SILENCE = 15  # seconds without a beat after which a worker counts as gone

_reads = {"reads_only": True}


class AdapterRepository:
    """What finished and stopped runs left."""

    def __init__(self, engine: Engine):
        self.engine = engine

    def all(self) -> list[Adapter]:
        """All adapters, the newest first."""
        with self.engine.connect().execution_options(**_reads) as connection:
            rows = connection.execute(select(tables.adapters).order_by(tables.adapters.c.created_at.desc())).all()
        return [Adapter(**row._mapping) for row in rows]

    def find(self, run_id: str) -> Adapter | None:
        with self.engine.connect().execution_options(**_reads) as connection:
            row = connection.execute(select(tables.adapters).where(tables.adapters.c.run_id == run_id)).first()
        return Adapter(**row._mapping) if row else None

    def get(self, run_id: str) -> Adapter:
        """The adapter of that run; raises NotFound."""
        adapter = self.find(run_id)
        if adapter is None:
            raise NotFound(f"The run '{run_id}' has no adapter. The Library page lists all that are ready.")
        return adapter


class DatasetRepository:
    """Uploaded data, one record for one content."""

    def __init__(self, engine: Engine):
        self.engine = engine

    def add(self, dataset: Dataset) -> Dataset:
        """Remember a dataset; the same content again gives the record that it already has."""
        with self.engine.begin() as connection:
            row = connection.execute(select(tables.datasets).where(tables.datasets.c.sha256 == dataset.sha256)).first()
            if row:
                return Dataset(**row._mapping)
            connection.execute(insert(tables.datasets).values(**vars(dataset)))
            return dataset

    def find(self, dataset_id: str) -> Dataset | None:
        with self.engine.connect().execution_options(**_reads) as connection:
            row = connection.execute(select(tables.datasets).where(tables.datasets.c.id == dataset_id)).first()
        return Dataset(**row._mapping) if row else None

    def all(self) -> list[Dataset]:
        with self.engine.connect().execution_options(**_reads) as connection:
            rows = connection.execute(select(tables.datasets).order_by(tables.datasets.c.created_at.desc())).all()
        return [Dataset(**row._mapping) for row in rows]


class WorkerRepository:
    """Who works, on which devices."""

    def __init__(self, engine: Engine):
        self.engine = engine

    def beat(self, worker_id: str, host: str, pid: int, devices: list[str]) -> None:
        values = {"host": host, "pid": pid, "devices": devices, "beat_at": database_seconds()}
        with self.engine.begin() as connection:
            known = connection.execute(update(tables.workers).where(tables.workers.c.id == worker_id).values(**values))
            if not known.rowcount:
                connection.execute(insert(tables.workers).values(id=worker_id, started_at=time.time(), **values))
            connection.execute(delete(tables.workers).where(
                tables.workers.c.beat_at < database_seconds() - 100 * WORKER_SILENCE))

    def leave(self, worker_id: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(tables.workers).where(tables.workers.c.id == worker_id))

    def alive(self) -> list[Worker]:
        with self.engine.connect().execution_options(**_reads) as connection:
            rows = connection.execute(select(tables.workers).where(
                tables.workers.c.beat_at >= database_seconds() - WORKER_SILENCE)).all()
        return [Worker(**row._mapping) for row in rows]


class DownloadRepository:
    """Base models on their way from the Hub."""

    def __init__(self, engine: Engine):
        self.engine = engine

    def ask(self, hub_id: str) -> Download:
        """Ask for a model; asking again for a failed one tries again, for a running one changes nothing."""
        values = {"state": "queued", "problem": "", "asked_at": time.time()}
        with self.engine.begin() as connection:
            connection.execute(upsert(tables.downloads).values(hub_id=hub_id, **values).on_conflict_do_update(
                index_elements=["hub_id"], set_=values, where=tables.downloads.c.state.in_(["failed", "finished"])))
        return self.get(hub_id)

    def claim(self, hub_id: str) -> bool:
        """Take a waiting download, or one whose worker has gone silent."""
        abandoned = (tables.downloads.c.state == "running") & (
            tables.downloads.c.beat_at < database_seconds() - WORKER_SILENCE)
        with self.engine.begin() as connection:
            return connection.execute(update(tables.downloads).where(
                tables.downloads.c.hub_id == hub_id, (tables.downloads.c.state == "queued") | abandoned).values(
                state="running", beat_at=database_seconds())).rowcount == 1

    def progress(self, hub_id: str, **changes) -> None:
        """Store done_bytes, total_bytes, state or problem, and that somebody is at work."""
        with self.engine.begin() as connection:
            connection.execute(update(tables.downloads).where(tables.downloads.c.hub_id == hub_id).values(
                beat_at=database_seconds(), **changes))

    def get(self, hub_id: str) -> Download:
        """The download of that Hub id; raises NotFound."""
        with self.engine.connect().execution_options(**_reads) as connection:
            row = connection.execute(select(tables.downloads).where(tables.downloads.c.hub_id == hub_id)).first()
        if row is None:
            raise NotFound(f"Nobody asked for '{hub_id}' yet. Type it on the Train page and press Get.")
        return Download(**row._mapping)

    def active(self) -> list[Download]:
        """Downloads that have not ended, the one asked for last first."""
        with self.engine.connect().execution_options(**_reads) as connection:
            rows = connection.execute(select(tables.downloads).where(tables.downloads.c.state.in_(["queued", "running"]))
                                      .order_by(tables.downloads.c.asked_at.desc())).all()
        return [Download(**row._mapping) for row in rows]

    def waiting(self) -> list[Download]:
        """Downloads that a worker should take up: queued, or running without a sign of life."""
        with self.engine.connect().execution_options(**_reads) as connection:
            rows = connection.execute(select(tables.downloads).where(
                (tables.downloads.c.state == "queued") | ((tables.downloads.c.state == "running") & (
                    tables.downloads.c.beat_at < database_seconds() - WORKER_SILENCE)))).all()
        return [Download(**row._mapping) for row in rows]
