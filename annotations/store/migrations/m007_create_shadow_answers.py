"""Tables of the split of each run's clips, of shadow answers, and of promotions undone."""

from sqlite_utils import Database

from annotations.store.migrations import MIGRATIONS


@MIGRATIONS()
def m007_create_shadow_answers(db: Database) -> None:
    """Sides of clips, shadows and their answers; which promotion another one undoes."""
    for statement in _M007:
        db.execute(statement)


_M007 = (
    # A clip keeps the side that it was given first: what was learnt from never judges.
    """
    CREATE TABLE run_clips (
        training_run_id INTEGER NOT NULL REFERENCES training_runs (id),
        clip_id INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        side TEXT NOT NULL CHECK (side IN ('training', 'held out', 'reserved')),
        PRIMARY KEY (clip_id, training_run_id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX run_clips_run ON run_clips (training_run_id)",
    # Earlier runs kept only which votes they read, of both sides: such clips must not be held out any more.
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
