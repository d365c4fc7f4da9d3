"""Tables of imports, exports, lost recordings, and the log of erasures."""

from sqlite_utils import Database

from annotations.store.migrations import MIGRATIONS


@MIGRATIONS()
def m003_add_imports_exports_and_erasures(db: Database) -> None:
    """Create the tables of imports, exports, lost recordings, and the log of erasures."""
    for statement in _M003:
        db.execute(statement)


_M003 = (
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
    # Versions that learnt from something erased, themselves or through the version that they started from.
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
