"""A database of the first released schema, with rows in every table and a run in every state."""

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, MetaData, insert, select

from storage.database import MIGRATIONS, connect

FIRST = "0001"
RUNS = {  # what differs from a run that waits: state, when it was claimed, when it ended
    "waiting": ("queued", None, None),
    "paused": ("queued", 110.0, None),
    "training": ("running", 110.0, None),
    "done": ("finished", 110.0, 200.0),
    "halted": ("stopped", 110.0, 200.0),
    "given-up": ("cancelled", None, 105.0),
    "broken-off": ("cancelled", 110.0, 120.0),
    "broken": ("failed", 110.0, 90.0),  # its clock was set back meanwhile
}


def make_older_database(path: Path) -> Engine:
    """Upgrade to the first schema only, and fill it."""
    engine = connect(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, FIRST)
        tables = MetaData()
        tables.reflect(connection)
        for number, (name, (state, claimed_at, finished_at)) in enumerate(RUNS.items()):
            connection.execute(insert(tables.tables["run"]).values(
                id=name, name=name, state=state, phase="training" if state == "running" else "", task="text-generation",
                method="lora", base_model="demo-base", recipe={"name": name}, submission_key=f"key-{name}", created_at=100.0,
                started_at=claimed_at, claimed_at=claimed_at, finished_at=finished_at, queue_order=number,
                fence=int(bool(claimed_at)), attempts=int(bool(claimed_at)), crashes=0, lease_until=60,
                host="here", device="cpu", pid=4711, process_started_at=12.5, request="", requested_at=0, step=7, total_steps=70,
                training_since_step=0, problem="The loss became nan." if state == "failed" else "",
                problem_kind="", peak_memory_of="process", peak_memory_bytes=10**12, eval_loss=0.25, metrics={"accuracy": 0.5},
                samples=[{"prompt": "p"}], base={"name": "b"}, data={"rows": 5}, environment={"device": "cpu"}))
            for table, values in (("metric", {"name": "loss", "step": 3, "value": 1.5}),
                                  ("log_line", {"at": 101.0, "level": "info", "text": f"A line of {name}."})):
                connection.execute(insert(tables.tables[table]).values(run_id=name, **values))
        connection.execute(insert(tables.tables["adapter"]).values(
            run_id="done", name="done", folder="done-1", zip_name="done-1.zip", bytes=5, zip_bytes=6, files=[{"name": "a"}],
            task="text-generation", method="lora", base_model="demo-base", base_path="/b", base_hash="0", created_at=200.0))
        connection.execute(insert(tables.tables["dataset"]).values(
            id="data", name="data", sha256="1", bytes=7, files=[{"name": "train.csv"}], created_at=50.0))
        connection.execute(insert(tables.tables["worker"]).values(
            id="worker", host="here", pid=12, devices=["cpu"], started_at=99.0, beat_at=100))
        connection.execute(insert(tables.tables["download"]).values(
            hub_id="org/model", state="finished", done_bytes=9, total_bytes=9, problem="", asked_at=20.0, beat_at=30))
    return engine


def version(engine: Engine) -> str:
    with engine.connect().execution_options(reads_only=True) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def everything(engine: Engine) -> dict[str, list[dict]]:
    """All rows of all tables, by the columns that the database has now."""
    tables = MetaData()
    with engine.connect().execution_options(reads_only=True) as connection:
        tables.reflect(connection)
        return {name: [dict(row._mapping) for row in connection.execute(select(table).order_by(*table.primary_key))]
                for name, table in tables.tables.items()}


def schema(path: Path) -> list[tuple]:
    """The schema as SQLite keeps it."""
    with sqlite3.connect(path) as database:
        return database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()
