"""Roles, their grants, and names that belong to one browser or one login.

Decides and remembers; asks nobody for a password. How a name was proved is the page's affair.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from sqlite3 import Connection

from annotations.store import AnnotationStore
from annotations.store.new_records import check_rater
from annotations.store.rows import insert_row, timestamp
from ser.errors import SerError

ROLES = ("visitor", "annotator", "maintainer")
"""Roles from least to most; each may do all that those before it may."""

ACTS: Mapping[str, str] = {
    "review stored clips": "annotator",
    "see other people's votes": "maintainer",
    "retrain": "maintainer",
    "stop a training run": "maintainer",
    "choose the current model": "maintainer",
    "import clips": "maintainer",
    "export": "maintainer",
    "erase": "maintainer",
    "change settings": "maintainer",
    "change roles": "maintainer",
    "edit the guidelines": "maintainer",
}
"""{what is done: the least role that may}. What is not listed is open to everybody."""

LOGIN = "login"
"""Stands for a browser's key if a login has proved the name."""

RESERVED = ("import:",)
"""Beginnings of names that are the program's own: the raters that a corpus's labels count as."""


class NotAllowedError(SerError):
    """The person's role does not allow the act."""


class NameTakenError(SerError):
    """A name that another browser, a login or the program itself goes by."""


@dataclass(frozen=True)
class Person:
    """A person at the page.

    Attributes:
        name: what their votes are stored under.
        role: one of `ROLES`.
    """

    name: str
    role: str

    def may(self, act: str) -> bool:
        """True if the role allows it.

        >>> Person("ann", "annotator").may("review stored clips"), Person("ann", "annotator").may("retrain")
        (True, False)
        """
        return ROLES.index(self.role) >= ROLES.index(ACTS[act])

    def require(self, act: str) -> "Person":
        """The person themselves, if they may.

        Raises:
            NotAllowedError: otherwise.
        """
        if self.may(act):
            return self
        if self.role == "visitor":
            raise NotAllowedError(f"Visitors may not {act}: sign in first.")
        raise NotAllowedError(f"{self.name} may not {act}: only a maintainer may. Ask one, or log in as one.")


@dataclass(frozen=True)
class Access:
    """Rules for giving roles if the store says nothing.

    Attributes:
        maintainers: logins that are maintainers whatever the store says, so that nobody is locked out.
        role_without_login: of people whose name nothing proves.
    """

    maintainers: frozenset[str] = field(default_factory=frozenset)
    role_without_login: str = "maintainer"

    def __post_init__(self) -> None:
        if self.role_without_login not in ROLES:
            raise SerError(
                f"The role of people without a login is '{self.role_without_login}'; expected one of "
                f"{', '.join(ROLES)}. Correct SER_ROLE_WITHOUT_LOGIN."
            )


def identify(store: AnnotationStore, access: Access, name: str, *, login: bool, key: str = "") -> Person:
    """A person with their role.

    Args:
        store: knows which roles were given, and which browser a typed name belongs to.
        access: decides the rest.
        name: as proved by a login, or as typed.
        login: whether a login has proved it.
        key: the secret of the browser that a typed name comes from; empty for a program.

    Returns:
        Their name in its one spelling, and their role.

    Raises:
        NameTakenError: if a typed name is another's.
    """
    name = check_rater(name)
    if login and name in access.maintainers:
        return Person(name, "maintainer")
    with store.reading() as connection:
        if not login:
            _require_free(connection, name, key, trusted=access.role_without_login == "maintainer")
        given = _granted_role(connection, name) if login or key else None
    return Person(name, given or ("annotator" if login else access.role_without_login))


def claim_name(store: AnnotationStore, name: str, key: str) -> str:
    """Keep a name for one browser (`key`) or for a login (`LOGIN`), from their first vote on.

    A login takes a name over from a browser; the votes given before stay under it.

    Returns:
        The name in its one spelling.

    Raises:
        NameTakenError: if a typed name is another's.
    """
    name = check_rater(name)
    if not key:
        return name
    with store.reading() as connection:
        if _owner(connection, name) == _fingerprint(key):
            return name
    with store.database.writing() as connection:
        if key != LOGIN:
            _require_free(connection, name, key, trusted=False)
        connection.execute(
            "INSERT INTO rater_names (name, owner, created_at) VALUES (?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET owner = excluded.owner",
            (name, _fingerprint(key), timestamp()),
        )
    return name


def release_name(store: AnnotationStore, name: str) -> None:
    """Let go of a name, so that another browser may take it: for somebody who has lost theirs."""
    with store.database.writing() as connection:
        connection.execute("DELETE FROM rater_names WHERE name = ?", (check_rater(name),))


def is_free(store: AnnotationStore, name: str, key: str) -> bool:
    """Tell if a browser may use a typed name."""
    try:
        with store.reading() as connection:
            _require_free(connection, check_rater(name), key, trusted=False)
    except NameTakenError:
        return False
    return True


def free_name(store: AnnotationStore, name: str, key: str) -> str:
    """The name itself if it is free, else the first of `name-2`, `name-3`... that is."""
    number, candidate = 1, name
    while not is_free(store, candidate, key):
        number += 1
        candidate = f"{name[:74]}-{number}"
    return candidate


def set_role(store: AnnotationStore, name: str, role: str, by: Person) -> None:
    """Give somebody a role; earlier grants stay on record.

    Raises:
        NotAllowedError: if `by` is no maintainer.
        SerError: if there is no such role.
    """
    by.require("change roles")
    if role not in ROLES:
        raise SerError(f"The role is '{role}'; expected one of {', '.join(ROLES)}.")
    with store.database.writing() as connection:
        name = check_rater(name)
        insert_row(connection, "role_grants", name=name, role=role, granted_by=by.name, created_at=timestamp())


def list_people(store: AnnotationStore, access: Access) -> list[Person]:
    """List everybody who has a name here: by a role, by a claim or by a vote; in alphabetical order."""
    with store.reading() as connection:
        names = connection.execute(
            "SELECT name FROM role_grants UNION SELECT name FROM rater_names "
            "UNION SELECT DISTINCT rater FROM corrections"
        )
        found = {row[0]: _granted_role(connection, row[0]) for row in names.fetchall()}
    found |= dict.fromkeys(access.maintainers, "maintainer")
    people = [Person(name, role or "annotator") for name, role in found.items() if not name.startswith(RESERVED)]
    return sorted(people, key=lambda person: person.name.casefold())


def access_from(environ: Mapping[str, str], *, host: str, logins: Iterable[str]) -> Access:
    """Read the rules for roles from the environment of this server.

    `SER_MAINTAINERS` names logins, with commas. Without it the first maintainer is the first of the login list, or
    the owner of the Space. `SER_ROLE_WITHOUT_LOGIN` says what people are whom no login proves; without it whoever
    sits at the machine itself is maintainer, and people from a network are annotators, or visitors where they
    could sign in.

    Args:
        environ: the environment.
        host: that the page listens on.
        logins: names of the login list, in order.

    Raises:
        SerError: if a role is none.

    >>> access_from({}, host="127.0.0.1", logins=()).role_without_login
    'maintainer'
    >>> access_from({}, host="0.0.0.0", logins=["ann", "bob"])
    Access(maintainers=frozenset({'ann'}), role_without_login='annotator')
    """
    named = [name.strip() for name in environ.get("SER_MAINTAINERS", "").split(",") if name.strip()]
    first = list(logins)[:1] or [owner for owner in [environ.get("SPACE_AUTHOR_NAME")] if owner]
    at_machine = host in ("127.0.0.1", "localhost", "::1") and "SPACE_ID" not in environ
    default = "maintainer" if at_machine else "visitor" if environ.get("OAUTH_CLIENT_ID") else "annotator"
    role = environ.get("SER_ROLE_WITHOUT_LOGIN") or default
    return Access(frozenset(check_rater(name) for name in named or first), role)


def _require_free(connection: Connection, name: str, key: str, *, trusted: bool) -> None:
    if name.startswith(RESERVED):
        raise NameTakenError(f"Names that begin with '{RESERVED[0]}' are the program's own. Choose another name.")
    owner = _owner(connection, name)
    # A program at one's own machine may vote under the name that the browser there goes by.
    if owner is None or owner == _fingerprint(key) or (not key and trusted):
        return
    raise NameTakenError(
        f"The name '{name}' belongs to somebody else. Choose another one at the top of the page; "
        "if it is yours and this is a new browser, ask a maintainer to release it."
    )


def _owner(connection: Connection, name: str) -> str | None:
    row = connection.execute("SELECT owner FROM rater_names WHERE name = ?", (name,)).fetchone()
    return row["owner"] if row else None


def _granted_role(connection: Connection, name: str) -> str | None:
    row = connection.execute("SELECT role FROM role_grants WHERE name = ? ORDER BY id DESC LIMIT 1", (name,)).fetchone()
    return row["role"] if row else None


def _fingerprint(key: str) -> str:
    return LOGIN if key == LOGIN else hashlib.sha256(key.encode()).hexdigest()
