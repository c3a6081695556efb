"""Whether the database's file is sound, found out before anybody builds on it."""

import contextlib
import sqlite3
from pathlib import Path

from sqlalchemy.engine import make_url

from storage.problems import DatabaseDamaged
from storage.settings import StudioSettings


def check_database(settings: StudioSettings) -> None:
    """Raise DatabaseDamaged where a page of the database is damaged; a database that is not there yet is sound."""
    path = Path(make_url(settings.database_url).database)
    if not path.is_file() or not path.stat().st_size:
        return
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError:  # locked, or not to be opened: that says nothing of its pages
        raise
    except sqlite3.DatabaseError as error:
        raise DatabaseDamaged(path, str(error)) from error
    if found != "ok":
        raise DatabaseDamaged(path, " ".join(found.split()).removeprefix("*** in database main *** "))
