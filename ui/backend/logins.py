"""Logins: the list of names and hashed passwords, delays after failures, and the sessions that begin with them."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from fastapi import HTTPException

from annotations.raters.names import comparable_name
from ser.errors import SettingsError
from ui.backend.limits import ADDRESS

log = logging.getLogger("page")

FREE_FAILURES = {"name": 3, "address": 10}
"""Failures without a delay: of one name from one address, and of one address under any names."""

LONGEST_DELAY = 900.0
FORGOTTEN = 3600.0
"""Seconds without a failure after which the earlier ones no longer count."""

REMEMBERED = 10_000

SESSION_SECONDS = 12 * 3600.0
"""A login lasts for a day's work."""

HASHER = PasswordHasher()


def read_auth_file(path: Path) -> dict[str, str]:
    """Read `name:hash` lines; empty ones and those that start with # do not count.

    Returns:
        {name: argon2 hash}, in the order of the lines.

    Raises:
        SettingsError: if the file cannot be read, a line is of another form, or a password is not hashed.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The login file {path} cannot be read ({error}). Name a text file of name:hash lines."
        ) from error
    logins: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, hashed = (part.strip() for part in line.partition(":"))
        if not name or not hashed:
            raise SettingsError(f"Line {number} of {path} is no name:hash. Correct it, or start it with #.")
        if not is_hash(hashed):
            raise SettingsError(
                f"Line {number} of {path} has the password of {name} in plain text. Run `ser-studio hash-password "
                f"{name}` (or `python app.py hash-password {name}`) and put the line that it prints in its place."
            )
        if comparable_name(name) in map(comparable_name, logins):
            raise SettingsError(f"Line {number} of {path} names {name} again. Names are compared without case.")
        logins[name] = hashed
    if not logins:
        raise SettingsError(f"The login file {path} names nobody. Add a line name:hash.")
    return logins


def is_hash(text: str) -> bool:
    """True for an argon2 hash in its usual form."""
    try:
        HASHER.check_needs_rehash(text)
    except InvalidHashError:
        return False
    return True


def hash_line(name: str, password: str) -> str:
    """The line of the login file for a name and a password."""
    if len(password) < 8:
        raise SettingsError("The password has fewer than 8 characters. Choose a longer one.")
    return f"{name}:{HASHER.hash(password)}"


@dataclass
class Failures:
    """Failed logins in a row.

    Attributes:
        count: how many.
        last: when the last one was.
        until: when the next one may be tried.
    """

    count: int = 0
    last: float = 0.0
    until: float = 0.0


class Logins:
    """Checks passwords.

    Args:
        hashes: {name: argon2 hash}.
        clock: seconds.
    """

    def __init__(self, hashes: dict[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        self._hashes = hashes
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], Failures] = OrderedDict()
        # Each check takes 64 MB and tens of milliseconds on purpose: strangers may not ask for many at once.
        self._turns = asyncio.Semaphore(2)
        self._unknown = HASHER.hash("nobody has this password")

    async def check(self, name: str, password: str) -> bool:
        """Tell if a password is right.

        Raises:
            HTTPException: with a sentence, if too many logins have failed and it is too early for another.
        """
        address = ADDRESS.get()
        keys = [("name", f"{address} {name}"), ("address", address)]
        wait = max(self._seen(key).until for key in keys) - self._clock()
        if wait > 0:
            raise HTTPException(
                # Gradio's form is silent at 429; at 400 it says that the login has failed.
                400,
                f"Too many logins have failed. Try again in {wait:.0f} s." if wait >= 1 else "Try again in a second.",
                {"Retry-After": f"{wait + 1:.0f}"},
            )
        # A failure is counted before it is known to be one, so that tries at the same time do not slip past.
        for key in keys:
            self._fail(key)
        async with self._turns:
            right = await asyncio.to_thread(_verify, self._hashes.get(name, self._unknown), password)
        if right and name in self._hashes:
            for key in keys:
                self._failures.pop(key, None)
            return True
        log.warning("A login failed from %s, the %d. in a row.", address, self._seen(keys[1]).count)
        return False

    def _seen(self, key: tuple[str, str]) -> Failures:
        found = self._failures.get(key, Failures())
        return found if self._clock() - found.last < FORGOTTEN else Failures()

    def _fail(self, key: tuple[str, str]) -> None:
        found, now = self._seen(key), self._clock()
        beyond = found.count + 1 - FREE_FAILURES[key[0]]
        delay = min(2.0 ** min(beyond, 20), LONGEST_DELAY) if beyond >= 0 else 0.0
        self._failures[key] = Failures(found.count + 1, now, now + delay)
        self._failures.move_to_end(key)
        while len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)


class Sessions(dict[str, str]):
    """Tokens of logins as Gradio keeps them, {token: name}; each is forgotten after a while.

    Args:
        seconds: that a login lasts.
        clock: seconds.
    """

    def __init__(self, seconds: float = SESSION_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._ends: dict[str, float] = {}

    def __setitem__(self, token: str, name: str) -> None:
        """Begin a session; those that are over go."""
        for old in [old for old, end in self._ends.items() if end <= self._clock()]:
            self._ends.pop(old, None)
            self.pop(old, None)
        self._ends[token] = self._clock() + self._seconds
        super().__setitem__(token, name)

    def get(self, token: str, default: str | None = None) -> str | None:  # type: ignore[override]
        """The name of a session; None if there is none, or it is over."""
        return super().get(token, default) if self._ends.get(token, 0.0) > self._clock() else default


def _verify(hashed: str, password: str) -> bool:
    try:
        return HASHER.verify(hashed, password)
    except VerificationError:
        return False
