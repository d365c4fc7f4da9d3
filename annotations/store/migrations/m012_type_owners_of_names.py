"""Owners of names by kind, one spelling of a name each, and roles bound to the owner they were given to."""

import re
import unicodedata

from sqlite_utils import Database

from annotations.store.migrations import MIGRATIONS


@MIGRATIONS()
def m012_type_owners_of_names(db: Database) -> None:
    """Type the owners; of names that differ in spelling alone the earliest stays and the others get a number."""
    _number_alike(db)
    names = db.execute("SELECT name, owner, created_at FROM rater_names ORDER BY name").fetchall()
    db.execute("DROP TABLE rater_names")
    for statement in _M012:
        db.execute(statement)
    db.conn.executemany(
        "INSERT INTO rater_names (name, folded, owner, created_at) VALUES (?, ?, ?, ?)",
        [(name, _folded(name), _typed(name, owner), created_at) for name, owner, created_at in names],
    )
    claims = {name: (_typed(name, owner), created_at) for name, owner, created_at in names}
    for number, name, granted_at in db.execute("SELECT id, name, created_at FROM role_grants").fetchall():
        owner, claimed_at = claims.get(name, (None, ""))
        # A name that was claimed after the grant may be claimed by anybody: only a login of that name gets the role.
        bound = owner if owner and claimed_at <= granted_at else None
        db.execute("UPDATE role_grants SET folded = ?, owner = ? WHERE id = ?", (_folded(name), bound, number))


_M012 = (
    # 'free' is a name that a maintainer has released: the next key may have it.
    """
    CREATE TABLE rater_names (
        name TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 80),
        folded TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL CHECK (
            owner = 'free' OR owner GLOB 'login:?*' OR (owner GLOB 'key:*' AND length(owner) = 68)
        ),
        created_at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "ALTER TABLE role_grants ADD COLUMN folded TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE role_grants ADD COLUMN owner TEXT",
    "DROP INDEX role_grants_name",
    "CREATE INDEX role_grants_folded ON role_grants (folded, id)",
)


def _typed(name: str, owner: str) -> str:
    return f"login:{_folded(name)}" if owner == "login" else f"key:{owner}"


def _folded(name: str) -> str:
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    invisible = "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]"
    shown = "".join(one for one in re.sub(invisible, "", text) if unicodedata.category(one) != "Cf")
    return " ".join(shown.split()) or name


def _number_alike(db: Database) -> None:
    """Rename every name that another one, claimed or used earlier, is compared equal to."""
    claims = {name: (owner != "login", at) for name, owner, at in db.execute("SELECT * FROM rater_names").fetchall()}
    used = db.execute(
        "SELECT name, min(at) FROM (SELECT rater AS name, created_at AS at FROM corrections "
        "UNION ALL SELECT name, created_at FROM role_grants UNION ALL SELECT name, created_at FROM rater_names) "
        "GROUP BY name"
    ).fetchall()
    taken: set[str] = set()
    # Logins first: they keep the name that they log in with.
    for name, _ in sorted(used, key=lambda row: (claims.get(row[0], (True, ""))[0], row[1], row[0])):
        new, number = name, 1
        while _folded(new) in taken:
            number += 1
            new = f"{name[:74]}-{number}"
        taken.add(_folded(new))
        if new != name:
            _rename(db, name, new)


def _rename(db: Database, name: str, new: str) -> None:
    tables = db.execute("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'").fetchall()
    for (table,) in tables:
        if table.startswith(("sqlite_", "_sqlite")):
            continue
        for row in db.execute(f"PRAGMA table_info({table})").fetchall():
            own = (table, row[1]) in (("role_grants", "name"), ("rater_names", "name"))
            if own or row[1] == "rater" or row[1].endswith("_by"):
                db.execute(f"UPDATE {table} SET {row[1]} = ? WHERE {row[1]} = ?", (new, name))
