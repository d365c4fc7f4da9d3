"""Neutral voices kept for good: embeddings of a speaker's neutral sentences, with the words that were agreed to."""

from annotations.store.migrations import migration

migration(
    "m021_keep_voices",
    # Half-precision floats, little-endian, a row for each sentence.
    """
    CREATE TABLE voices (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        rater TEXT NOT NULL,
        speaker TEXT NOT NULL,
        encoder TEXT NOT NULL,
        clips INTEGER NOT NULL CHECK (clips > 0),
        vectors BLOB NOT NULL,
        wording TEXT NOT NULL,
        created_at TEXT NOT NULL,
        UNIQUE (rater, speaker)
    ) STRICT
    """,
)
