"""Table of measured sounds; embeddings, which each model would have had to compute anew, go."""

from sqlite_utils import Database

from annotations.store.migrations import MIGRATIONS


@MIGRATIONS()
def m008_create_sounds(db: Database) -> None:
    """Sounds in place of embeddings."""
    for statement in _M008:
        db.execute(statement)


_M008 = (
    "DROP TABLE embeddings",
    # Half-precision floats, little-endian.
    """
    CREATE TABLE sounds (
        clip_id INTEGER PRIMARY KEY REFERENCES clips (id) ON DELETE CASCADE,
        vector BLOB NOT NULL
    ) STRICT
    """,
)
