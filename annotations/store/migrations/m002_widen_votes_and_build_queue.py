"""Votes that say more, marks of gold clips, leases, settings, embeddings, and what the review queue reads.

The queue's tables repeat what clips, predictions and votes say, in the shape that the queue needs. Triggers keep them,
so that they are right after every write; `queue_clock` numbers the changes, so that a reader that holds a copy
in memory asks for what is newer than it.
"""

import json
import math

from sqlite_utils import Database

from annotations.store.migrations import MIGRATIONS
from annotations.store.migrations.queue_triggers import TRIGGERS


@MIGRATIONS()
def m002_widen_votes_and_build_queue(db: Database) -> None:
    """Votes that say more, marks of gold clips, leases, settings, embeddings, and what the review queue reads."""
    for statement in (*_WIDER, *_TABLES):
        db.execute(statement)
    columns = {column.name for column in db["clips"].columns}
    for name in ("language", "transcript"):
        if name not in columns:
            db.execute(f"ALTER TABLE clips ADD COLUMN {name} TEXT CHECK (length({name}) > 0)")
    db.conn.create_function("margin_of", 1, _margin, deterministic=True)
    db.conn.create_function("disagreement_of", 1, _disagreement, deterministic=True)
    db.execute("UPDATE predictions SET margin = margin_of(scores), disagreement = disagreement_of(scores)")
    for statement in (*_FILLING, *TRIGGERS):
        db.execute(statement)


def _margin(scores: str) -> float | None:
    fused = json.loads(scores).get("fused") or {}
    first, second, *_ = [*sorted(fused.values(), reverse=True), 0.0, 0.0]
    return min(max(first - second, 0.0), 1.0) if fused else None


def _disagreement(scores: str) -> float | None:
    """Compute the Jensen-Shannon divergence of sound and words in bits; None if the words abstained."""
    found = json.loads(scores)
    sound, words = found.get("acoustic"), found.get("text")
    if not sound or not words:
        return None
    bits = 0.0
    for label in sound.keys() | words.keys():
        p, q = sound.get(label, 0.0), words.get(label, 0.0)
        bits += sum(share * math.log2(2 * share / (p + q)) for share in (p, q) if share > 0) / 2
    return min(max(bits, 0.0), 1.0)


_WIDER = (
    "ALTER TABLE predictions ADD COLUMN margin REAL CHECK (margin BETWEEN 0 AND 1)",
    "ALTER TABLE predictions ADD COLUMN disagreement REAL CHECK (disagreement BETWEEN 0 AND 1)",
    # {label: share}, shares sum to 1; NULL where the rater chose one label. SQLite before 3.45 calls NULL invalid JSON.
    "ALTER TABLE corrections ADD COLUMN distribution TEXT CHECK (distribution IS NULL OR json_valid(distribution))",
    "ALTER TABLE corrections ADD COLUMN valence INTEGER CHECK (valence BETWEEN 0 AND 100)",
    "ALTER TABLE corrections ADD COLUMN arousal INTEGER CHECK (arousal BETWEEN 0 AND 100)",
    "ALTER TABLE corrections ADD COLUMN comment TEXT CHECK (length(comment) > 0)",
    "ALTER TABLE corrections ADD COLUMN seconds REAL CHECK (seconds >= 0)",
    # NULL: not known, as for every vote before this column was there.
    "ALTER TABLE corrections ADD COLUMN answer_shown INTEGER CHECK (answer_shown IN (0, 1))",
    "DROP TRIGGER predictions_set_uncertainty",
    "DROP INDEX clips_uncertainty",
    "ALTER TABLE clips DROP COLUMN uncertainty",
)

_TABLES = (
    # Append-only: the newest row holds.
    """
    CREATE TABLE settings (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        settings TEXT NOT NULL CHECK (json_valid(settings)),
        changed_by TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT
    """,
    # Append-only: the newest row of a clip holds; no label means that it is gold no more.
    """
    CREATE TABLE gold_marks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        clip_id INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        label TEXT CHECK (length(label) > 0),
        marked_by TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX gold_marks_clip ON gold_marks (clip_id, id)",
    """
    CREATE TABLE leases (
        clip_id INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        rater TEXT NOT NULL,
        expires_at TEXT NOT NULL,
        PRIMARY KEY (clip_id, rater)
    ) STRICT, WITHOUT ROWID
    """,
    # Half-precision floats, little-endian; comparable within one model version only.
    """
    CREATE TABLE embeddings (
        clip_id INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        version_id INTEGER NOT NULL REFERENCES model_versions (id),
        vector BLOB NOT NULL,
        PRIMARY KEY (clip_id, version_id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX embeddings_version ON embeddings (version_id)",
    # now numbers changes of queue_clips, judgements and clip_texts; forgotten counts judgements that were erased.
    """
    CREATE TABLE queue_clock (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        now INTEGER NOT NULL,
        forgotten INTEGER NOT NULL
    ) STRICT
    """,
    # Each rater's newest standing vote on each clip; no verdict where they took all of them back.
    """
    CREATE TABLE judgements (
        rater TEXT NOT NULL,
        clip_id INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        correction_id INTEGER,
        verdict TEXT,
        label TEXT,
        changed INTEGER NOT NULL,
        PRIMARY KEY (rater, clip_id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX judgements_clip ON judgements (clip_id, verdict, label)",
    "CREATE INDEX judgements_changed ON judgements (rater, changed)",
    # One row a clip. votes: raters with a label that stands; judged: people whose label or unsure stands; dispute: of
    # all pairs of votes and one more, those that disagree; chance: for the random order.
    """
    CREATE TABLE queue_clips (
        clip_id INTEGER PRIMARY KEY,
        source TEXT NOT NULL,
        language TEXT,
        duration REAL NOT NULL,
        prediction_id INTEGER,
        version_id INTEGER,
        label TEXT,
        entropy REAL,
        margin REAL,
        disagreement REAL,
        votes INTEGER NOT NULL DEFAULT 0,
        judged INTEGER NOT NULL DEFAULT 0,
        dispute REAL NOT NULL DEFAULT 0,
        gold INTEGER NOT NULL DEFAULT 0,
        chance INTEGER NOT NULL,
        changed INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE INDEX queue_clips_changed ON queue_clips (changed)",
    """
    CREATE TABLE queue_erased (
        clip_id INTEGER PRIMARY KEY,
        changed INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE INDEX queue_erased_changed ON queue_erased (changed)",
    # The words as last corrected, else as they came with the clip, else as the newest model transcribed them.
    """
    CREATE TABLE clip_texts (
        clip_id INTEGER PRIMARY KEY,
        text TEXT NOT NULL,
        changed INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE INDEX clip_texts_changed ON clip_texts (changed)",
    # After rows were erased, INSERT INTO clip_words (clip_words) VALUES ('optimize') takes their words off the disk:
    # until then they stay in older parts of the index.
    """
    CREATE VIRTUAL TABLE clip_words USING fts5 (
        text, content = 'clip_texts', content_rowid = 'clip_id', detail = 'full',
        tokenize = 'unicode61 remove_diacritics 2'
    )
    """,
)

_FILLING = (
    "INSERT INTO queue_clock VALUES (1, 1, 0)",
    """
    INSERT INTO judgements (rater, clip_id, correction_id, verdict, label, changed)
    SELECT rater, clip_id, id, verdict, label, 1 FROM (
        SELECT corrections.*, row_number() OVER (PARTITION BY clip_id, rater ORDER BY created_at DESC, id DESC) AS age
        FROM corrections
        WHERE NOT EXISTS (SELECT 1 FROM correction_retractions WHERE correction_id = corrections.id)
    ) WHERE age = 1
    """,
    """
    INSERT INTO queue_clips (
        clip_id, source, language, duration, prediction_id, version_id, label, entropy, margin, disagreement,
        votes, judged, dispute, chance, changed
    )
    SELECT
        clips.id, clips.source, coalesce(clips.language, json_extract(newest.details, '$.transcript.language')),
        clips.duration, newest.id, newest.model_version_id, newest.label, newest.entropy, newest.margin,
        newest.disagreement,
        (SELECT count(label) FROM judgements WHERE clip_id = clips.id),
        (
            SELECT count(*) FROM judgements
            WHERE clip_id = clips.id AND verdict IN ('accept', 'correct', 'unsure') AND rater NOT GLOB 'import:*'
        ),
        coalesce((
            SELECT (sum(n) * sum(n) - sum(n * n)) / (sum(n) * (sum(n) - 1.0) + 2.0) FROM (
                SELECT count(*) AS n FROM judgements WHERE clip_id = clips.id AND label IS NOT NULL GROUP BY label
            )
        ), 0.0),
        random() & 4294967295, 1
    FROM clips LEFT JOIN predictions AS newest
        ON newest.id = (SELECT max(id) FROM predictions WHERE clip_id = clips.id)
    """,
    """
    INSERT INTO clip_texts (clip_id, text, changed)
    SELECT clip_id, text, 1 FROM (
        SELECT clips.id AS clip_id, coalesce(
            (
                SELECT transcript FROM corrections
                WHERE clip_id = clips.id AND transcript IS NOT NULL
                    AND NOT EXISTS (SELECT 1 FROM correction_retractions WHERE correction_id = corrections.id)
                ORDER BY created_at DESC, id DESC LIMIT 1
            ),
            clips.transcript,
            (SELECT transcript FROM predictions WHERE clip_id = clips.id ORDER BY id DESC LIMIT 1)
        ) AS text FROM clips
    ) WHERE text IS NOT NULL
    """,
    "INSERT INTO clip_words (clip_words) VALUES ('rebuild')",
)
