"""Clips, consents, model versions, predictions, votes and training runs."""

from annotations.store.migrations import migration

migration(
    "m001_create_tables",
    # AUTOINCREMENT: the id of an erased row is never given to another one.
    # uncertainty repeats the entropy of the newest prediction, kept by a trigger, so that the review queue
    # reads one index however many clips there are.
    """
    CREATE TABLE clips (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        sha256 TEXT NOT NULL UNIQUE CHECK (length(sha256) = 64 AND sha256 NOT GLOB '*[^0-9a-f]*'),
        duration REAL NOT NULL CHECK (duration > 0),
        speaker TEXT CHECK (length(speaker) > 0),
        session TEXT CHECK (length(session) > 0),
        source TEXT NOT NULL CHECK (length(source) > 0),
        uncertainty REAL CHECK (uncertainty BETWEEN 0 AND 1),
        created_at TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX clips_uncertainty ON clips (uncertainty DESC, id)",
    "CREATE INDEX clips_speaker ON clips (speaker)",
    # Append-only: granting and withdrawing are both rows; the newest per clip and purpose holds.
    """
    CREATE TABLE consents (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        clip_id INTEGER NOT NULL REFERENCES clips (id),
        purpose TEXT NOT NULL CHECK (purpose IN ('research', 'training', 'publication')),
        granted INTEGER NOT NULL DEFAULT 1 CHECK (granted IN (0, 1)),
        given_by TEXT,
        created_at TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX consents_clip ON consents (clip_id, purpose, id)",
    """
    CREATE VIEW consents_in_force AS
    SELECT clip_id, purpose, given_by, created_at
    FROM consents AS newest
    WHERE granted = 1 AND NOT EXISTS (
        SELECT 1 FROM consents AS later
        WHERE later.clip_id = newest.clip_id AND later.purpose = newest.purpose AND later.id > newest.id
    )
    """,
    """
    CREATE TABLE model_versions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE CHECK (length(name) > 0),
        sha256 TEXT NOT NULL CHECK (length(sha256) > 0),
        path TEXT,
        training_run_id INTEGER REFERENCES training_runs (id),
        metrics TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metrics)),
        created_at TEXT NOT NULL
    ) STRICT
    """,
    # Append-only: the latest row names the version in use; going back is one more row.
    """
    CREATE TABLE promotions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        model_version_id INTEGER NOT NULL REFERENCES model_versions (id),
        promoted_by TEXT NOT NULL,
        reason TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE predictions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        clip_id INTEGER NOT NULL REFERENCES clips (id),
        model_version_id INTEGER NOT NULL REFERENCES model_versions (id),
        label TEXT NOT NULL CHECK (length(label) > 0),
        scores TEXT NOT NULL CHECK (json_valid(scores)),
        entropy REAL NOT NULL CHECK (entropy BETWEEN 0 AND 1),
        transcript TEXT,
        details TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(details)),
        created_at TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX predictions_clip ON predictions (clip_id, id)",
    "CREATE INDEX predictions_version ON predictions (model_version_id)",
    """
    CREATE TRIGGER predictions_set_uncertainty AFTER INSERT ON predictions BEGIN
        UPDATE clips SET uncertainty = NEW.entropy WHERE id = NEW.clip_id;
    END
    """,
    # Append-only: a change of mind is a new row, an undo a row of correction_retractions.
    """
    CREATE TABLE corrections (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        clip_id INTEGER NOT NULL REFERENCES clips (id),
        prediction_id INTEGER REFERENCES predictions (id),
        rater TEXT NOT NULL CHECK (length(rater) BETWEEN 1 AND 80),
        verdict TEXT NOT NULL CHECK (verdict IN ('accept', 'correct', 'skip', 'unsure')),
        label TEXT,
        intensity INTEGER CHECK (intensity BETWEEN 0 AND 100),
        transcript TEXT,
        created_at TEXT NOT NULL,
        CHECK ((verdict IN ('accept', 'correct')) = (label IS NOT NULL))
    ) STRICT
    """,
    "CREATE INDEX corrections_clip ON corrections (clip_id, rater)",
    "CREATE INDEX corrections_rater ON corrections (rater, clip_id)",
    "CREATE INDEX corrections_rater_time ON corrections (rater, created_at, id)",
    "CREATE INDEX corrections_time ON corrections (created_at, id)",
    """
    CREATE TABLE correction_retractions (
        correction_id INTEGER PRIMARY KEY REFERENCES corrections (id),
        retracted_at TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE training_runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        status TEXT NOT NULL CHECK (
            status IN ('running', 'promoted', 'refused', 'cancelled', 'failed', 'interrupted')
        ),
        config TEXT NOT NULL CHECK (json_valid(config)),
        git_commit TEXT,
        base_version_id INTEGER NOT NULL REFERENCES model_versions (id),
        new_version_id INTEGER REFERENCES model_versions (id),
        metrics TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metrics)),
        reason TEXT,
        started_by TEXT NOT NULL,
        started_at TEXT NOT NULL,
        finished_at TEXT,
        CHECK ((status = 'running') = (finished_at IS NULL))
    ) STRICT
    """,
    # The database itself refuses a second run at a time, from any writer.
    "CREATE UNIQUE INDEX training_runs_one_running ON training_runs (status) WHERE status = 'running'",
    """
    CREATE TABLE training_run_corrections (
        training_run_id INTEGER NOT NULL REFERENCES training_runs (id),
        correction_id INTEGER NOT NULL REFERENCES corrections (id),
        PRIMARY KEY (training_run_id, correction_id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX training_run_corrections_correction ON training_run_corrections (correction_id)",
)
