"""The database: connections that never lose an update, and the schema brought up to date."""

from pathlib import Path

from sqlalchemy import Engine, Integer, create_engine, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from storage.settings import StudioSettings
from storage.sqlite import SHORT_PATIENCE, back_up, prepare, refuse_network_disk

MIGRATIONS = Path(__file__).parent / "migrations"


class database_seconds(FunctionElement):  # noqa: N801, reads like the SQL function it is
    """Whole seconds since 1970 by the database's own clock, which dates the workers' signs of life."""

    type = Integer()
    inherit_cache = True


@compiles(database_seconds, "sqlite")
def _sqlite_seconds(element, compiler, **options):
    return "CAST(strftime('%s', 'now') AS INTEGER)"


def open_database(settings: StudioSettings, patience: float = SHORT_PATIENCE) -> Engine:
    """Connect to the studio's database, making the home folder and the newest schema where they are missing.

    `patience` is how many seconds a write waits for others before it raises DatabaseBusy; reads never wait for writers.
    """
    settings.make_folders()
    engine = connect(settings.database_url, patience)
    migrate(engine)
    return engine


def connect(url: str, patience: float = SHORT_PATIENCE) -> Engine:
    """An engine whose every transaction takes the write lock at its start: read-then-write cannot lose an update."""
    path = Path(make_url(url).database)
    refuse_network_disk(path)
    path.touch(mode=0o600)
    # isolation_level None: the driver begins nothing by itself, prepare() decides how. No limit to connections, since those
    # that wait for the write lock must not keep readers waiting
    engine = create_engine(url, connect_args={"isolation_level": None}, max_overflow=-1)
    prepare(engine, path, patience)
    return engine


def migrate(engine: Engine) -> None:
    """Bring the schema to the newest version, with a backup before it; safe to call from several processes at once."""
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
        current = MigrationContext.configure(connection).get_current_revision()
        if current != newest:
            if current:
                back_up(Path(engine.url.database), newest)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
