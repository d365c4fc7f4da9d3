"""Runs that wait their turn or rest, what they train, the snapshot they read, and versions of more than one model."""

from sqlite_utils import Database

from annotations.store.migrations import MIGRATIONS


@MIGRATIONS()
def m005_widen_training_runs(db: Database) -> None:
    """Queued and paused runs; a target for runs and versions; lineage of a version."""
    for statement in _M005:
        db.execute(statement)


_M005 = (
    # The table is made anew under its own name, as a CHECK cannot be changed. What refers to its rows is looked at
    # when the transaction ends, and by then they are back.
    "PRAGMA defer_foreign_keys = ON",
    "CREATE TEMP TABLE kept_training_runs AS SELECT * FROM training_runs",
    "DROP TABLE training_runs",
    """
    CREATE TABLE training_runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        status TEXT NOT NULL CHECK (
            status IN ('queued', 'running', 'paused', 'promoted', 'refused', 'cancelled', 'failed', 'interrupted')
        ),
        target TEXT NOT NULL DEFAULT 'acoustic' CHECK (length(target) > 0),
        preset TEXT NOT NULL DEFAULT 'quick' CHECK (length(preset) > 0),
        cause TEXT NOT NULL DEFAULT 'asked' CHECK (length(cause) > 0),
        config TEXT NOT NULL CHECK (json_valid(config)),
        snapshot_sha256 TEXT,
        git_commit TEXT,
        base_version_id INTEGER NOT NULL REFERENCES model_versions (id),
        new_version_id INTEGER REFERENCES model_versions (id),
        metrics TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metrics)),
        reason TEXT,
        started_by TEXT NOT NULL,
        started_at TEXT NOT NULL,
        finished_at TEXT,
        CHECK ((status IN ('queued', 'running', 'paused')) = (finished_at IS NULL))
    ) STRICT
    """,
    """
    INSERT INTO training_runs (
        id, status, config, git_commit, base_version_id, new_version_id, metrics, reason, started_by, started_at,
        finished_at
    )
    SELECT id, status, config, git_commit, base_version_id, new_version_id, metrics, reason, started_by, started_at,
        finished_at
    FROM kept_training_runs
    """,
    "DROP TABLE kept_training_runs",
    # The database itself refuses a second run at a time, whoever writes to it; others wait in the order they came.
    "CREATE UNIQUE INDEX training_runs_one_running ON training_runs (status) WHERE status = 'running'",
    "CREATE INDEX training_runs_status ON training_runs (status, id)",
    "ALTER TABLE model_versions ADD COLUMN target TEXT NOT NULL DEFAULT 'acoustic' CHECK (length(target) > 0)",
    # A version that was learnt, pulled from elsewhere or put together: from which other one, and how.
    "ALTER TABLE model_versions ADD COLUMN parent_id INTEGER REFERENCES model_versions (id)",
    "ALTER TABLE model_versions ADD COLUMN lineage TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(lineage))",
    "ALTER TABLE model_versions ADD COLUMN weights_removed_at TEXT",
    # Somebody may put a version to use that the comparison refused; that is said, with the reason.
    "ALTER TABLE promotions ADD COLUMN overrides INTEGER NOT NULL DEFAULT 0 CHECK (overrides IN (0, 1))",
)
