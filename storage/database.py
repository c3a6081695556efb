"""The database: connections that never lose an update, and the schema brought up to date."""

from pathlib import Path

from sqlalchemy import Engine, Integer, create_engine, event, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from storage.settings import StudioSettings

MIGRATIONS = Path(__file__).parent / "migrations"


class database_seconds(FunctionElement):  # noqa: N801, reads like the SQL function it is
    """Whole seconds since 1970 by the database's own clock, the only clock that leases are compared with."""

    type = Integer()
    inherit_cache = True


@compiles(database_seconds, "sqlite")
def _sqlite_seconds(element, compiler, **options):
    return "CAST(strftime('%s', 'now') AS INTEGER)"


def open_database(settings: StudioSettings) -> Engine:
    """Connect to the studio's database, making the home folder and the newest schema where they are missing."""
    settings.make_folders()
    engine = connect(settings.database_url)
    migrate(engine)
    return engine


def connect(url: str) -> Engine:
    """An engine whose every transaction takes the write lock at its start: read-then-write cannot lose an update."""
    # isolation_level None: the driver begins nothing by itself, so the listener below decides how
    engine = create_engine(url, connect_args={"timeout": 30, "isolation_level": None})

    @event.listens_for(engine, "connect")
    def set_pragmas(connection, _record):
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA busy_timeout=30000")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection):
        reads_only = connection.get_execution_options().get("reads_only")
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")

    path = make_url(url).database
    if path and path != ":memory:":
        Path(path).touch(mode=0o600)
    return engine


def migrate(engine: Engine) -> None:
    """Bring the schema to the newest version; safe to call from several processes at once."""
    with engine.connect().execution_options(reads_only=True) as connection:
        if inspect(connection).has_table("alembic_version"):
            newest = max(path.stem.split("_")[0] for path in (MIGRATIONS / "versions").glob("*.py"))
            if connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == newest:
                return
    from alembic import command  # only here: a start with an up-to-date schema need not wait for its import
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    newest = ScriptDirectory.from_config(config).get_current_head()
    with engine.begin() as connection:  # the write lock: a second process waits here and then finds nothing to do
        if MigrationContext.configure(connection).get_current_revision() != newest:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
