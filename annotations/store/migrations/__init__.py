"""The chain of migrations, one module each, applied in the order of their names; nothing else.

A module `mNNN_verb_object.py` in this folder registers one function of that name with `MIGRATIONS`;
`annotations.store.database` finds it here. A migration is never edited once it was released: a change is a new one.
Migrations repeat literal values (verdicts, purposes) instead of importing them: what an old migration made
must not change when a constant does. Labels carry no CHECK, so that a label set can grow without rebuilding
the tables; the store checks them.
"""

from sqlite_utils import Migrations

MIGRATIONS = Migrations("annotations")
