"""Labels that clips came with and that give no vote here."""

from sqlite_utils import Database

from annotations.store.migrations import MIGRATIONS


@MIGRATIONS()
def m013_keep_original_labels(db: Database) -> None:
    """Keep the labels that a clip came with, in the words of whoever gave them."""
    db.execute("ALTER TABLE clips ADD COLUMN original_label TEXT CHECK (length(original_label) > 0)")
