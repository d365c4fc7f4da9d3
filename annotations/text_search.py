"""Search for words in the transcripts of clips, by the full-text index of the database.

Knows the tables `clip_texts` and `clip_words`.
"""

import re
import sqlite3

CHUNK = 500


def search_words(text: str) -> str:
    """What a person typed as a query of the full-text index: all words, in any order; `*` ends the beginning of one.

    >>> search_words('Kids "talk*", by')
    '"Kids" "talk"* "by"'
    >>> search_words("?!")
    ''
    """
    return " ".join(f'"{word}"{star}' for word, star in re.findall(r"(\w+)(\*?)", text))


def still_matching(connection: sqlite3.Connection, words: str, since: int) -> tuple[list[int], list[int]]:
    """Of the clips whose words have changed since a moment of the clock: all of them, and those that a search finds."""
    rows = connection.execute("SELECT clip_id FROM clip_texts WHERE changed > ?", (since,))
    changed = [row[0] for row in rows]
    matching: list[int] = []
    for start in range(0, len(changed), CHUNK):
        chunk = changed[start : start + CHUNK]
        marks = ",".join("?" * len(chunk))
        rows = connection.execute(
            f"SELECT rowid FROM clip_words WHERE clip_words MATCH ? AND rowid IN ({marks})", (words, *chunk)
        )
        matching += [row[0] for row in rows]
    return changed, matching


def purge_words(connection: sqlite3.Connection) -> None:
    """Take the words of erased clips off the disk: until then they stay in older parts of the full-text index."""
    connection.execute("INSERT INTO clip_words (clip_words) VALUES ('optimize')")
