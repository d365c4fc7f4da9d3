"""Clips that a run both trained on and compared by, out of fold."""

from sqlite_utils import Database

from annotations.store.migrations import MIGRATIONS


@MIGRATIONS()
def m011_allow_cross_fitting(db: Database) -> None:
    """Let a run's clip be `out of fold`; the table is made anew, as a CHECK cannot be changed."""
    for statement in _M011:
        db.execute(statement)


_M011 = (
    "CREATE TEMP TABLE kept_run_clips AS SELECT * FROM run_clips",
    "DROP TABLE run_clips",
    """
    CREATE TABLE run_clips (
        training_run_id INTEGER NOT NULL REFERENCES training_runs (id),
        clip_id INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        side TEXT NOT NULL CHECK (side IN ('training', 'held out', 'reserved', 'out of fold')),
        PRIMARY KEY (clip_id, training_run_id)
    ) STRICT, WITHOUT ROWID
    """,
    "INSERT INTO run_clips SELECT training_run_id, clip_id, side FROM kept_run_clips",
    "DROP TABLE kept_run_clips",
    "CREATE INDEX run_clips_run ON run_clips (training_run_id)",
)
