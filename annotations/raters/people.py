"""Roles, their grants, and names that belong to one key or one login.

Decides and remembers; asks nobody for a password. How a name was proved is the page's affair.
"""

import itertools
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from sqlite3 import Connection

from annotations.raters.names import (
    FREE,
    RESERVED,
    NameTakenError,
    check_new_name,
    comparable_name,
    holder,
    key_owner,
    login_owner,
    move_aside,
    numbered,
    set_owner,
    spelling,
    used_spelling,
)
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


class NotAllowedError(SerError):
    """The person's role does not allow the act."""


@dataclass(frozen=True)
class Person:
    """A person at the page.

    Attributes:
        name: what their votes are stored under.
        role: one of `ROLES`.
        proved: whether a login or a key proves that the name's earlier votes and consents are theirs.
    """

    name: str
    role: str
    proved: bool = field(default=False, compare=False)

    def may(self, act: str) -> bool:
        """True if the role allows it.

        >>> Person("ann", "annotator").may("review stored clips"), Person("ann", "annotator").may("retrain")
        (True, False)
        """
        return ROLES.index(self.role) >= ROLES.index(ACTS[act])

    def require(self, act: str) -> "Person":
        """Return the person if they may do something.

        Raises:
            NotAllowedError: otherwise.
        """
        if self.may(act):
            return self
        if self.role == "visitor":
            raise NotAllowedError(f"Visitors may not {act}: sign in first.")
        raise NotAllowedError(f"{self.name} may not {act}: only a maintainer may. Ask one, or log in as one.")

    def require_proof(self, act: str) -> "Person":
        """The person themselves, if something proves that the name is theirs.

        Raises:
            NotAllowedError: otherwise.
        """
        if self.proved:
            return self
        raise NotAllowedError(
            f"Nothing proves that you are {self.name}, so you may not {act}. Log in, or send the key of that name: the "
            "page keeps its own in the browser, programs get one from /register and send it as the header X-Rater-Key."
        )


@dataclass(frozen=True)
class Access:
    """Rules for giving roles if the store says nothing.

    Attributes:
        maintainers: logins that are maintainers even if the store says otherwise, so that nobody is locked out.
        role_without_login: of people whose name nothing proves.
        declared: whether the operator of the server has chosen that role, so that it holds for a network, too.
    """

    maintainers: frozenset[str] = field(default_factory=frozenset)
    role_without_login: str = "maintainer"
    declared: bool = False

    def __post_init__(self) -> None:
        if self.role_without_login not in ROLES:
            raise SerError(
                f"The role of people without a login is '{self.role_without_login}'; expected one of "
                f"{', '.join(ROLES)}. Correct SER_ROLE_WITHOUT_LOGIN."
            )

    @property
    def trusting(self) -> bool:
        """True if everybody is maintainer: names need no proof then."""
        return self.role_without_login == "maintainer"

    def from_network(self) -> "Access":
        """The rules for a request that did not begin at the machine itself."""
        return replace(self, role_without_login="annotator") if self.trusting and not self.declared else self


def identify(
    store: AnnotationStore, access: Access, name: str, *, login: bool, key: str = "", claim: bool = False
) -> Person:
    """A person with their role.

    A login takes its name even from a key: its owner goes on as `name-2` with all that is theirs, unless the key
    comes with the login.

    Args:
        store: knows which roles were given, and whose a name is.
        access: decides the rest.
        name: as proved by a login, or as typed.
        login: whether a login has proved it.
        key: the secret of the browser or program that a name comes from; empty if it has none.
        claim: whether the name becomes theirs now: at the first vote under it.

    Returns:
        Their name in its one spelling, and their role.

    Raises:
        NameTakenError: if a typed name is another's.
        InvalidVoteError: if a typed name is new and mixes alphabets that look alike.
    """
    name = check_rater(name)
    owner = login_owner(name) if login else key_owner(key) if key else ""
    with store.reading() as connection:
        held = holder(connection, name)
        stranger = login and held is not None and held[1].startswith("key:")
        claims = claim and owner and (held is None or held[1] != owner)
        if not stranger and not claims:
            return _person(connection, access, name, owner)
    with store.database.writing() as connection:
        if stranger:
            move_aside(connection, name, key)
        set_owner(connection, _person(connection, access, name, owner).name, owner)
        return _person(connection, access, name, owner)


def free_name(store: AnnotationStore, access: Access, name: str, key: str) -> str:
    """The name itself if a key may use it, else the first of `name-2`, `name-3`... that it may."""
    with store.reading() as connection:
        for number in itertools.count(1):
            with suppress(NameTakenError):
                return _person(connection, access, numbered(name, number), key_owner(key)).name
    raise AssertionError("There is always a free number.")


def set_role(store: AnnotationStore, name: str, role: str, by: Person) -> None:
    """Give somebody a role; earlier grants stay on record.

    It counts for who has the name now: for the key or the login that claimed it, else for a login of that name alone.

    Raises:
        NotAllowedError: if `by` is no maintainer.
        SerError: if there is no such role.
    """
    by.require("change roles")
    if role not in ROLES:
        raise SerError(f"The role is '{role}'; expected one of {', '.join(ROLES)}.")
    with store.database.writing() as connection:
        spelled, held = spelling(connection, name), holder(connection, name)
        owner = held[1] if held and held[1] != FREE else None
        row = {"name": spelled, "folded": comparable_name(spelled), "owner": owner, "role": role}
        insert_row(connection, "role_grants", **row, granted_by=by.name, created_at=timestamp())


def list_people(store: AnnotationStore, access: Access) -> list[Person]:
    """List everybody who has a name here: by a role, by a claim or by a vote; in alphabetical order."""
    with store.reading() as connection:
        names = connection.execute(
            "SELECT name FROM role_grants UNION SELECT name FROM rater_names "
            "UNION SELECT DISTINCT rater FROM corrections"
        )
        found = {}
        for (name,) in names.fetchall():
            held = holder(connection, name)
            by_login = held is not None and held[1] == login_owner(name)
            given = _granted_role(connection, name, held[1] if held else login_owner(name))
            found[name] = given or ("annotator" if by_login else access.role_without_login)
    found |= dict.fromkeys(access.maintainers, "maintainer")
    people = [Person(name, role) for name, role in found.items() if not name.startswith(RESERVED)]
    return sorted(people, key=lambda person: person.name.casefold())


def access_from(environ: Mapping[str, str], *, host: str, logins: Iterable[str], proxy: bool = False) -> Access:
    """Read the rules for roles from the environment of this server.

    `SER_MAINTAINERS` names logins, with commas. Without it the first maintainer is the first of the login list, or
    the owner of the Space. `SER_ROLE_WITHOUT_LOGIN` says the role of people without a login; by default somebody
    at the machine itself is maintainer, and people from a network are annotators, or visitors where they
    could sign in.

    Args:
        environ: the environment.
        host: that the page listens on.
        logins: names of the login list, in order.
        proxy: whether a reverse proxy passes requests on: nobody is known to be at the machine itself then.

    Raises:
        SerError: if a role is none.

    >>> access_from({}, host="127.0.0.1", logins=()).role_without_login
    'maintainer'
    >>> access_from({}, host="0.0.0.0", logins=["ann", "bob"])
    Access(maintainers=frozenset({'ann'}), role_without_login='annotator', declared=False)
    """
    named = [name.strip() for name in environ.get("SER_MAINTAINERS", "").split(",") if name.strip()]
    first = list(logins)[:1] or [owner for owner in [environ.get("SPACE_AUTHOR_NAME")] if owner]
    at_machine = host in ("127.0.0.1", "localhost", "::1") and not proxy and "SPACE_ID" not in environ
    default = "maintainer" if at_machine else "visitor" if environ.get("OAUTH_CLIENT_ID") else "annotator"
    declared = environ.get("SER_ROLE_WITHOUT_LOGIN")
    return Access(frozenset(check_rater(name) for name in named or first), declared or default, bool(declared))


def _person(connection: Connection, access: Access, name: str, owner: str) -> Person:
    """The person of a name and of what proves it: an owner, or the empty text."""
    login = owner.startswith("login:")
    held, folded = holder(connection, name), comparable_name(name)
    if held is None:
        spelled = used_spelling(connection, name)
        # Votes that came with no key are nobody's: a key that asks for them proves nothing.
        free = spelled is None or login or not owner or access.trusting
        name = (name if login else check_new_name(name)) if spelled is None else spelled
    else:
        name = held[0]
        # A program at one's own machine may vote under the name that the browser there goes by.
        free = held[1] in (owner, FREE) or login or (not owner and access.trusting)
    if not login and folded.startswith(RESERVED):
        raise NameTakenError(f"Names that begin with '{RESERVED[0]}' are the program's own. Choose another name.")
    if not free:
        raise NameTakenError(
            f"The name '{name}' belongs to somebody else. Choose another one at the top of the page; "
            "if it is yours and this is a new browser, ask a maintainer to release it."
        )
    proved = login or access.trusting or (held is not None and held[1] == owner)
    if login and folded in map(comparable_name, access.maintainers):
        return Person(name, "maintainer", proved)
    given = _granted_role(connection, name, owner) if proved and owner else None
    return Person(name, given or ("annotator" if login else access.role_without_login), proved)


def _granted_role(connection: Connection, name: str, owner: str) -> str | None:
    row = connection.execute(
        "SELECT role FROM role_grants WHERE folded = ? AND (owner = ? OR (owner IS NULL AND ?)) "
        "ORDER BY id DESC LIMIT 1",
        (comparable_name(name), owner, owner.startswith("login:")),
    ).fetchone()
    return row["role"] if row else None
