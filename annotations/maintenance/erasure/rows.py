"""Deletes rows with everything that refers to them, and a person's name wherever it stands, in one transaction.

Finds tables and columns by the schema itself, so that a table added later is not forgotten. Touches no file.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence

from annotations.store.faces import delete_faces

WHOSE = "rater"
"""A row of any table with this column belongs to that person."""

OWN_ROWS = (("role_grants", "name"), ("rater_names", "name"))
"""Further rows that belong to a person: (table, column)."""

NEVER_ANONYMOUS = ("voices",)
"""Tables whose rows go with their rater even where votes are kept: a voice says who somebody is."""

FREE_TEXT = ("transcript", "comment", "reply", "edited")
"""Columns of a rater's own words; they may say who the rater is, so no anonymous vote keeps them."""


def delete_clips(connection: sqlite3.Connection, ids: Sequence[int]) -> Counter[str]:
    """Delete clips with all rows that refer to them; returns {table: rows}."""
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS doomed (id INTEGER PRIMARY KEY)")
    connection.execute("DELETE FROM temp.doomed")
    connection.executemany("INSERT OR IGNORE INTO temp.doomed VALUES (?)", ((number,) for number in ids))
    return delete_rows(connection, "clips", "id IN (SELECT id FROM temp.doomed)")


def delete_person(connection: sqlite3.Connection, name: str, pseudonym: str) -> Counter[str]:
    """Delete a rater's votes and all else that is theirs; put a pseudonym where they are named for an act.

    Returns:
        {table: rows deleted or changed}.
    """
    counts: Counter[str] = Counter()
    quoted = _quote(connection, name)
    for table in tables(connection):
        if WHOSE in _columns(connection, table):
            counts += delete_rows(connection, table, f"{WHOSE} = {quoted}")
    return counts + _forget_name(connection, name, pseudonym)


def anonymise_person(connection: sqlite3.Connection, name: str, pseudonym: str) -> Counter[str]:
    """Keep a rater's labels under a pseudonym, without the words they wrote; otherwise as `delete_person`."""
    counts: Counter[str] = Counter()
    for table in tables(connection):
        columns = _columns(connection, table)
        if table in NEVER_ANONYMOUS:
            counts[table] += connection.execute(f"DELETE FROM {table} WHERE {WHOSE} = ?", (name,)).rowcount
        if WHOSE not in columns or table in NEVER_ANONYMOUS:
            continue
        emptied = "".join(f", {column} = NULL" for column in FREE_TEXT if column in columns)
        cursor = connection.execute(f"UPDATE {table} SET {WHOSE} = ?{emptied} WHERE {WHOSE} = ?", (pseudonym, name))
        counts[table] += cursor.rowcount
    return +(counts + _forget_name(connection, name, pseudonym))


def delete_voices(connection: sqlite3.Connection, speaker: str) -> Counter[str]:
    """Delete a speaker's stored voices of all owners; returns {table: rows}."""
    if "voices" not in tables(connection):  # A copy of an older store.
        return Counter()
    return +Counter(voices=connection.execute("DELETE FROM voices WHERE speaker = ?", (speaker,)).rowcount)


def tables(connection: sqlite3.Connection) -> list[str]:
    """The ordinary tables; not those inside of a text index."""
    rows = connection.execute("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    return sorted(row["name"] for row in rows if not row["name"].startswith(("sqlite_", "_sqlite")))


def text_indexes(connection: sqlite3.Connection) -> list[str]:
    """The FTS5 tables."""
    rows = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL TABLE%fts5%'"
    )
    return [row["name"] for row in rows]


def _forget_name(connection: sqlite3.Connection, name: str, pseudonym: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    existing = tables(connection)
    # A picture belongs to who agreed to keep it.
    counts["faces"] += delete_faces(connection, "given_by = ?", (name,))
    for table, column in OWN_ROWS:
        if table in existing:
            counts[table] += connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (name,)).rowcount
    for table in existing:
        for column in _columns(connection, table):
            if column.endswith("_by"):
                cursor = connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (pseudonym, name))
                counts[table] += cursor.rowcount
    return +counts


def delete_rows(
    connection: sqlite3.Connection, table: str, condition: str, above: tuple[str, ...] = ()
) -> Counter[str]:
    """Delete rows, and first those that refer to them, however deep; returns {table: rows}.

    Args:
        connection: within a transaction.
        table: of the rows.
        condition: SQL that is true of them.
        above: tables whose rows are being deleted already.
    """
    counts: Counter[str] = Counter()
    for child, column, parent_column in references(connection, table):
        if child not in (*above, table):
            inner = f"{column} IN (SELECT {parent_column} FROM {table} WHERE {condition})"
            counts += delete_rows(connection, child, inner, (*above, table))
    counts[table] += connection.execute(f"DELETE FROM {table} WHERE {condition}").rowcount
    return +counts


def references(connection: sqlite3.Connection, table: str) -> Iterator[tuple[str, str, str]]:
    """(table, column, column here) of all that refers to a table."""
    for child in tables(connection):
        for key in connection.execute(f"PRAGMA foreign_key_list({child})").fetchall():
            if key["table"].lower() == table.lower():
                yield child, key["from"], key["to"] or "rowid"


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row["name"] for row in connection.execute(f"PRAGMA table_info({table})")]


def _quote(connection: sqlite3.Connection, text: str) -> str:
    quoted: str = connection.execute("SELECT quote(?)", (text,)).fetchone()[0]
    return quoted


SHORTEST_TEXT = 12
"""Characters of a transcript that is looked for in logs; shorter ones, such as 'yes', stand there for other reasons."""


def words_of(connection: sqlite3.Connection, listed: str) -> list[str]:
    """List the transcripts and comments of clips; texts that are too short identify nothing."""
    chosen = "IN (SELECT value FROM json_each(?1))"
    rows = connection.execute(
        f"SELECT transcript FROM clips WHERE id {chosen} "
        f"UNION SELECT transcript FROM predictions WHERE clip_id {chosen} "
        f"UNION SELECT transcript FROM corrections WHERE clip_id {chosen} "
        f"UNION SELECT comment FROM corrections WHERE clip_id {chosen}",
        (listed,),
    )
    return [row["transcript"] for row in rows if row["transcript"] and len(row["transcript"]) >= SHORTEST_TEXT]


def forget_sources(connection: sqlite3.Connection, name: str) -> None:
    """Erase a name from the sources of imports: a folder may be named after a person."""
    connection.execute("UPDATE imports SET source = 'erased' WHERE instr(source, ?)", (name,))
