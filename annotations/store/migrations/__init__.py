"""The chain of migrations, applied in the order of their names; nothing else.

A module `mNNN_verb_object.py` in this folder registers a migration of that name; `annotations.store.database` finds it
here. A migration is never edited once it was released: a change is a new one.
Migrations repeat literal values (verdicts, purposes) instead of importing them: what an old migration made
must not change when a constant does. Labels carry no CHECK, so that a label set can grow without rebuilding
the tables; the store checks them.
"""

from sqlite_utils import Database, Migrations

MIGRATIONS = Migrations("annotations")


def migration(name: str, *statements: str) -> None:
    """Register a migration that executes SQL statements; one that computes is a function under `@MIGRATIONS()`."""

    @MIGRATIONS(name=name)
    def apply(db: Database) -> None:
        for statement in statements:
            db.execute(statement)
