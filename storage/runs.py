"""Remembers runs: what was submitted, measured and said. storage/queue.py orders them, storage/leases.py gives them out."""

import time
import uuid
from collections.abc import Callable, Iterable

from sqlalchemy import Connection, Engine, Row, Select, distinct, func, insert, literal, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from storage import tables
from storage.problems import NotFound
from storage.records import LogLine, MetricPoint, Priority, Request, Run, RunEvent, RunGroup, RunState

ENDS = [state.value for state in RunState if state.is_end]
SORTABLE = ("created_at", "name", "state", "method", "base_model", "eval_loss", "peak_memory_bytes", "checkpoint_bytes",
            "train_seconds")

_run = tables.runs.c
_reads = {"reads_only": True}


class RunRepository:
    """The lab book. The only code, with the queue and the leases, that knows that runs live in SQL."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time):
        self.engine, self.clock = engine, clock

    # ---- submitting and reading

    def submit(self, *, name: str, task: str, method: str, base_model: str, recipe: dict, base: dict, data: dict,
               submission_key: str | None = None, owner: str = "", **more) -> Run:
        """Accept a run. The same `submission_key` again (a double click) gives the run that it made the first time.

        `more` holds what is not said of every run: priority, held, start_at, wanted_device, sweep_id, sweep_values, continues.
        """
        with self.engine.begin() as connection:
            if submission_key:
                row = connection.execute(select(tables.runs).where(_run.submission_key == submission_key)).first()
                if row:
                    return to_run(row)
            return add_run(connection, self.clock(), name=name, task=task, method=method, base_model=base_model, recipe=recipe,
                           base=base, data=data, submission_key=submission_key, owner=owner, **more)

    def get(self, run_id: str) -> Run:
        """The run of that id, also a deleted one while that can be undone; raises NotFound."""
        run = self.find(run_id)
        if run is None:
            raise NotFound(f"There is no run '{run_id}'. The Runs page, or python app.py runs, lists them all.")
        return run

    def find(self, run_id: str) -> Run | None:
        rows = self.read(select(tables.runs).where(_run.id == run_id))
        return to_run(rows[0]) if rows else None

    def search(self, words: str = "", *, states: Iterable[str] = (), sort: str = "created_at", descending: bool = True,
               limit: int = 200, sweep_id: str = "") -> list[Run]:
        """Runs for the lab book, newest first unless told otherwise; empty figures come last."""
        if sort not in SORTABLE:
            raise NotFound(f"Runs cannot be sorted by '{sort}'. Choose one of {', '.join(SORTABLE)}.")
        column = _run[sort]
        query = self._matching(select(tables.runs), words, states)
        if sweep_id:
            query = query.where(_run.sweep_id == sweep_id)
        empty_last = [column.is_(None)] if column.nullable else []  # where nothing can be empty, the index gives the order
        query = query.order_by(*empty_last, column.desc() if descending else column.asc(), _run.created_at.desc())
        return [to_run(row) for row in self.read(query.limit(limit))]

    def count(self, words: str = "", *, states: Iterable[str] = ()) -> int:
        """How many runs a search without a limit would find."""
        return self.read(self._matching(select(func.count()).select_from(tables.runs), words, states))[0][0]

    def measured(self, base_model: str, method: str, limit: int = 8) -> list[Run]:
        """The newest runs of a base model and a method whose training was timed."""
        query = select(tables.runs).where(_run.base_model == base_model, _run.method == method, _run.train_seconds.is_not(None),
                                          _run.state.in_([RunState.FINISHED, RunState.STOPPED]))
        return [to_run(row) for row in self.read(query.order_by(_run.created_at.desc()).limit(limit))]

    def comparable(self, limit: int = 50) -> list[RunGroup]:
        """Which of the newest timed runs learnt the same task from the same data on the same base model, the latest first."""
        run = _newest_timed()
        query = select(run.base_model, run.task, run.dataset_id, func.max(run.dataset_name).label("dataset_name"),
                       func.count().label("runs"), func.count(distinct(run.method)).label("methods"))
        query = query.where(run.dataset_id.is_not(None)).group_by(run.base_model, run.task, run.dataset_id)
        rows = self.read(query.order_by(func.max(run.created_at).desc()).limit(limit))
        return [RunGroup(**row._mapping) for row in rows]

    def of_group(self, base_model: str, task: str, dataset_id: str) -> list[Run]:
        """The runs of such a group, the newest first."""
        run = _newest_timed()
        ids = select(run.id).where(run.base_model == base_model, run.task == task, run.dataset_id == dataset_id)
        return [to_run(row) for row in self.read(select(tables.runs).where(_run.id.in_(ids)).order_by(_run.created_at.desc()))]

    def continued_by(self, run_id: str) -> list[Run]:
        """The runs that go on from this one's checkpoint, the oldest first."""
        query = select(tables.runs).where(_run.continues == run_id, _run.deleted_at.is_(None)).order_by(_run.created_at)
        return [to_run(row) for row in self.read(query)]

    @staticmethod
    def _matching(query: Select, words: str, states: Iterable[str]) -> Select:
        query = query.where(_run.deleted_at.is_(None))
        for word in words.split():
            query = query.where(func.lower(_run.name + " " + _run.method + " " + _run.base_model + " " + _run.task)
                                .contains(word.lower(), autoescape=True))
        return query.where(_run.state.in_(states)) if (states := list(states)) else query

    def events(self, run_id: str) -> list[RunEvent]:
        """How a run's state changed, the oldest change first."""
        query = select(tables.events).where(tables.events.c.run_id == run_id).order_by(tables.events.c.id)
        return [RunEvent(row.run_id, row.at, row.from_state, row.to_state, row.fence, row.reason) for row in self.read(query)]

    # ---- forecasts

    def keep_forecast(self, run_id: str, forecast: dict) -> bool:
        """Keep what was said of a run before; only once, so that nothing which is known later can change it."""
        with self.engine.begin() as connection:
            return connection.execute(update(tables.runs).where(_run.id == run_id, _run.forecast_memory_bytes.is_(None)).values(
                forecast=forecast, forecast_memory_bytes=forecast["peak_memory_bytes"])).rowcount == 1

    def forecast_runs(self, device: str = "", device_name: str = "", limit: int = 50) -> list[Run]:
        """The newest runs that were forecast and left an adapter, so that their peak was measured; perhaps of one device alone."""
        query = select(tables.runs).where(
            _run.deleted_at.is_(None), _run.forecast_memory_bytes.is_not(None), _run.peak_memory_bytes.is_not(None),
            _run.state.in_([RunState.FINISHED, RunState.STOPPED]))
        if device:
            query = query.where(_run.forecast["device"].as_string() == device,
                                _run.forecast["device_name"].as_string() == device_name)
        return [to_run(row) for row in self.read(query.order_by(_run.created_at.desc()).limit(limit))]

    # ---- metrics and log

    def add_metrics(self, run_id: str, fence: int, points: Iterable[MetricPoint]) -> bool:
        """Store metric values; a step that is repeated after a crash replaces its old values."""
        rows = [{"run_id": run_id, "name": p.name, "step": p.step, "value": p.value} for p in points]
        with self.engine.begin() as connection:
            held = write(connection, run_id, fence, phase=_run.phase)
            if held and rows:
                statement = upsert(tables.metrics)
                connection.execute(statement.on_conflict_do_update(
                    index_elements=["run_id", "name", "step"], set_={"value": statement.excluded.value}), rows)
            return held

    def copy_metrics(self, from_run: str, to_run: str, up_to_step: int) -> None:
        """Give a run that goes on from another's checkpoint the values that led there."""
        metric = tables.metrics.c
        with self.engine.begin() as connection:
            connection.execute(insert(tables.metrics).from_select(
                ["run_id", "name", "step", "value"],
                select(literal(to_run), metric.name, metric.step, metric.value).where(
                    metric.run_id == from_run, metric.step <= up_to_step)))

    def metrics(self, run_id: str, names: Iterable[str] | None = None) -> list[MetricPoint]:
        query = select(tables.metrics).where(tables.metrics.c.run_id == run_id).order_by(tables.metrics.c.step)
        if names is not None:
            query = query.where(tables.metrics.c.name.in_(list(names)))
        return [MetricPoint(row.step, row.name, row.value) for row in self.read(query)]

    def log(self, run_id: str, text: str, level: str = "info", fence: int | None = None) -> None:
        """Add a line to a run's log; with a trainer's `fence`, only while that holds the run."""
        with self.engine.begin() as connection:
            if fence is not None and not write(connection, run_id, fence, phase=_run.phase):
                return
            connection.execute(insert(tables.log_lines).values(run_id=run_id, at=self.clock(), level=level, text=text))

    def log_lines(self, run_id: str, limit: int = 500) -> list[LogLine]:
        """The last `limit` lines, the oldest of them first."""
        query = (select(tables.log_lines).where(tables.log_lines.c.run_id == run_id)
                 .order_by(tables.log_lines.c.id.desc()).limit(limit))
        return [LogLine(row.id, row.at, row.level, row.text) for row in self.read(query)][::-1]

    def read(self, query: Select) -> list[Row]:
        """Rows of a query that changes nothing: readers never wait for a writer."""
        with self.engine.connect().execution_options(**_reads) as connection:
            return connection.execute(query).all()


def _newest_timed(count: int = 2000) -> ReadOnlyColumnCollection:
    """The newest runs that left an adapter and whose training was timed, with the data that they learnt from."""
    query = select(_run.id, _run.base_model, _run.task, _run.method, _run.created_at,
                   _run.data["dataset_id"].as_string().label("dataset_id"), _run.data["name"].as_string().label("dataset_name"))
    query = query.where(_run.deleted_at.is_(None), _run.train_seconds.is_not(None),
                        _run.state.in_([RunState.FINISHED, RunState.STOPPED]))
    return query.order_by(_run.created_at.desc()).limit(count).subquery().c


# ---- what the queue, the leases and the sweeps share with the lab book


def new_run_id() -> str:
    return uuid.uuid4().hex[:12]


def add_run(connection: Connection, now: float, *, run_id: str = "", owner: str = "", priority: int = Priority.NORMAL,
            **values) -> Run:
    """A new waiting run, behind the others of its owner. `run_id` where its folder had to be there first."""
    run_id = run_id or new_run_id()
    connection.execute(insert(tables.runs).values(
        id=run_id, state=RunState.QUEUED, created_at=now, owner=owner, priority=priority,
        queue_order=fair_turn(connection, owner, priority), **values))
    add_event(connection, run_id, now, "", RunState.QUEUED, 0)
    return to_run(connection.execute(select(tables.runs).where(_run.id == run_id)).one())


def fair_turn(connection: Connection, owner: str, priority: int = Priority.NORMAL) -> float:
    """A new run's turn among runs of its priority: one after the owner's last, but not before the turn that is served now.

    Start-time fair queueing (Goyal, Vin, Cheng 1996) with runs of equal weight: owners with waiting runs alternate. Runs that
    never started, and those that somebody holds back, take no turn from their owner and give none to others.
    """
    turn, alike = _run.queue_order, _run.priority == priority
    waits = (_run.state == RunState.QUEUED) & _run.held.is_(False) & _run.deleted_at.is_(None)
    served = connection.execute(select(func.coalesce(
        select(func.max(turn)).where(alike, _run.state == RunState.RUNNING).scalar_subquery(),
        select(func.min(turn)).where(alike, waits).scalar_subquery(),
        select(func.max(turn)).where(alike, _run.started_at.is_not(None)).scalar_subquery(), 0.0))).scalar_one()
    last = connection.execute(select(func.max(turn)).where(
        alike, _run.owner == owner, or_(_run.state == RunState.QUEUED, _run.started_at.is_not(None)))).scalar()
    return served if last is None else max(served, last + 1)


def event_time(connection: Connection, run_id: str, clock: Callable[[], float]) -> float:
    """When a run's state changes: now, but never before its last change, so that no duration in the record is negative.

    Clocks are set back, and two machines' clocks differ.
    """
    last = connection.execute(select(func.max(tables.events.c.at)).where(tables.events.c.run_id == run_id)).scalar()
    return max(clock(), last or 0.0)


def add_event(connection: Connection, run_id: str, at: float, from_state: str, to_state: str, fence: int, reason: str = "") -> None:
    connection.execute(insert(tables.events).values(run_id=run_id, at=at, from_state=from_state, to_state=to_state, fence=fence,
                                                    reason=reason))


def write(connection: Connection, run_id: str, fence: int, **values) -> bool:
    """Change a running run, if this fence still holds it."""
    return connection.execute(update(tables.runs).where(
        _run.id == run_id, _run.fence == fence, _run.state == RunState.RUNNING).values(**values)).rowcount == 1


def to_run(row: Row) -> Run:
    values = dict(row._mapping)
    return Run(**{**values, "state": RunState(values["state"]), "request": Request(values["request"])})
