"""The queue as people want it: who is next, and how that is changed. The order is priority, then turn, then age."""

import time
from collections.abc import Callable
from typing import Literal

from sqlalchemy import Connection, Engine, func, or_, select, update

from storage import tables
from storage.problems import NotFound, NotWaiting
from storage.records import Priority, Request, Run, RunState
from storage.runs import add_event, event_time, to_run

_run = tables.runs.c
_reads = {"reads_only": True}
ORDER = (_run.priority.desc(), _run.queue_order, _run.created_at)
Move = Literal["up", "down", "top"]


class QueueRepository:
    """Waiting runs, and what people ask of runs."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time):
        self.engine, self.clock = engine, clock

    # ---- reading

    def waiting(self, limit: int | None = None) -> list[Run]:
        """Waiting runs, the next one first; held ones and those of a later time stand where they will go on from."""
        with self.engine.connect().execution_options(**_reads) as connection:
            return [to_run(row) for row in connection.execute(
                select(tables.runs).where(_run.state == RunState.QUEUED, _run.deleted_at.is_(None)).order_by(*ORDER).limit(limit))]

    def count(self) -> int:
        with self.engine.connect().execution_options(**_reads) as connection:
            return connection.execute(select(func.count()).select_from(tables.runs).where(
                _run.state == RunState.QUEUED, _run.deleted_at.is_(None))).scalar_one()

    def startable(self) -> bool:
        """Whether a run waits that nobody holds back."""
        with self.engine.connect().execution_options(**_reads) as connection:
            return connection.execute(select(_run.id).where(
                _run.state == RunState.QUEUED, _run.held.is_(False), _run.deleted_at.is_(None),
                or_(_run.start_at.is_(None), _run.start_at <= self.clock())).limit(1)).first() is not None

    def position(self, run: Run) -> int:
        """Place in the queue, 1 is next; 0 when the run does not wait."""
        if run.state != RunState.QUEUED:
            return 0
        before = or_(_run.priority > run.priority, (_run.priority == run.priority) & or_(
            _run.queue_order < run.queue_order, (_run.queue_order == run.queue_order) & (_run.created_at < run.created_at)))
        with self.engine.connect().execution_options(**_reads) as connection:
            return 1 + connection.execute(select(func.count()).select_from(tables.runs).where(
                _run.state == RunState.QUEUED, _run.deleted_at.is_(None), before)).scalar_one()

    # ---- changing the order

    def move(self, run_id: str, how: Move) -> Run:
        """Move a waiting run past its neighbour, or before all others; it takes on the priority of where it goes."""
        with self.engine.begin() as connection:
            self._waiting(connection, run_id)
            rows = connection.execute(select(_run.id, _run.priority, _run.queue_order).where(
                _run.state == RunState.QUEUED, _run.deleted_at.is_(None)).order_by(*ORDER)).all()
            order = {row.id: (row.priority, row.queue_order) for row in rows}
            ids = list(order)
            old = ids.index(run_id)
            new = {"up": max(0, old - 1), "down": min(len(ids) - 1, old + 1), "top": 0}[how]
            if new != old:
                ids.insert(new, ids.pop(old))
                self._place(connection, ids, new, new < old, order)
        return self._get(run_id)

    @staticmethod
    def _place(connection: Connection, ids: list[str], at: int, moved_up: bool, order: dict[str, tuple[int, float]]) -> None:
        """Give the run that now stands at `at` the priority of the run that it passed, and a turn between its neighbours."""
        run_id = ids[at]
        before = order[ids[at - 1]] if at else None
        after = order[ids[at + 1]] if at + 1 < len(ids) else None
        priority = (after if moved_up else before)[0]
        low = before[1] if before and before[0] == priority else None
        high = after[1] if after and after[0] == priority else None
        if low is not None and high is not None and high - low < 1e-6:
            # no room between the two: all runs of this priority get whole turns anew
            same = [name for name in ids if name == run_id or order[name][0] == priority]
            first = min(turn for rank, turn in order.values() if rank == priority)
            for number, name in enumerate(same):
                connection.execute(update(tables.runs).where(_run.id == name).values(priority=priority, queue_order=first + number))
            return
        turn = (low + high) / 2 if low is not None and high is not None else high - 1 if high is not None else low + 1
        connection.execute(update(tables.runs).where(_run.id == run_id).values(priority=priority, queue_order=turn))

    def change(self, run_id: str, *, priority: Priority | None = None, held: bool | None = None, start_at: float | None = None,
               at_once: bool = False, wanted_device: str | None = None) -> Run:
        """Hold or release a waiting run, or change its priority, its time (`at_once`: none) or its device."""
        values = {"priority": priority, "held": held, "start_at": start_at, "wanted_device": wanted_device}
        values = {name: value for name, value in values.items() if value is not None} | ({"start_at": None} if at_once else {})
        with self.engine.begin() as connection:
            self._waiting(connection, run_id)
            if values:
                connection.execute(update(tables.runs).where(_run.id == run_id, _run.state == RunState.QUEUED).values(**values))
        return self._get(run_id)

    # ---- what people ask of a run

    def ask(self, run_id: str, request: Request) -> Run:
        """Ask a run to stop, cancel or pause. A waiting run ends at once, but for a stop that has something to save."""
        with self.engine.begin() as connection:
            row = connection.execute(select(_run.state, _run.fence, _run.checkpoint_step).where(_run.id == run_id)).first()
            if row and row.state == RunState.QUEUED:
                if request == Request.STOP and row.checkpoint_step is not None:
                    connection.execute(update(tables.runs).where(_run.id == run_id).values(request=Request.STOP, held=False))
                elif request in (Request.STOP, Request.CANCEL):
                    now = event_time(connection, run_id, self.clock)
                    connection.execute(update(tables.runs).where(_run.id == run_id).values(
                        state=RunState.CANCELLED, finished_at=now))
                    add_event(connection, run_id, now, RunState.QUEUED, RunState.CANCELLED, row.fence, "asked for")
            elif row and row.state == RunState.RUNNING:
                # a cancel outranks a stop, and both outrank a pause
                weaker = {Request.CANCEL: ["", "stop", "pause"], Request.STOP: ["", "pause"]}.get(request, [""])
                connection.execute(update(tables.runs).where(_run.id == run_id, _run.request.in_(weaker)).values(request=request))
        return self._get(run_id)

    # ---- inside

    def _get(self, run_id: str) -> Run:
        with self.engine.connect().execution_options(**_reads) as connection:
            row = connection.execute(select(tables.runs).where(_run.id == run_id)).first()
        if row is None:
            raise NotFound(f"There is no run '{run_id}'. The Runs page, or python app.py runs, lists them all.")
        return to_run(row)

    @staticmethod
    def _waiting(connection: Connection, run_id: str) -> None:
        row = connection.execute(select(_run.state, _run.name).where(_run.id == run_id)).first()
        if row is None:
            raise NotFound(f"There is no run '{run_id}'. The Runs page, or python app.py runs, lists them all.")
        if row.state != RunState.QUEUED:
            raise NotWaiting(f"The run '{row.name}' is {row.state}, and only a waiting run has a place in the queue.")
