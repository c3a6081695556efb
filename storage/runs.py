"""Remembers runs. Every change of state is one conditional update: who comes second changes nothing."""

import time
import uuid
from collections.abc import Iterable

from sqlalchemy import Engine, Row, Select, case, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from storage import tables
from storage.database import database_seconds
from storage.problems import NotFound
from storage.records import LogLine, MetricPoint, Phase, Request, Run, RunState

LEASE_SECONDS = 60
CRASHES_ALLOWED = 3  # in a row, without a new checkpoint

ENDS = [state.value for state in RunState if state.is_end]
SORTABLE = ("created_at", "name", "state", "method", "base_model", "eval_loss", "peak_memory_bytes", "checkpoint_bytes",
            "train_seconds")

_run = tables.runs.c
_reads = {"reads_only": True}


class RunRepository:
    """The lab book, the queue's order and the leases. The only code that knows that they live in SQL."""

    def __init__(self, engine: Engine):
        self.engine = engine

    # ---- submitting and reading

    def submit(self, *, name: str, task: str, method: str, base_model: str, recipe: dict, base: dict, data: dict,
               submission_key: str | None = None) -> Run:
        """Accept a run. The same `submission_key` again (a double click) gives the run that it made the first time."""
        with self.engine.begin() as connection:
            if submission_key:
                row = connection.execute(select(tables.runs).where(_run.submission_key == submission_key)).first()
                if row:
                    return _to_run(row)
            now = time.time()
            run_id = uuid.uuid4().hex[:12]
            connection.execute(insert(tables.runs).values(
                id=run_id, name=name, state=RunState.QUEUED, task=task, method=method, base_model=base_model,
                recipe=recipe, base=base, data=data, submission_key=submission_key, created_at=now, queue_order=now))
            return _to_run(connection.execute(select(tables.runs).where(_run.id == run_id)).one())

    def get(self, run_id: str) -> Run:
        """The run of that id; raises NotFound."""
        rows = self._read(select(tables.runs).where(_run.id == run_id))
        if not rows:
            raise NotFound(f"There is no run '{run_id}'. The Runs page, or python app.py runs, lists them all.")
        return _to_run(rows[0])

    def search(self, words: str = "", *, states: Iterable[str] = (), sort: str = "created_at", descending: bool = True,
             limit: int = 200) -> list[Run]:
        """Runs for the lab book, newest first unless told otherwise; empty figures come last."""
        if sort not in SORTABLE:
            raise NotFound(f"Runs cannot be sorted by '{sort}'. Choose one of {', '.join(SORTABLE)}.")
        query = select(tables.runs)
        for word in words.split():
            query = query.where(func.lower(_run.name + " " + _run.method + " " + _run.base_model + " " + _run.task)
                                .contains(word.lower(), autoescape=True))
        if states := list(states):
            query = query.where(_run.state.in_(states))
        column = _run[sort]
        query = query.order_by(column.is_(None), column.desc() if descending else column.asc(), _run.created_at.desc())
        return [_to_run(row) for row in self._read(query.limit(limit))]

    def queued(self) -> list[Run]:
        """Waiting runs, the next one first."""
        query = select(tables.runs).where(_run.state == RunState.QUEUED).order_by(_run.queue_order, _run.created_at)
        return [_to_run(row) for row in self._read(query)]

    def position(self, run: Run) -> int:
        """Place in the queue, 1 is next; 0 when the run does not wait."""
        ids = [waiting.id for waiting in self.queued()]
        return ids.index(run.id) + 1 if run.id in ids else 0

    # ---- the lease

    def claim_next(self, device: str, host: str) -> Run | None:
        """Take the first waiting run for a device of this host, unless a live trainer holds that device."""
        with self.engine.begin() as connection:
            busy = connection.execute(select(_run.id).where(
                _run.state == RunState.RUNNING, _run.device == device, _run.host == host,
                _run.lease_until >= database_seconds())).first()
            if busy:
                return None
            row = connection.execute(select(_run.id).where(_run.state == RunState.QUEUED)
                                     .order_by(_run.queue_order, _run.created_at).limit(1)).first()
            if row is None:
                return None
            connection.execute(update(tables.runs).where(_run.id == row.id).values(
                state=RunState.RUNNING, phase=Phase.PREPARING, fence=_run.fence + 1, attempts=_run.attempts + 1,
                lease_until=database_seconds() + LEASE_SECONDS, host=host, device=device, pid=0, process_started_at=0,
                # a stop outlives a crash: the next attempt saves what the last checkpoint knew
                request=case((_run.request == Request.STOP, Request.STOP), else_=Request.NONE), requested_at=0,
                training_since=None, memory_bytes=None, claimed_at=time.time(),
                started_at=func.coalesce(_run.started_at, time.time())))
            return _to_run(connection.execute(select(tables.runs).where(_run.id == row.id)).one())

    def beat(self, run_id: str, fence: int, **changes) -> Request | None:
        """Renew the lease and store `changes` (memory_bytes, pid, phase, …); returns what somebody asked for.

        None means that the lease is lost: the trainer must end without writing anything more.
        """
        with self.engine.begin() as connection:
            held = self._write(connection, run_id, fence, lease_until=database_seconds() + LEASE_SECONDS, **changes)
            if not held:
                return None
            return Request(connection.execute(select(_run.request).where(_run.id == run_id)).scalar_one())

    def checkpointed(self, run_id: str, fence: int) -> bool:
        """A valid checkpoint is on disk: earlier crashes no longer count."""
        with self.engine.begin() as connection:
            return self._write(connection, run_id, fence, crashes=0)

    # ---- ends

    def end(self, run_id: str, fence: int, state: RunState, *, problem: str = "", problem_kind: str = "",
            adapter: dict | None = None, **results) -> bool:
        """Bring a running run to its end, with its results and its adapter, in one transaction.

        False when the lease is lost: somebody else owns the run, and nothing was written.
        """
        with self.engine.begin() as connection:
            held = self._write(connection, run_id, fence, state=state, phase="", finished_at=time.time(),
                               problem=problem, problem_kind=problem_kind, memory_bytes=None, lease_until=0, pid=0,
                               **results)
            if held and adapter is not None:
                connection.execute(insert(tables.adapters).values(run_id=run_id, created_at=time.time(), **adapter))
            return held

    def put_back(self, run_id: str, fence: int) -> bool:
        """Return a paused run to the queue, in its old place."""
        with self.engine.begin() as connection:
            return self._write(connection, run_id, fence, state=RunState.QUEUED, phase="", lease_until=0, pid=0,
                               request=Request.NONE, memory_bytes=None)

    def crashed(self, run_id: str, fence: int, reason: str) -> bool:
        """The trainer has gone without an end: back to the queue, or `failed` after too many crashes in a row."""
        with self.engine.begin() as connection:
            row = connection.execute(select(_run.crashes, _run.request).where(
                _run.id == run_id, _run.fence == fence, _run.state == RunState.RUNNING)).first()
            if row is None:
                return False
            if row.request == Request.CANCEL:
                return self._write(connection, run_id, fence, state=RunState.CANCELLED, phase="", lease_until=0, pid=0,
                                   finished_at=time.time(), memory_bytes=None)
            if row.crashes + 1 >= CRASHES_ALLOWED:
                problem = (f"The trainer crashed {CRASHES_ALLOWED} times in a row without a new checkpoint. {reason} "
                           "Read the log, lower the batch size or the length, and run it again.")
                return self._write(connection, run_id, fence, state=RunState.FAILED, phase="", lease_until=0, pid=0,
                                   finished_at=time.time(), crashes=row.crashes + 1, problem=problem,
                                   problem_kind="worker_lost", memory_bytes=None)
            return self._write(connection, run_id, fence, state=RunState.QUEUED, phase="", lease_until=0, pid=0,
                               crashes=row.crashes + 1, memory_bytes=None)

    def lost(self) -> list[Run]:
        """Running runs whose lease has run out."""
        return [_to_run(row) for row in self._read(select(tables.runs).where(
            _run.state == RunState.RUNNING, _run.lease_until < database_seconds()))]

    # ---- what people ask for

    def ask(self, run_id: str, request: Request) -> Run:
        """Ask a run to stop, cancel or pause; a waiting run that is stopped or cancelled ends at once."""
        with self.engine.begin() as connection:
            if request in (Request.STOP, Request.CANCEL):
                connection.execute(update(tables.runs).where(_run.id == run_id, _run.state == RunState.QUEUED).values(
                    state=RunState.CANCELLED, finished_at=time.time()))
            # a cancel outranks a stop, and both outrank a pause
            weaker = {Request.CANCEL: ["", "stop", "pause"], Request.STOP: ["", "pause"]}.get(request, [""])
            connection.execute(update(tables.runs).where(
                _run.id == run_id, _run.state == RunState.RUNNING, _run.request.in_(weaker)).values(
                request=request, requested_at=case((_run.requested_at > 0, _run.requested_at), else_=database_seconds())))
        return self.get(run_id)

    def overdue(self, host: str, seconds: int) -> list[Run]:
        """Running runs of this host that were asked to cancel or stop longer than `seconds` ago."""
        return [_to_run(row) for row in self._read(select(tables.runs).where(
            _run.state == RunState.RUNNING, _run.host == host, _run.request == Request.CANCEL,
            _run.requested_at < database_seconds() - seconds))]

    def delete(self, run_id: str) -> None:
        """Forget an ended run and its adapter's record; raises NotFound for a run that has not ended."""
        with self.engine.begin() as connection:
            connection.execute(delete(tables.adapters).where(tables.adapters.c.run_id == run_id))
            gone = connection.execute(delete(tables.runs).where(_run.id == run_id, _run.state.in_(ENDS))).rowcount
            if not gone:
                connection.rollback()
                raise NotFound(f"There is no ended run '{run_id}'. Cancel a waiting or running one first.")

    # ---- metrics and log

    def add_metrics(self, run_id: str, fence: int, points: Iterable[MetricPoint]) -> bool:
        """Store metric values; a step that is repeated after a crash replaces its old values."""
        rows = [{"run_id": run_id, "name": p.name, "step": p.step, "value": p.value} for p in points]
        with self.engine.begin() as connection:
            held = self._write(connection, run_id, fence, phase=_run.phase)
            if held and rows:
                statement = upsert(tables.metrics)
                connection.execute(statement.on_conflict_do_update(
                    index_elements=["run_id", "name", "step"], set_={"value": statement.excluded.value}), rows)
            return held

    def metrics(self, run_id: str, names: Iterable[str] | None = None) -> list[MetricPoint]:
        query = select(tables.metrics).where(tables.metrics.c.run_id == run_id).order_by(tables.metrics.c.step)
        if names is not None:
            query = query.where(tables.metrics.c.name.in_(list(names)))
        return [MetricPoint(row.step, row.name, row.value) for row in self._read(query)]

    def log(self, run_id: str, text: str, level: str = "info") -> None:
        with self.engine.begin() as connection:
            connection.execute(insert(tables.log_lines).values(run_id=run_id, at=time.time(), level=level, text=text))

    def log_lines(self, run_id: str, limit: int = 500) -> list[LogLine]:
        """The last `limit` lines, the oldest of them first."""
        query = (select(tables.log_lines).where(tables.log_lines.c.run_id == run_id)
                 .order_by(tables.log_lines.c.id.desc()).limit(limit))
        return [LogLine(row.id, row.at, row.level, row.text) for row in self._read(query)][::-1]

    # ---- inside

    def _read(self, query: Select) -> list[Row]:
        with self.engine.connect().execution_options(**_reads) as connection:
            return connection.execute(query).all()

    @staticmethod
    def _write(connection, run_id: str, fence: int, **values) -> bool:
        """Change a running run, if this fence still holds it."""
        return connection.execute(update(tables.runs).where(
            _run.id == run_id, _run.fence == fence, _run.state == RunState.RUNNING).values(**values)).rowcount == 1


def _to_run(row: Row) -> Run:
    values = dict(row._mapping)
    return Run(**{**values, "state": RunState(values["state"]), "request": Request(values["request"])})
