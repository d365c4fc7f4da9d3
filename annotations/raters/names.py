"""Names that belong to one key or one login: whose a name is, how it is spelled, and how it changes hands.

Names are compared in one form, so that no other spelling of a name is another person.
"""

import hashlib
import re
import unicodedata
from sqlite3 import Connection

from annotations.errors import InvalidVoteError
from annotations.store import AnnotationStore
from annotations.store.new_records import MAX_NAME, check_rater
from annotations.store.rows import timestamp
from ser.errors import SerError

FREE = "free"
"""Owner of a name that a maintainer has released. Other owners begin with their kind, `login:` or `key:`, which no
text of a client can take the place of: what follows is the login's name, or the hash of the key."""

RESERVED = ("import:",)
"""Beginnings of names that are the program's own: the raters that a corpus's labels count as."""

ALIKE = {
    *("LATIN", "CYRILLIC", "GREEK", "COPTIC", "ARMENIAN", "CHEROKEE"),
    *("BAMUM", "CANADIAN", "CARIAN", "DESERET", "GOTHIC", "LISU", "LYCIAN", "LYDIAN", "MIAO", "OLD", "OSAGE"),
    *("TIFINAGH", "VAI", "WARANG"),
}
"""Scripts, as the names of their characters begin, that share letters of one look."""

INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\u2800\U0001d159\U00016fe4\U000e0100-\U000e01ef]"
)
"""Characters without a look of their own that Unicode does not count as format characters."""


class NameTakenError(SerError):
    """A name that another browser, a login or the program itself goes by."""


def comparable_name(name: str) -> str:
    """The form in which names are compared: NFKC, case-folded, without characters that nobody sees.

    >>> comparable_name("Be\u200bth") == comparable_name("\uff22ETH") == "beth"
    True
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    # What stood apart from its accent for a character that nobody sees is one letter with it now.
    return " ".join(unicodedata.normalize("NFKC", _visible(text)).split())


def check_new_name(name: object) -> str:
    """A name that nobody has here yet, as `check_rater`, of characters that look different.

    Raises:
        InvalidVoteError: if it mixes alphabets whose letters look alike, or shows nothing.

    >>> check_new_name("李 Lee"), check_new_name("Zoë")
    ('李 Lee', 'Zoë')
    """
    text = unicodedata.normalize("NFC", _visible(check_rater(name)))
    if not comparable_name(text):
        raise InvalidVoteError("The name has no character that can be seen. Say who you are; any name will do.")
    if any(unicodedata.category(one) in ("Cn", "Co") for one in text):
        raise InvalidVoteError(f"The name '{text}' has characters that fonts do not show. Write it without them.")
    letters = unicodedata.normalize("NFKC", text)
    found = {unicodedata.name(one, "").partition(" ")[0] for one in letters if one.isalpha()}
    alike = sorted(script.capitalize() for script in found & ALIKE)
    if len(alike) > 1:
        raise InvalidVoteError(
            f"The name '{text}' mixes {' and '.join(alike)} letters, which look alike. Write it in one alphabet."
        )
    return check_rater(text)


def _visible(text: str) -> str:
    return "".join(one for one in INVISIBLE.sub("", text) if unicodedata.category(one) != "Cf")


def login_owner(name: str) -> str:
    """The owner that a login is."""
    return f"login:{comparable_name(name)}"


def key_owner(key: str) -> str:
    """The owner that a browser's or a program's key is."""
    return f"key:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


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


def rename_person(connection: Connection, name: str, new: str) -> None:
    """Put another name, which nobody has, wherever a person's stands; the names of who may have a role stay."""
    tables = connection.execute("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    for (table,) in tables.fetchall():
        for (column,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall():
            if column == "rater" or column.endswith("_by") or (table, column) == ("rater_names", "name"):
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (new, name))
    # Readers that keep in memory what a rater has labelled look again.
    connection.execute("UPDATE queue_clock SET now = now + 1, forgotten = forgotten + 1")
