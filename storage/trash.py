"""Deleted things: hidden at once, kept for a while so that it can be undone, and then gone with their files.

What is on its way out for good has `deleted_at` 0. That mark comes first, then the files go, then the rows: a crash in between
leaves a record that nobody sees and that the janitor finishes, never one that points to nothing.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, Connection, Engine, Table, delete, exists, func, or_, select, update

from storage import tables
from storage.problems import InUse, NotFound
from storage.records import Adapter, Dataset, Run, RunState
from storage.runs import ENDS, to_run

Kind = Literal["run", "adapter", "dataset"]
UNDO_SECONDS = 7 * 86400
FOR_GOOD = 0.0

_run, _adapter, _dataset = tables.runs.c, tables.adapters.c, tables.datasets.c
_reads = {"reads_only": True}
_KEYS: dict[str, tuple[Table, ColumnElement]] = {
    "run": (tables.runs, _run.id), "adapter": (tables.adapters, _adapter.run_id), "dataset": (tables.datasets, _dataset.id)}


@dataclass(frozen=True)
class Deleted:
    """Something that can be brought back."""

    kind: Kind
    id: str
    name: str
    deleted_at: float

    @property
    def gone_at(self) -> float:
        return self.deleted_at + UNDO_SECONDS


class TrashRepository:
    """What is deleted, and what depends on what."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time):
        self.engine, self.clock = engine, clock

    # ---- deleting and bringing back

    def delete(self, kind: Kind, id: str, names: Iterable[str] = ()) -> None:
        """Hide a run with its adapter, an adapter or a dataset. `names`: what recipes may call it besides its id.

        Raises NotFound for what is not there, and InUse where a waiting or running run needs it.
        """
        table, key = _KEYS[kind]
        now = self.clock()
        with self.engine.begin() as connection:
            self._refuse_if_needed(connection, kind, id, names)
            gone = update(table).where(key == id, table.c.deleted_at.is_(None))
            if kind == "run":
                gone = gone.where(_run.state.in_(ENDS))
                connection.execute(update(tables.adapters).where(
                    _adapter.run_id == id, _adapter.deleted_at.is_(None)).values(deleted_at=now))
            if not connection.execute(gone.values(deleted_at=now)).rowcount:
                connection.rollback()
                raise NotFound(f"There is no {kind} '{id}' that could be deleted. The Library page lists what is there.")

    def restore(self, kind: Kind, id: str) -> None:
        """Bring back what was deleted, a run with its adapter; raises NotFound where that is too late."""
        table, key = _KEYS[kind]
        with self.engine.begin() as connection:
            if kind == "adapter" and self._run_of_adapter_is_deleted(connection, id):
                raise NotFound(f"The run '{id}' of this adapter is deleted too. Restore the run first.")
            deleted_at = connection.execute(select(table.c.deleted_at).where(key == id)).scalar()
            if not deleted_at:
                raise NotFound(f"There is no deleted {kind} '{id}' that could be restored. The Library page lists what can.")
            connection.execute(update(table).where(key == id).values(deleted_at=None))
            if kind == "run":
                connection.execute(update(tables.adapters).where(
                    _adapter.run_id == id, _adapter.deleted_at == deleted_at).values(deleted_at=None))

    def all(self) -> list[Deleted]:
        """What can be brought back, the latest deleted first; an adapter that went with its run comes with it."""
        found = []
        with self.engine.connect().execution_options(**_reads) as connection:
            for kind, (table, key) in _KEYS.items():
                query = select(key.label("id"), table.c.name, table.c.deleted_at).where(table.c.deleted_at > FOR_GOOD)
                if kind == "adapter":
                    query = query.where(exists().where(_run.id == _adapter.run_id, _run.deleted_at.is_(None)))
                found += [Deleted(kind, row.id, row.name, row.deleted_at) for row in connection.execute(query)]
        return sorted(found, key=lambda deleted: deleted.deleted_at, reverse=True)

    def find(self, kind: Kind, id: str) -> Run | Adapter | Dataset | None:
        """The record, deleted or not, as long as its files are there."""
        table, key = _KEYS[kind]
        with self.engine.connect().execution_options(**_reads) as connection:
            row = connection.execute(select(table).where(key == id)).first()
        if row is None or row.deleted_at == FOR_GOOD:
            return None
        return to_run(row) if kind == "run" else (Adapter if kind == "adapter" else Dataset)(**row._mapping)

    # ---- for good

    def due(self) -> list[tuple[Kind, str]]:
        """What can no longer be brought back and still has a record."""
        latest = self.clock() - UNDO_SECONDS
        with self.engine.connect().execution_options(**_reads) as connection:
            return [(kind, id) for kind, (table, key) in _KEYS.items()
                    for id in connection.execute(select(key).where(table.c.deleted_at <= latest)).scalars()]

    def mark_for_good(self, kind: Kind, id: str) -> Adapter | None:
        """From now on it cannot be restored. Returns the adapter whose files go: the run's, or this one.

        Raises NotFound for what is not deleted.
        """
        table, key = _KEYS[kind]
        with self.engine.begin() as connection:
            if not connection.execute(update(table).where(key == id, table.c.deleted_at.is_not(None))
                                      .values(deleted_at=FOR_GOOD)).rowcount:
                raise NotFound(f"There is no deleted {kind} '{id}'. The Library page lists what is deleted.")
            if kind == "dataset":
                return None
            connection.execute(update(tables.adapters).where(_adapter.run_id == id).values(deleted_at=FOR_GOOD))
            row = connection.execute(select(tables.adapters).where(_adapter.run_id == id)).first()
        return Adapter(**row._mapping) if row else None

    def forget(self, kind: Kind, id: str) -> None:
        """Remove the rows of a run or an adapter whose files are gone, and a sweep with its last run."""
        with self.engine.begin() as connection:
            connection.execute(delete(tables.adapters).where(_adapter.run_id == id, _adapter.deleted_at == FOR_GOOD))
            if kind == "run":
                sweep_id = connection.execute(select(_run.sweep_id).where(_run.id == id)).scalar()
                connection.execute(delete(tables.runs).where(_run.id == id, _run.deleted_at == FOR_GOOD))
                connection.execute(delete(tables.sweeps).where(
                    tables.sweeps.c.id == sweep_id, ~exists().where(_run.sweep_id == sweep_id)))

    def forget_dataset(self, id: str, remove: Callable[[str], None]) -> None:
        """Remove a dataset's row, and with `remove` the files that no other dataset has.

        All of it holds the write lock, so that the same content, uploaded again meanwhile, is either seen or copied anew.
        """
        with self.engine.begin() as connection:
            files = connection.execute(select(_dataset.files).where(
                _dataset.id == id, _dataset.deleted_at == FOR_GOOD)).scalar() or []
            kept = _files_of_datasets(connection, but=id)
            for file in files:
                if file["path"] not in kept:
                    remove(file["path"])
            connection.execute(delete(tables.datasets).where(_dataset.id == id, _dataset.deleted_at == FOR_GOOD))

    def remove_unused(self, paths: Iterable[str], remove: Callable[[str], None]) -> None:
        """Call `remove` with those paths in the uploads folder that no dataset has."""
        with self.engine.begin() as connection:
            kept = _files_of_datasets(connection)
            for path in paths:
                if path not in kept:
                    remove(path)

    # ---- what depends on what

    def dependents(self, kind: Kind, id: str, names: Iterable[str] = ()) -> list[Run]:
        """Runs that go on from a run, start from an adapter, or learn from a dataset; the newest first."""
        with self.engine.connect().execution_options(**_reads) as connection:
            return self._dependents(connection, kind, id, names)

    def uses_of_datasets(self) -> Counter[str]:
        """How many runs learnt or measured with each dataset, by its id."""
        with self.engine.connect().execution_options(**_reads) as connection:
            rows = connection.execute(select(_source, _validation).where(_run.deleted_at.is_(None))).all()
        return Counter(id for source, validation in rows for id in {*_named(source), validation} if id is not None)

    def other_files(self, dataset_id: str) -> set[str]:
        """Paths in the uploads folder that other datasets have."""
        with self.engine.connect().execution_options(**_reads) as connection:
            return _files_of_datasets(connection, but=dataset_id)

    def adapter_files(self) -> set[str]:
        """Names in the adapters folder that a record has, deleted ones included."""
        with self.engine.connect().execution_options(**_reads) as connection:
            rows = connection.execute(select(_adapter.folder, _adapter.zip_name)).all()
        return {name for row in rows for name in row}

    def run_states(self) -> dict[str, RunState]:
        """The state of every run that has a record, deleted ones included."""
        with self.engine.connect().execution_options(**_reads) as connection:
            return {row.id: RunState(row.state) for row in connection.execute(select(_run.id, _run.state))}

    def _dependents(self, connection: Connection, kind: Kind, id: str, names: Iterable[str]) -> list[Run]:
        started = _run.recipe["start_from"].as_string().in_([id, *names])
        uses = {"run": or_(_run.continues == id, started), "adapter": started,
                "dataset": or_(_source == id, _source.contains(f'"{id}"', autoescape=True), _validation == id)}[kind]
        query = select(tables.runs).where(uses, _run.deleted_at.is_(None)).order_by(_run.created_at.desc())
        return [to_run(row) for row in connection.execute(query)]

    def _refuse_if_needed(self, connection: Connection, kind: Kind, id: str, names: Iterable[str]) -> None:
        refuse_if_needed(kind, self._dependents(connection, kind, id, names), {id, *names})

    @staticmethod
    def _run_of_adapter_is_deleted(connection: Connection, id: str) -> bool:
        return connection.execute(select(func.count()).select_from(tables.runs).where(
            _run.id == id, _run.deleted_at.is_not(None))).scalar_one() > 0


_source = _run.recipe[("dataset", "source")].as_string()
_validation = _run.recipe[("dataset", "validation")].as_string()


def refuse_if_needed(kind: Kind, dependents: list[Run], names: set[str]) -> None:
    """Raise InUse where one of these runs waits or trains and reads the data, or the adapter by one of its names.

    A run that continues another has its own copy of the checkpoint, and does not need the other any more.
    """
    active = [run for run in dependents if not run.state.is_end and (kind == "dataset" or run.recipe.get("start_from") in names)]
    if active:
        raise InUse(kind, [(run.name, run.state) for run in active])


def _named(source: str | None) -> list[str | None]:
    """The data that a recipe names: one, or a list in JSON."""
    return json.loads(source) if source and source.startswith("[") else [source]


def _files_of_datasets(connection: Connection, but: str = "") -> set[str]:
    rows = connection.execute(select(_dataset.files).where(_dataset.id != but)).scalars()
    return {file["path"] for files in rows for file in files}
