"""The journal of a database: triggers note which rows each transaction has changed.

Notes hold keys only; the rows are read when they are saved. So what was erased meanwhile is in no note and no fragment,
and a vote costs one short row more. A fragment is one JSON object a line: a head, then rows as they stand, or deleted.
"""

import base64
import json
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TextIO

from annotations.errors import StoreError
from annotations.maintenance.erasure.rows import tables
from annotations.store import AnnotationStore

CHANGES = "elsewhere_changes"
STATE = "elsewhere_state"

LEFT_OUT = {"leases", "queue_clock", "queue_clips", "queue_erased", "judgements", "clip_texts", CHANGES, STATE}
"""Tables that are not saved: leases end by themselves, and triggers keep the others by what is saved."""

FORMAT = 1

_TABLES = (
    f"CREATE TABLE IF NOT EXISTS {STATE} (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    f"""
    CREATE TABLE IF NOT EXISTS {CHANGES} (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        key TEXT NOT NULL
    ) STRICT
    """,
)


def begin_journal(store: AnnotationStore) -> None:
    """Note changes from now on; a snapshot is due if some may have gone unnoticed, or the tables are others now."""
    with store.database.writing() as connection:
        for statement in _TABLES:
            connection.execute(statement)
        if not is_kept(connection):
            _drop_triggers(connection)
            for _, statement in list(_triggers(connection)):
                connection.execute(statement)
            set_state(connection, due="1")


def end_journal(store: AnnotationStore) -> None:
    """Note no more changes, and forget those that were noted: nobody will save them."""
    with store.database.writing() as connection:
        if list(_own_triggers(connection)):
            connection.execute("PRAGMA secure_delete = ON")
            _drop_triggers(connection)
            connection.execute(f"DELETE FROM {CHANGES}")


def take_out(connection: sqlite3.Connection) -> None:
    """Leave a copy of a database without a journal: nobody saves it elsewhere."""
    _drop_triggers(connection)
    for table in (CHANGES, STATE):
        connection.execute(f"DROP TABLE IF EXISTS {table}")


def is_kept(connection: sqlite3.Connection) -> bool:
    """Tell if every table has its triggers; a migration, or a program that saves nothing, takes them away."""
    return dict(_triggers(connection)) == dict(_own_triggers(connection))


def read_state(connection: sqlite3.Connection) -> dict[str, str]:
    """Read the state of the store elsewhere as this disk knows it; empty if there is none.

    The names are `store` (of the store elsewhere), `disk` (of this disk), `last` (newest file there that this disk
    goes on from), `due` (if the next thing to save is a snapshot).
    """
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (STATE,)).fetchone() is None:
        return {}
    return {row[0]: row[1] for row in connection.execute(f"SELECT name, value FROM {STATE}")}


def set_state(connection: sqlite3.Connection, **values: str | None) -> None:
    """Keep values of `read_state`; None removes one."""
    connection.execute(_TABLES[0])
    for name, value in values.items():
        if value is None:
            connection.execute(f"DELETE FROM {STATE} WHERE name = ?", (name,))
        else:
            connection.execute(f"INSERT OR REPLACE INTO {STATE} VALUES (?, ?)", (name, value))


def new_id() -> str:
    """A name for a disk or a store that no other has."""
    return uuid.uuid4().hex[:16]


def position(connection: sqlite3.Connection) -> int:
    """The number of the newest change that was ever noted."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (CHANGES,)).fetchone()
    return row[0] if row else 0


def count_waiting(connection: sqlite3.Connection) -> int:
    """Count the changes that were noted and not saved."""
    return int(connection.execute(f"SELECT count(*) FROM {CHANGES}").fetchone()[0])


def holds_erasure(connection: sqlite3.Connection) -> bool:
    """Tell if something was erased since the last save."""
    return connection.execute(f"SELECT 1 FROM {CHANGES} WHERE name = 'erasures' LIMIT 1").fetchone() is not None


def forget_changes(connection: sqlite3.Connection, until: int) -> None:
    """Forget the changes up to a number, once they are saved; keys can be names of people."""
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(_TABLES[1])
    connection.execute(f"DELETE FROM {CHANGES} WHERE id <= ?", (until,))


def write_fragment(connection: sqlite3.Connection, file: TextIO, head: Mapping[str, Any]) -> list[str]:
    """Write the changed rows, as one state of the database has them.

    Args:
        connection: reading one state.
        file: to write to.
        head: further values of the first line.

    Returns:
        Hashes of the recordings whose rows are in it.
    """
    recordings = []
    sequences = dict(connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
    print(json.dumps({"format": FORMAT, **head, "sequences": sequences}), file=file)
    changed: dict[str, dict[str, None]] = {}
    for name, key in connection.execute(f"SELECT name, key FROM {CHANGES} ORDER BY id"):
        changed.setdefault(name, {})[key] = None
    for name in in_order(connection):
        where = _where(connection, name)
        for key in changed.get(name, ()):
            row = _read_row(connection, f"SELECT * FROM {name} WHERE {where}", json.loads(key))
            if name == "clips" and row is not None:
                recordings.append(row["sha256"])
            print(json.dumps({"table": name, "key": json.loads(key), "row": row}), file=file)
    return recordings


def replay(connection: sqlite3.Connection, lines: Iterable[str]) -> int:
    """Bring a database to the state that a fragment was written in, in one transaction.

    Args:
        connection: in autocommit mode.
        lines: of the fragment.

    Returns:
        How many rows changed.

    Raises:
        StoreError: if it is damaged or does not fit; the database is as before then.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("PRAGMA defer_foreign_keys = ON")
        head, *entries = [json.loads(line) for line in lines]
        order = {name: place for place, name in enumerate(in_order(connection))}
        gone = [entry for entry in entries if entry["row"] is None]
        for entry in sorted(gone, key=lambda entry: -order[entry["table"]]):
            where, key = _where(connection, entry["table"]), entry["key"]
            connection.execute(f"DELETE FROM {entry['table']} WHERE {where}", key)
        standing = [entry for entry in entries if entry["row"] is not None]
        _upsert(connection, sorted(standing, key=lambda entry: order[entry["table"]]))
        set_sequences(connection, head["sequences"])
        connection.execute("COMMIT")
    except BaseException as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if isinstance(error, KeyError | ValueError | TypeError | AttributeError | sqlite3.Error):
            raise StoreError(f"it is damaged or does not fit: {error!r}") from error
        raise
    return len(entries)


def set_sequences(connection: sqlite3.Connection, sequences: Mapping[str, int]) -> None:
    """Make sure that no number is given again which was given elsewhere, erased rows' included."""
    for name, number in sequences.items():
        cursor = connection.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (int(number), str(name))
        )
        if not cursor.rowcount:
            connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (str(name), int(number)))


def in_order(connection: sqlite3.Connection) -> list[str]:
    """The tables that are saved, each after those that its rows refer to; of two that refer to each other, either."""
    saved = [name for name in tables(connection) if name not in LEFT_OUT]
    ordered: dict[str, None] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        for row in connection.execute(f"PRAGMA foreign_key_list({name})").fetchall():
            if row["table"] not in (name, *above):
                visit(row["table"], (*above, name))
        ordered.setdefault(name)

    for name in saved:
        visit(name, ())
    return list(ordered)


def _upsert(connection: sqlite3.Connection, entries: list[Any]) -> None:
    """Put rows in; one whose unique value another row still holds is tried again after the others."""
    keys = {table: _keys(connection, table) for table in {entry["table"] for entry in entries}}
    while entries:
        clashing = []
        for entry in entries:
            row = {name: _from_json(value) for name, value in entry["row"].items()}
            table, names = entry["table"], list(row)
            others = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys[table])
            try:
                connection.execute(
                    f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
                    f"ON CONFLICT ({', '.join(keys[table])}) DO " + (f"UPDATE SET {others}" if others else "NOTHING"),
                    list(row.values()),
                )
            except sqlite3.IntegrityError as error:
                if error.sqlite_errorname != "SQLITE_CONSTRAINT_UNIQUE":
                    raise
                clashing.append(entry)
        if len(clashing) == len(entries):
            raise StoreError(f"rows of {clashing[0]['table']} contradict each other")
        entries = clashing


def _read_row(connection: sqlite3.Connection, query: str, key: list[Any]) -> dict[str, Any] | None:
    row = connection.execute(query, key).fetchone()
    return None if row is None else {name: _to_json(row[name]) for name in row.keys()}  # noqa: SIM118


def _to_json(value: Any) -> Any:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _from_json(value: Any) -> Any:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value


def _keys(connection: sqlite3.Connection, table: str) -> list[str]:
    rows = connection.execute(f"PRAGMA table_info({table})").fetchall()
    return [row["name"] for row in sorted(rows, key=lambda row: row["pk"]) if row["pk"]]


def _where(connection: sqlite3.Connection, table: str) -> str:
    return " AND ".join(f"{name} = ?" for name in _keys(connection, table))


def _triggers(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    for table in in_order(connection):
        keys = _keys(connection, table)
        note = f"INSERT INTO {CHANGES} (name, key) VALUES ('{table}', json_array({{row}}))"
        new, old = (note.format(row=", ".join(f"{row}.{key}" for key in keys)) for row in ("NEW", "OLD"))
        events = [("insert", "INSERT", "", new), ("update", "UPDATE", "", new), ("delete", "DELETE", "", old)]
        # A number stays with its row for good, a name does not. Each trigger costs every connection 5 us to read.
        if keys not in (["id"], ["clip_id"]):
            moved = " OR ".join(f"OLD.{key} IS NOT NEW.{key}" for key in keys)
            events.append(("move", f"UPDATE OF {', '.join(keys)}", f"WHEN {moved} ", old))
        for event, moment, condition, statement in events:
            name = f"elsewhere_{table}_{event}"
            yield name, f"CREATE TRIGGER {name} AFTER {moment} ON {table} {condition}BEGIN {statement}; END"


def _own_triggers(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    yield from ((row["name"], row["sql"]) for row in rows if row["name"].startswith("elsewhere_"))


def _drop_triggers(connection: sqlite3.Connection) -> None:
    for name, _ in list(_own_triggers(connection)):
        connection.execute(f"DROP TRIGGER {name}")
