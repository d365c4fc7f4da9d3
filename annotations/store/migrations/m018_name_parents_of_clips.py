"""Clips that are parts of longer recordings: the recording's hash, and where in it they lie, in seconds."""

from annotations.store.migrations import migration

migration(
    "m018_name_parents_of_clips",
    "ALTER TABLE clips ADD COLUMN parent_sha256 TEXT CHECK (length(parent_sha256) = 64)",
    "ALTER TABLE clips ADD COLUMN parent_start REAL CHECK (parent_start >= 0)",
    "ALTER TABLE clips ADD COLUMN parent_end REAL CHECK (parent_end > parent_start)",
    "CREATE INDEX clips_parent ON clips (parent_sha256) WHERE parent_sha256 IS NOT NULL",
)
