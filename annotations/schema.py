"""The database's schema: applies the migrations of `annotations.migrations`, each once; nothing else."""

import importlib
import pkgutil
import sqlite3

from sqlite_utils import Database

from annotations import migrations
from annotations.migrations import MIGRATIONS

for _name in sorted(module.name for module in pkgutil.iter_modules(migrations.__path__)):
    importlib.import_module(f"{migrations.__name__}.{_name}")


def newer_migrations(connection: sqlite3.Connection) -> list[str]:
    """Names of applied migrations that this code does not know: the database was written by newer code."""
    # A blank database has everything pending: that is the way to ask for all names this code knows.
    known = {migration.name for migration in MIGRATIONS.pending(Database(memory=True))}
    return sorted({migration.name for migration in MIGRATIONS.applied(Database(connection))} - known)


def is_current(connection: sqlite3.Connection) -> bool:
    """Whether every migration has been applied."""
    return not MIGRATIONS.pending(Database(connection))


def migrate(connection: sqlite3.Connection) -> None:
    """Apply what is pending, each migration in a transaction of its own. The caller holds the file lock."""
    MIGRATIONS.apply(Database(connection))
