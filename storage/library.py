"""Remembers adapters, datasets, workers and downloads."""

import time
from dataclasses import replace

from sqlalchemy import Engine, delete, func, insert, select, update
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
        """All adapters but deleted ones, the newest first."""
        with self.engine.connect().execution_options(**_reads) as connection:
            rows = connection.execute(select(tables.adapters).where(tables.adapters.c.deleted_at.is_(None))
                                      .order_by(tables.adapters.c.created_at.desc())).all()
        return [Adapter(**row._mapping) for row in rows]

    def find(self, run_id: str) -> Adapter | None:
        with self.engine.connect().execution_options(**_reads) as connection:
            row = connection.execute(select(tables.adapters).where(
                tables.adapters.c.run_id == run_id, tables.adapters.c.deleted_at.is_(None))).first()
        return Adapter(**row._mapping) if row else None

    def get(self, run_id: str) -> Adapter:
        """The adapter of that run; raises NotFound."""
        adapter = self.find(run_id)
        if adapter is None:
            raise NotFound(f"The run '{run_id}' has no adapter. The Library page lists all that are ready.")
        return adapter


class DatasetRepository:
    """Data and its versions, one record for one content."""

    def __init__(self, engine: Engine):
        self.engine = engine

    def add(self, dataset: Dataset) -> Dataset:
        """Remember a dataset as the next version of its family (its own where it has none).

        The same content again gives the record that it already has, also where that was deleted.
        """
        with self.engine.begin() as connection:
            same = tables.datasets.c.sha256 == dataset.sha256
            connection.execute(update(tables.datasets).where(same).values(deleted_at=None))
            row = connection.execute(select(tables.datasets).where(same)).first()
            if row:
                return Dataset(**row._mapping)
            family = dataset.family or dataset.id
            newest = connection.execute(select(func.max(tables.datasets.c.version)).where(
                tables.datasets.c.family == family)).scalar()
            dataset = replace(dataset, family=family, version=(newest or 0) + 1)
            connection.execute(insert(tables.datasets).values(**vars(dataset)))
            return dataset

    def note(self, dataset_id: str, **values) -> None:
        """Remember how a dataset is read: task, format, columns, rows, validation_id or name."""
        with self.engine.begin() as connection:
            connection.execute(update(tables.datasets).where(tables.datasets.c.id == dataset_id).values(**values))

    def versions(self, family: str) -> list[Dataset]:
        """All versions of one dataset but deleted ones, the newest first."""
        with self.engine.connect().execution_options(**_reads) as connection:
            rows = connection.execute(select(tables.datasets).where(
                tables.datasets.c.family == family, tables.datasets.c.deleted_at.is_(None)).order_by(
                tables.datasets.c.version.desc(), tables.datasets.c.created_at.desc())).all()
        return [Dataset(**row._mapping) for row in rows]

    def find(self, dataset_id: str) -> Dataset | None:
        with self.engine.connect().execution_options(**_reads) as connection:
            row = connection.execute(select(tables.datasets).where(
                tables.datasets.c.id == dataset_id, tables.datasets.c.deleted_at.is_(None))).first()
        return Dataset(**row._mapping) if row else None

    def all(self) -> list[Dataset]:
        """All datasets but deleted ones, the newest first."""
        with self.engine.connect().execution_options(**_reads) as connection:
            rows = connection.execute(select(tables.datasets).where(tables.datasets.c.deleted_at.is_(None))
                                      .order_by(tables.datasets.c.created_at.desc())).all()
        return [Dataset(**row._mapping) for row in rows]


class WorkerRepository:
    """Who works, on which devices."""

    def __init__(self, engine: Engine):
        self.engine = engine

    def beat(self, worker_id: str, host: str, pid: int, devices: list[str], process_started_at: float = 0,
             boot_id: str = "", facts: dict[str, dict] | None = None) -> None:
        values = {"host": host, "pid": pid, "devices": devices, "process_started_at": process_started_at, "boot_id": boot_id,
                  "facts": facts or {}, "beat_at": database_seconds()}
        with self.engine.begin() as connection:
            known = connection.execute(update(tables.workers).where(tables.workers.c.id == worker_id).values(**values))
            if not known.rowcount:
                connection.execute(insert(tables.workers).values(id=worker_id, started_at=time.time(), **values))
            connection.execute(delete(tables.workers).where(
                tables.workers.c.beat_at < database_seconds() - 100 * WORKER_SILENCE))

    def leave(self, worker_id: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(tables.workers).where(tables.workers.c.id == worker_id))

    def find(self, worker_id: str) -> Worker | None:
        with self.engine.connect().execution_options(**_reads) as connection:
            row = connection.execute(select(tables.workers).where(tables.workers.c.id == worker_id)).first()
        return Worker(**row._mapping) if row else None

    def alive(self) -> list[Worker]:
        with self.engine.connect().execution_options(**_reads) as connection:
            rows = connection.execute(select(tables.workers).where(
                # not later either: a clock that was set back must not bring a gone worker to life
                tables.workers.c.beat_at.between(database_seconds() - WORKER_SILENCE, database_seconds() + WORKER_SILENCE))).all()
        return [Worker(**row._mapping) for row in rows]


class DownloadRepository:
    """Base models on their way from the Hub."""

    def __init__(self, engine: Engine):
        self.engine = engine

    def ask(self, hub_id: str) -> Download:
        """Ask for a model; asking again for one that has ended tries again, for one under way changes nothing."""
        values = {"state": "queued", "problem": "", "asked_at": time.time()}
        with self.engine.begin() as connection:
            connection.execute(upsert(tables.downloads).values(hub_id=hub_id, **values).on_conflict_do_update(
                index_elements=["hub_id"], set_=values,
                where=tables.downloads.c.state.in_(["failed", "finished", "cancelled"])))
        return self.get(hub_id)

    def claim(self, hub_id: str) -> Download | None:
        """Take a waiting download, or one whose worker has gone silent; None where there is nothing to take."""
        abandoned = (tables.downloads.c.state == "running") & (
            tables.downloads.c.beat_at < database_seconds() - WORKER_SILENCE)
        with self.engine.begin() as connection:
            taken = connection.execute(update(tables.downloads).where(
                tables.downloads.c.hub_id == hub_id, (tables.downloads.c.state == "queued") | abandoned).values(
                state="running", beat_at=database_seconds())).rowcount == 1
        return self.get(hub_id) if taken else None

    def progress(self, download: Download, **changes) -> bool:
        """Store done_bytes, total_bytes, state or problem, and that somebody is at work.

        False where the download is no longer the caller's: it was cancelled, and perhaps asked for again.
        """
        with self.engine.begin() as connection:
            return connection.execute(update(tables.downloads).where(
                tables.downloads.c.hub_id == download.hub_id, tables.downloads.c.state == "running",
                tables.downloads.c.asked_at == download.asked_at).values(beat_at=database_seconds(), **changes)).rowcount == 1

    def cancel(self, hub_id: str) -> Download:
        """End a download that waits or is under way; its worker notices within two seconds. One that has ended stays as it is."""
        with self.engine.begin() as connection:
            connection.execute(update(tables.downloads).where(
                tables.downloads.c.hub_id == hub_id, tables.downloads.c.state.in_(["queued", "running"])).values(
                state="cancelled"))
        return self.get(hub_id)

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
