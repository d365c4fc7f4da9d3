"""Rated replies: the turns before, what was offered, how a person rated it, and what they would have said instead."""

from annotations.store.migrations import migration

migration(
    "m019_keep_replies",
    """
    CREATE TABLE replies (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        rater TEXT NOT NULL,
        rating TEXT NOT NULL CHECK (rating IN ('helpful', 'off', 'unsafe')),
        transcript TEXT,
        reply TEXT,
        edited TEXT,
        strategy TEXT,
        label TEXT,
        source TEXT NOT NULL,
        language TEXT NOT NULL,
        consent TEXT NOT NULL CHECK (json_valid(consent)),
        created_at TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX replies_rater ON replies (rater)",
)
