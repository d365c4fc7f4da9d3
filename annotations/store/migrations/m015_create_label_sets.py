"""Labels of a store's own: every set that held, with its author and time."""

from annotations.store.migrations import migration

migration(
    "m015_create_label_sets",
    """
    CREATE TABLE label_sets (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        labels TEXT NOT NULL CHECK (json_valid(labels)),
        changed_by TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT
    """,
)
