"""Everything between the first two migrations and the embeddings of today, in the order in which it was released."""

from annotations.store.migrations import migration

migration(
    "m003_add_imports_exports_and_erasures",
    # The words that were agreed to, or the name of their version.
    "ALTER TABLE consents ADD COLUMN wording TEXT CHECK (length(wording) > 0)",
    # By the hash of a file's bytes: an import that goes on after an interruption decodes nothing twice.
    """
    CREATE TABLE imported_files (
        fingerprint TEXT PRIMARY KEY CHECK (length(fingerprint) = 64),
        clip_id INTEGER NOT NULL REFERENCES clips (id),
        imported_at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX imported_files_clip ON imported_files (clip_id)",
    """
    CREATE TABLE imports (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        source TEXT NOT NULL CHECK (length(source) > 0),
        counts TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(counts)),
        started_at TEXT NOT NULL,
        finished_at TEXT
    ) STRICT
    """,
    "CREATE INDEX imports_source ON imports (source, finished_at)",
    # Where copies lie outside of the store, so that an erasure reaches them. A path of the Hub has form 'hub'.
    """
    CREATE TABLE exports (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        path TEXT NOT NULL CHECK (length(path) > 0),
        form TEXT NOT NULL CHECK (length(form) > 0),
        purpose TEXT NOT NULL CHECK (purpose IN ('research', 'training', 'publication')),
        created_at TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE export_clips (
        export_id INTEGER NOT NULL REFERENCES exports (id),
        clip_id INTEGER NOT NULL REFERENCES clips (id),
        PRIMARY KEY (export_id, clip_id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX export_clips_clip ON export_clips (clip_id)",
    # A clip in here has lost its recording and is put before nobody.
    """
    CREATE TABLE missing_media (
        clip_id INTEGER PRIMARY KEY REFERENCES clips (id),
        reason TEXT NOT NULL,
        found_at TEXT NOT NULL
    ) STRICT
    """,
    # The review queue leaves out what queue_erased lists, and takes up again what was changed later.
    """
    CREATE TRIGGER missing_media_insert_queue AFTER INSERT ON missing_media BEGIN
        UPDATE queue_clock SET now = now + 1;
        INSERT OR REPLACE INTO queue_erased (clip_id, changed) VALUES (NEW.clip_id, (SELECT now FROM queue_clock));
    END
    """,
    """
    CREATE TRIGGER missing_media_delete_queue AFTER DELETE ON missing_media BEGIN
        UPDATE queue_clock SET now = now + 1;
        DELETE FROM queue_erased WHERE clip_id = OLD.clip_id;
        UPDATE queue_clips SET changed = (SELECT now FROM queue_clock) WHERE clip_id = OLD.clip_id;
    END
    """,
    # Kept of an erasure: that it happened. subject is a salted one-way hash of what was erased; pending is the work
    # left to do outside of the database, empty once it is done.
    """
    CREATE TABLE erasures (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL CHECK (kind IN ('clip', 'rater', 'speaker', 'consent', 'retention')),
        subject TEXT NOT NULL,
        counts TEXT NOT NULL CHECK (json_valid(counts)),
        pending TEXT CHECK (pending IS NULL OR json_valid(pending)),
        erased_by TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE erasure_runs (
        erasure_id INTEGER NOT NULL REFERENCES erasures (id),
        training_run_id INTEGER NOT NULL REFERENCES training_runs (id),
        clips INTEGER NOT NULL,
        votes INTEGER NOT NULL,
        PRIMARY KEY (erasure_id, training_run_id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX erasure_runs_run ON erasure_runs (training_run_id)",
    # One-way: who has the recording can ask whether it was erased; nobody can tell from here what it was.
    """
    CREATE TABLE erased_recordings (
        hash TEXT PRIMARY KEY CHECK (length(hash) = 64),
        erasure_id INTEGER NOT NULL REFERENCES erasures (id)
    ) STRICT, WITHOUT ROWID
    """,
    # Versions trained on something erased, themselves or through the version that they started from.
    """
    CREATE VIEW versions_with_erased AS
    WITH RECURSIVE marked (version_id) AS (
        SELECT model_versions.id FROM model_versions
        JOIN erasure_runs ON erasure_runs.training_run_id = model_versions.training_run_id
        UNION
        SELECT model_versions.id FROM marked
        JOIN training_runs ON training_runs.base_version_id = marked.version_id
        JOIN model_versions ON model_versions.training_run_id = training_runs.id
    )
    SELECT version_id FROM marked
    """,
)

migration(
    "m004_create_people",
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

migration(
    "m005_widen_training_runs",
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
    # The database itself refuses a second run at a time, from any writer; others wait in the order they came.
    "CREATE UNIQUE INDEX training_runs_one_running ON training_runs (status) WHERE status = 'running'",
    "CREATE INDEX training_runs_status ON training_runs (status, id)",
    "ALTER TABLE model_versions ADD COLUMN target TEXT NOT NULL DEFAULT 'acoustic' CHECK (length(target) > 0)",
    # A version that was trained, pulled from elsewhere or put together: from which other one, and how.
    "ALTER TABLE model_versions ADD COLUMN parent_id INTEGER REFERENCES model_versions (id)",
    "ALTER TABLE model_versions ADD COLUMN lineage TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(lineage))",
    "ALTER TABLE model_versions ADD COLUMN weights_removed_at TEXT",
    # Somebody may put a version to use that the comparison refused; that is said, with the reason.
    "ALTER TABLE promotions ADD COLUMN overrides INTEGER NOT NULL DEFAULT 0 CHECK (overrides IN (0, 1))",
)

migration(
    "m006_create_suspects",
    # A clip is open for review as long as no vote came after `last_correction_id`.
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
    """,
)

migration(
    "m007_create_shadow_answers",
    # A clip keeps the split that it was given first: training clips are never used for a comparison.
    """
    CREATE TABLE run_clips (
        training_run_id INTEGER NOT NULL REFERENCES training_runs (id),
        clip_id INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        side TEXT NOT NULL CHECK (side IN ('training', 'held out', 'reserved')),
        PRIMARY KEY (clip_id, training_run_id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX run_clips_run ON run_clips (training_run_id)",
    # Earlier runs kept only which votes they read, of both splits: such clips must not be held out any more.
    """
    INSERT OR IGNORE INTO run_clips (training_run_id, clip_id, side)
    SELECT training_run_id, clip_id, 'training'
    FROM training_run_corrections JOIN corrections ON corrections.id = correction_id
    """,
    "ALTER TABLE promotions ADD COLUMN rolls_back INTEGER REFERENCES promotions (id)",
    # A version answers on the side from `started_at`, until `ended_at`; `takes_over_at` is when it is put to use.
    """
    CREATE TABLE shadows (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        version_id INTEGER NOT NULL REFERENCES model_versions (id),
        started_by TEXT NOT NULL,
        started_at TEXT NOT NULL,
        takes_over_at TEXT,
        ended_at TEXT,
        outcome TEXT
    ) STRICT
    """,
    "CREATE UNIQUE INDEX shadows_open ON shadows (version_id) WHERE ended_at IS NULL",
    # The clip is known only where the recording was stored, with consent.
    """
    CREATE TABLE shadow_answers (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        shadow_id INTEGER NOT NULL REFERENCES shadows (id) ON DELETE CASCADE,
        main_version_id INTEGER NOT NULL REFERENCES model_versions (id),
        clip_id INTEGER REFERENCES clips (id) ON DELETE CASCADE,
        label TEXT NOT NULL,
        main_label TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX shadow_answers_shadow ON shadow_answers (shadow_id, id)",
    "CREATE INDEX shadow_answers_clip ON shadow_answers (clip_id)",
)

migration(
    "m008_create_sounds",
    "DROP TABLE embeddings",
    # Half-precision floats, little-endian.
    """
    CREATE TABLE sounds (
        clip_id INTEGER PRIMARY KEY REFERENCES clips (id) ON DELETE CASCADE,
        vector BLOB NOT NULL
    ) STRICT
    """,
)

migration(
    "m009_drop_shadow_answers",
    "DROP TABLE shadow_answers",
    "DROP TABLE shadows",
)

migration(
    "m010_create_embeddings",
    "DROP TABLE sounds",
    # Half-precision floats, little-endian.
    """
    CREATE TABLE embeddings (
        clip_id INTEGER PRIMARY KEY REFERENCES clips (id) ON DELETE CASCADE,
        encoder TEXT NOT NULL,
        vector BLOB NOT NULL
    ) STRICT
    """,
)

migration(
    "m011_allow_cross_fitting",
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
