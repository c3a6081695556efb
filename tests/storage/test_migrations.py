"""An upgrade keeps everything, and ends with the very schema that the code expects."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine

from storage import tables
from storage.database import connect, migrate
from storage.records import RunState
from storage.runs import RunRepository
from tests.faults.checker import NEXT_STATES
from tests.storage.older_database import FIRST, RUNS, everything, make_older_database, version

GONE = {"lease_until", "requested_at"}  # columns of the first schema that leases without clocks need no more


@pytest.fixture
def older(tmp_path) -> Engine:
    return make_older_database(tmp_path / "studio.db")


def differences(engine: Engine) -> list:
    with engine.connect().execution_options(reads_only=True) as connection:
        return compare_metadata(MigrationContext.configure(connection), tables.metadata)


def test_a_new_and_an_upgraded_database_have_the_schema_that_the_tables_say(older, tmp_path):
    assert differences(older)
    fresh = connect(f"sqlite:///{tmp_path / 'fresh.db'}")
    for engine in (older, fresh):
        migrate(engine)
        assert differences(engine) == []
    assert list(tmp_path.glob("fresh-before-*")) == [], "there was nothing to keep"


def test_an_upgrade_keeps_every_row(older):
    before = everything(older)
    migrate(older)
    after = everything(older)
    for table in before.keys() - {"alembic_version"}:
        kept = [{name: row[name] for name in before[table][0].keys() - GONE} for row in after[table]]
        assert kept == [{name: value for name, value in row.items() if name not in GONE} for row in before[table]], table


def test_an_upgrade_gives_every_run_a_legal_history_that_ends_in_its_state(older):
    migrate(older)
    runs = RunRepository(older)
    for name, (state, claimed_at, _) in RUNS.items():
        events = runs.events(name)
        assert all(after.from_state == before.to_state for before, after in zip(events, events[1:], strict=False)), events
        assert all(event.to_state in NEXT_STATES[event.from_state] for event in events), events
        assert events[-1].to_state == runs.get(name).state == state
        assert [event.to_state for event in events].count(RunState.RUNNING) == bool(claimed_at)
        assert [event.at for event in events] == sorted(event.at for event in events)


def test_a_backup_lies_beside_an_upgraded_database_and_can_be_upgraded_itself(older, tmp_path):
    before = everything(older)
    migrate(older)
    migrate(older)
    backups = list(tmp_path.glob("studio-before-*.db"))
    assert len(backups) == 1
    backup = connect(f"sqlite:///{backups[0]}")
    assert (version(backup), everything(backup)) == (FIRST, before)
    migrate(backup)
    assert everything(backup) == everything(older)
