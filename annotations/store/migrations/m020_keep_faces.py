"""Pictures of faces that came with recordings, each kept by a consent of its own."""

from annotations.store.migrations import migration

migration(
    "m020_keep_faces",
    """
    CREATE TABLE faces (
        clip_id INTEGER PRIMARY KEY REFERENCES clips (id) ON DELETE CASCADE,
        jpeg BLOB NOT NULL,
        given_by TEXT,
        wording TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT
    """,
)
