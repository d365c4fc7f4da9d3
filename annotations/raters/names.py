"""Names that belong to one key or one login: whose a name is, how it is spelled, and how it changes hands.

Names are compared in one form, so that no other spelling of a name is another person.
"""

import hashlib
from sqlite3 import Connection

from annotations.store import AnnotationStore
from annotations.store.tables.erasure_rows import rename_person
from annotations.store.tables.rows import timestamp
from annotations.store.validation import MAX_NAME, check_rater, comparable_name
from ser.errors import SerError

FREE = "free"
"""Owner of a name that a maintainer has released. Other owners begin with their kind, `login:` or `key:`, which no
text of a client can take the place of: what follows is the login's name, or the hash of the key."""

RESERVED = ("import:",)
"""Beginnings of names that are the program's own: the raters that a corpus's labels count as."""


class NameTakenError(SerError):
    """A name that another browser, a login or the program itself goes by."""


def login_owner(name: str) -> str:
    """The owner that a login is."""
    return f"login:{comparable_name(name)}"


def key_owner(key: str) -> str:
    """The owner that a browser's or a program's key is."""
    return f"key:{hashlib.sha256(key.encode()).hexdigest()}"


def release_name(store: AnnotationStore, name: str) -> None:
    """Let go of a name, so that another key may take it: for somebody who has lost theirs."""
    with store.database.writing() as connection:
        set_owner(connection, spelling(connection, name), FREE)


def set_owner(connection: Connection, name: str, owner: str) -> None:
    """Let a name, in its one spelling, belong to an owner."""
    connection.execute(
        "INSERT INTO rater_names (name, folded, owner, created_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (folded) DO UPDATE SET owner = excluded.owner, created_at = excluded.created_at",
        (name, comparable_name(name), owner, timestamp()),
    )


def numbered(name: str, number: int) -> str:
    """A name with a number, cut to the length that is allowed.

    >>> numbered("ann", 2)
    'ann-2'
    """
    return name if number < 2 else f"{name[: MAX_NAME - 6]}-{number}"


def holder(connection: Connection, name: str) -> tuple[str, str] | None:
    """Spelling and owner of a name that was claimed."""
    row = connection.execute("SELECT name, owner FROM rater_names WHERE folded = ?", (comparable_name(name),))
    found = row.fetchone()
    return (found["name"], found["owner"]) if found else None


def name_of_key(store: AnnotationStore, key: str) -> str | None:
    """The name that a key has claimed last; None if it has none."""
    newest = "SELECT name FROM rater_names WHERE owner = ? ORDER BY created_at DESC LIMIT 1"
    with store.reading() as connection:
        row = connection.execute(newest, (key_owner(key),)).fetchone()
    return row["name"] if row else None


def used_spelling(connection: Connection, name: str) -> str | None:
    """Spelling of a name that nobody has claimed, and that votes or consents bear."""
    folded = comparable_name(name)
    raters = connection.execute(
        # One look into the index for each rater, however many votes there are.
        "WITH RECURSIVE raters (name) AS (SELECT min(rater) FROM corrections UNION ALL "
        "SELECT (SELECT min(rater) FROM corrections WHERE rater > name) FROM raters WHERE name IS NOT NULL) "
        "SELECT name FROM raters WHERE name IS NOT NULL "
        "UNION SELECT DISTINCT given_by FROM consents WHERE given_by IS NOT NULL"
    )
    return next((row["name"] for row in raters if comparable_name(row["name"]) == folded), None)


def spelling(connection: Connection, name: str) -> str:
    """The one spelling of a name."""
    held = holder(connection, name)
    return held[0] if held else used_spelling(connection, name) or check_rater(name)


def move_aside(connection: Connection, name: str, key: str) -> None:
    """Give the key that has a name another one, or the name to the login if that key came along."""
    held = holder(connection, name)
    if held is None or not held[1].startswith("key:"):
        return
    if key and held[1] == key_owner(key):
        connection.execute(
            "UPDATE role_grants SET owner = ? WHERE folded = ? AND owner = ?",
            (login_owner(name), comparable_name(name), held[1]),
        )
        return
    number = 2
    while holder(connection, numbered(held[0], number)) or used_spelling(connection, numbered(held[0], number)):
        number += 1
    other = numbered(held[0], number)
    rename_person(connection, held[0], other)
    connection.execute("UPDATE rater_names SET folded = ? WHERE name = ?", (comparable_name(other), other))
    connection.execute(
        "UPDATE role_grants SET name = ?, folded = ? WHERE owner = ?", (other, comparable_name(other), held[1])
    )
