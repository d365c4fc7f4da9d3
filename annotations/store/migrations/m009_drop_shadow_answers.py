"""Drops what versions answered on the side: the program no longer records it."""

from sqlite_utils import Database

from annotations.store.migrations import MIGRATIONS


@MIGRATIONS()
def m009_drop_shadow_answers(db: Database) -> None:
    """Drop the shadows that m007 created, and their answers."""
    db.execute("DROP TABLE shadow_answers")
    db.execute("DROP TABLE shadows")
