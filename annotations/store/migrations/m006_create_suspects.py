"""Table of clips with a suspected label error."""

from sqlite_utils import Database

from annotations.store.migrations import MIGRATIONS


@MIGRATIONS()
def m006_create_suspects(db: Database) -> None:
    """A clip is open for review as long as no vote came after `last_correction_id`."""
    db.execute(
        """
        CREATE TABLE suspects (
            clip_id INTEGER PRIMARY KEY REFERENCES clips (id) ON DELETE CASCADE,
            training_run_id INTEGER NOT NULL REFERENCES training_runs (id),
            given TEXT NOT NULL,
            suggested TEXT NOT NULL,
            certainty REAL NOT NULL,
            last_correction_id INTEGER NOT NULL,
            created_at TEXT NOT NULL
        ) STRICT
        """
    )
