"""Pictures of faces leave the store with their recordings only if that was agreed to besides keeping them."""

from annotations.store.migrations import migration

migration(
    "m022_export_faces",
    "ALTER TABLE faces ADD COLUMN may_export INTEGER NOT NULL DEFAULT 0 CHECK (may_export IN (0, 1))",
)
