"""Embeddings by the acoustic model's encoder, in place of measurements that no model used."""

from sqlite_utils import Database

from annotations.store.migrations import MIGRATIONS


@MIGRATIONS()
def m010_create_embeddings(db: Database) -> None:
    """Create the table of embeddings, named by their encoder."""
    db.execute("DROP TABLE sounds")
    # Half-precision floats, little-endian.
    db.execute(
        """
        CREATE TABLE embeddings (
            clip_id INTEGER PRIMARY KEY REFERENCES clips (id) ON DELETE CASCADE,
            encoder TEXT NOT NULL,
            vector BLOB NOT NULL
        ) STRICT
        """
    )
