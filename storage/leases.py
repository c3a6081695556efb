"""Leases: who works on a run. Every change of state is one conditional update: who comes second changes nothing.

A lease has an owner, a fencing number and a count of heartbeats. Whoever sees the count stand still for the lease's length, by a
clock of its own that only goes forward, may take the run back; no two clocks are ever compared.
"""

import time
from collections.abc import Callable

from sqlalchemy import Connection, Engine, case, func, insert, or_, select, update

from storage import tables
from storage.records import Phase, Request, Run, RunState
from storage.runs import add_event, event_time, to_run, write

CRASHES_ALLOWED = 3  # in a row, without a new checkpoint

_run = tables.runs.c
_reads = {"reads_only": True}
FREED = {"phase": "", "pid": 0, "memory_bytes": None}  # of a run that no trainer holds any more


class LeaseRepository:
    """Gives waiting runs to devices, and takes them back."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time):
        self.engine, self.clock = engine, clock

    # ---- taking and keeping

    def claim_next(self, device: str, host: str, worker_id: str = "") -> Run | None:
        """Take the first waiting run that this device of this host may train, unless a trainer holds the device."""
        with self.engine.begin() as connection:
            busy = connection.execute(select(_run.id).where(
                _run.state == RunState.RUNNING, _run.device == device, _run.host == host)).first()
            if busy:
                return None
            row = connection.execute(select(_run.id).where(
                _run.state == RunState.QUEUED, _run.held.is_(False), _run.wanted_device.in_(["", device]),
                _run.deleted_at.is_(None), or_(_run.start_at.is_(None), _run.start_at <= self.clock()),
            ).order_by(_run.priority.desc(), _run.queue_order, _run.created_at).limit(1)).first()
            return self._take(connection, row.id, device, host, worker_id) if row else None

    def claim(self, run_id: str, host: str, worker_id: str = "") -> Run | None:
        """Take one waiting run for work that needs no device, such as saving what a stopped run has learnt."""
        with self.engine.begin() as connection:
            return self._take(connection, run_id, "", host, worker_id)

    def _take(self, connection: Connection, run_id: str, device: str, host: str, worker_id: str) -> Run | None:
        now = event_time(connection, run_id, self.clock)
        taken = connection.execute(update(tables.runs).where(_run.id == run_id, _run.state == RunState.QUEUED).values(
            state=RunState.RUNNING, phase=Phase.PREPARING, fence=_run.fence + 1, attempts=_run.attempts + 1, beats=0,
            worker_id=worker_id, host=host, device=device, pid=0, process_started_at=0, boot_id="",
            # a stop outlives a crash: the next attempt saves what the last checkpoint knew
            request=case((_run.request == Request.STOP, Request.STOP), else_=Request.NONE),
            start_at=None,  # its time has come, and comes once, even if the clock is set back
            training_since=None, memory_bytes=None, claimed_at=now, started_at=func.coalesce(_run.started_at, now))).rowcount
        if not taken:
            return None
        run = to_run(connection.execute(select(tables.runs).where(_run.id == run_id)).one())
        add_event(connection, run_id, now, RunState.QUEUED, RunState.RUNNING, run.fence, f"{host} {device}".strip())
        return run

    def beat(self, run_id: str, fence: int, **changes) -> Request | None:
        """Renew the lease and store `changes` (memory_bytes, pid, phase, …); returns what somebody asked for.

        None means that the lease is lost: the trainer must end without writing anything more.
        """
        with self.engine.begin() as connection:
            if not write(connection, run_id, fence, beats=_run.beats + 1, **changes):
                return None
            return Request(connection.execute(select(_run.request).where(_run.id == run_id)).scalar_one())

    def checkpointed(self, run_id: str, fence: int, step: int, size: int | None = None) -> bool:
        """A whole checkpoint of `step` is on the disk, of `size` bytes: earlier crashes no longer count."""
        sizes = {} if size is None else {"checkpoint_bytes": size}
        with self.engine.begin() as connection:
            return write(connection, run_id, fence, crashes=0, checkpoint_step=step, **sizes)

    # ---- giving back

    def end(self, run_id: str, fence: int, state: RunState, *, problem: str = "", problem_kind: str = "",
            adapter: dict | None = None, **results) -> bool:
        """Bring a running run to its end, with its results and its adapter, in one transaction.

        False when the lease is lost: somebody else owns the run, and nothing was written.
        """
        with self.engine.begin() as connection:
            held = self._leave(connection, run_id, fence, state, problem, problem=problem, problem_kind=problem_kind, **results)
            if held and adapter is not None:
                connection.execute(insert(tables.adapters).values(run_id=run_id, created_at=self.clock(), **adapter))
            return held

    def put_back(self, run_id: str, fence: int, reason: str = "", **changes) -> bool:
        """Return a run to the queue, in its old place: it was paused, or goes on with `changes`. A cancelled one ends instead."""
        with self.engine.begin() as connection:
            asked = connection.execute(select(_run.request).where(
                _run.id == run_id, _run.fence == fence, _run.state == RunState.RUNNING)).scalar()
            if asked == Request.CANCEL:
                return self._leave(connection, run_id, fence, RunState.CANCELLED, reason)
            keep = Request.STOP if asked == Request.STOP else Request.NONE
            return self._leave(connection, run_id, fence, RunState.QUEUED, reason, request=keep, **changes)

    def crashed(self, run_id: str, fence: int, reason: str) -> bool:
        """The trainer has gone without an end: back to the queue, or `failed` after too many crashes in a row."""
        with self.engine.begin() as connection:
            row = connection.execute(select(_run.crashes, _run.request).where(
                _run.id == run_id, _run.fence == fence, _run.state == RunState.RUNNING)).first()
            if row is None:
                return False
            if row.request == Request.CANCEL:
                return self._leave(connection, run_id, fence, RunState.CANCELLED, reason)
            if row.crashes + 1 >= CRASHES_ALLOWED:
                problem = (f"The trainer crashed {CRASHES_ALLOWED} times in a row without a new checkpoint. {reason} "
                           "Read the log, lower the batch size or the length, and run it again.")
                return self._leave(connection, run_id, fence, RunState.FAILED, reason, crashes=row.crashes + 1, problem=problem,
                                   problem_kind="worker_lost")
            return self._leave(connection, run_id, fence, RunState.QUEUED, reason, crashes=row.crashes + 1)

    def _leave(self, connection: Connection, run_id: str, fence: int, state: RunState, reason: str, **values) -> bool:
        now = event_time(connection, run_id, self.clock)
        ended = {"finished_at": now} if state.is_end else {}
        left = write(connection, run_id, fence, state=state, **{**FREED, **ended, **values})
        if left:
            add_event(connection, run_id, now, RunState.RUNNING, state, fence, reason)
        return left

    # ---- for those who watch

    def wait_for_writers(self, seconds: float) -> None:
        """Wait until the database takes writes: as long as it does not, nobody can give a sign of life. Raises DatabaseBusy."""
        with self.engine.connect().execution_options(patience=seconds) as connection, connection.begin():
            pass

    def running(self) -> list[Run]:
        """Runs that somebody holds a lease on."""
        with self.engine.connect().execution_options(**_reads) as connection:
            return [to_run(row) for row in connection.execute(select(tables.runs).where(_run.state == RunState.RUNNING))]

    def stops_waiting(self) -> list[Run]:
        """Waiting runs that were asked to stop after they had learnt something: it is still to be saved."""
        with self.engine.connect().execution_options(**_reads) as connection:
            return [to_run(row) for row in connection.execute(select(tables.runs).where(
                _run.state == RunState.QUEUED, _run.request == Request.STOP))]
