"""Labels that a clip came with and that give no vote here, in the words of whoever gave them."""

from annotations.store.migrations import migration

migration(
    "m013_keep_original_labels",
    "ALTER TABLE clips ADD COLUMN original_label TEXT CHECK (length(original_label) > 0)",
)
