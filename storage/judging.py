"""Remembers answers side by side with what people said of them, what adapters are for, and their certificates."""

import time
import uuid
from collections.abc import Callable, Iterable

from sqlalchemy import Engine, delete, func, insert, select, update

from storage import tables
from storage.database import database_seconds
from storage.library import WORKER_SILENCE
from storage.problems import NotFound
from storage.records import Adapter, Certificate, Comparison, Role, Verdict

_reads = {"reads_only": True}
_comparison, _role, _certificate = tables.comparisons.c, tables.roles.c, tables.certificates.c


class ComparisonRepository:
    """Every comparison that was made, judged or not."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time):
        self.engine, self.clock = engine, clock

    def keep(self, *, base_model: str, task: str, conversation: list[dict], settings: dict, answers: list[dict],
             blind: bool = False, owner: str = "") -> Comparison:
        made = Comparison(uuid.uuid4().hex[:12], self.clock(), owner, base_model, task, conversation, settings, answers, blind,
                          Verdict.NONE, "", "", None)
        with self.engine.begin() as connection:
            connection.execute(insert(tables.comparisons).values(**vars(made)))
        return made

    def judge(self, comparison_id: str, verdict: Verdict, best: str = "") -> Comparison:
        """Remember what was said of a comparison, in the place of what was said before.

        `best` is the answerer that is best, where one is. Raises NotFound for a comparison or an answerer that is not there.
        """
        known = self.get(comparison_id)
        names = [answer["answerer"] for answer in known.answers]
        if verdict == Verdict.BEST and best not in names:
            raise NotFound(f"'{best}' did not answer in this comparison. Choose one of {', '.join(names)}.")
        judged_at = self.clock() if verdict else None
        self._change(comparison_id, verdict=verdict, best=best if verdict == Verdict.BEST else "", judged_at=judged_at)
        return self.get(comparison_id)

    def note(self, comparison_id: str, note: str) -> Comparison:
        """Remember a person's words about a comparison; raises NotFound."""
        self._change(comparison_id, note=note)
        return self.get(comparison_id)

    def delete(self, comparison_id: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(tables.comparisons).where(_comparison.id == comparison_id))

    def get(self, comparison_id: str) -> Comparison:
        """The comparison of that id; raises NotFound."""
        with self.engine.connect().execution_options(**_reads) as connection:
            row = connection.execute(select(tables.comparisons).where(_comparison.id == comparison_id)).first()
        if row is None:
            raise NotFound(f"There is no comparison '{comparison_id}'. The playground's page of comparisons lists them all.")
        return _to_comparison(row)

    def all(self, base_model: str = "", task: str = "", limit: int = 10_000) -> list[Comparison]:
        """Comparisons, the newest first; of one base model or task where these are told."""
        query = select(tables.comparisons).order_by(_comparison.created_at.desc()).limit(limit)
        if base_model:
            query = query.where(_comparison.base_model == base_model)
        if task:
            query = query.where(_comparison.task == task)
        with self.engine.connect().execution_options(**_reads) as connection:
            return [_to_comparison(row) for row in connection.execute(query)]

    def base_models(self) -> list[str]:
        """Those of which there are comparisons, the one with the newest first."""
        query = select(_comparison.base_model).group_by(_comparison.base_model).order_by(func.max(_comparison.created_at).desc())
        with self.engine.connect().execution_options(**_reads) as connection:
            return list(connection.execute(query).scalars())

    def _change(self, comparison_id: str, **values) -> None:
        with self.engine.begin() as connection:
            found = connection.execute(update(tables.comparisons).where(_comparison.id == comparison_id).values(**values)).rowcount
        if not found:
            self.get(comparison_id)  # raises


def _to_comparison(row) -> Comparison:
    return Comparison(**{**row._mapping, "verdict": Verdict(row.verdict)})


class RoleRepository:
    """What adapters are for. An adapter may have several roles, and a role's name may be given to several adapters."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time):
        self.engine, self.clock = engine, clock

    def save(self, run_id: str, name: str, prompts: Iterable[str]) -> Role:
        """Give an adapter a role, or another set of example prompts to the one of that name."""
        prompts = list(dict.fromkeys(prompt.strip() for prompt in prompts if prompt.strip()))
        with self.engine.begin() as connection:
            row = connection.execute(select(tables.roles).where(_role.run_id == run_id, _role.name == name)).first()
            if row:
                connection.execute(update(tables.roles).where(_role.id == row.id).values(prompts=prompts))
                return Role(**{**row._mapping, "prompts": prompts})
            role = Role(uuid.uuid4().hex[:12], name, run_id, prompts, self.clock())
            connection.execute(insert(tables.roles).values(**vars(role)))
        return role

    def all(self) -> list[Role]:
        """Those of adapters that are not deleted, the oldest first."""
        with self.engine.connect().execution_options(**_reads) as connection:
            rows = connection.execute(select(tables.roles).join(tables.adapters).where(
                tables.adapters.c.deleted_at.is_(None)).order_by(_role.created_at)).all()
        return [Role(**row._mapping) for row in rows]

    def delete(self, role_id: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(tables.roles).where(_role.id == role_id))


class CertificateRepository:
    """One certificate for one adapter; asking again makes it anew."""

    def __init__(self, engine: Engine):
        self.engine = engine

    def ask(self, run_id: str, wanted: dict, here: bool = False) -> Certificate:
        """`here`: whoever asks also makes it, so that no worker takes it up."""
        values = {"wanted": wanted, "state": "running" if here else "queued", "phase": "", "done": 0, "problem": "", "report": None,
                  "passed": None, "asked_at": time.time(), **({"beat_at": database_seconds()} if here else {})}
        with self.engine.begin() as connection:
            if not connection.execute(update(tables.certificates).where(_certificate.run_id == run_id).values(**values)).rowcount:
                connection.execute(insert(tables.certificates).values(run_id=run_id, **values))
        return self.find(run_id)

    def claim(self, run_id: str) -> Certificate | None:
        """Take one that waits, or whose worker has gone silent; None where there is nothing to take."""
        with self.engine.begin() as connection:
            taken = connection.execute(update(tables.certificates).where(_certificate.run_id == run_id, _is_open()).values(
                state="running", beat_at=database_seconds())).rowcount == 1
        return self.find(run_id) if taken else None

    def progress(self, asked: Certificate, **changes) -> bool:
        """Store phase, done, state, problem, report or passed; False where it was asked for anew meanwhile, or is gone."""
        with self.engine.begin() as connection:
            return connection.execute(update(tables.certificates).where(
                _certificate.run_id == asked.run_id, _certificate.state == "running",
                _certificate.asked_at == asked.asked_at).values(beat_at=database_seconds(), **changes)).rowcount == 1

    def finish(self, asked: Certificate, report: dict, passed: bool | None, before: Adapter, published: dict) -> bool:
        """Store the report, and where the adapter's files lie that hold it, both or neither.

        False where it was asked for anew meanwhile, or the adapter was deleted or is not the one that was measured.
        """
        adapter = tables.adapters.c
        measured = select(adapter.run_id).where(
            adapter.run_id == asked.run_id, adapter.folder == before.folder, adapter.deleted_at.is_(None))
        with self.engine.begin() as connection:
            kept = connection.execute(update(tables.certificates).where(
                _certificate.run_id.in_(measured), _certificate.state == "running", _certificate.asked_at == asked.asked_at).values(
                state="finished", phase="", done=1.0, problem="", report=report, passed=passed)).rowcount == 1
            if kept:
                connection.execute(update(tables.adapters).where(adapter.run_id == asked.run_id).values(**published))
        return kept

    def find(self, run_id: str) -> Certificate | None:
        with self.engine.connect().execution_options(**_reads) as connection:
            row = connection.execute(select(tables.certificates).where(_certificate.run_id == run_id)).first()
        return Certificate(**row._mapping) if row else None

    def waiting(self) -> list[str]:
        """Run ids of those that a worker should take up: queued, or running without a sign of life."""
        with self.engine.connect().execution_options(**_reads) as connection:
            return list(connection.execute(select(_certificate.run_id).where(_is_open()).order_by(
                _certificate.asked_at)).scalars())


def _is_open():
    silent = (_certificate.state == "running") & (_certificate.beat_at < database_seconds() - WORKER_SILENCE)
    return (_certificate.state == "queued") | silent
