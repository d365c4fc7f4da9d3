"""Roles given to people, names kept for one browser or login, and the versions of the guidelines."""

from sqlite_utils import Database

from annotations.store.migrations import MIGRATIONS


@MIGRATIONS()
def m004_create_people(db: Database) -> None:
    """Roles, names and guidelines."""
    for statement in _M004:
        db.execute(statement)


_M004 = (
    # Append-only: the newest grant of a name holds.
    """
    CREATE TABLE role_grants (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
        role TEXT NOT NULL CHECK (role IN ('visitor', 'annotator', 'maintainer')),
        granted_by TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX role_grants_name ON role_grants (name, id)",
    # The owner is the SHA-256 of a browser's key, or 'login'.
    """
    CREATE TABLE rater_names (
        name TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 80),
        owner TEXT NOT NULL CHECK (length(owner) > 0),
        created_at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    # Append-only: the newest version stands.
    """
    CREATE TABLE guidelines (
        version INTEGER PRIMARY KEY AUTOINCREMENT,
        text TEXT NOT NULL CHECK (length(text) > 0),
        edited_by TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT
    """,
)
