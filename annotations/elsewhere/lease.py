"""The right to write to a store elsewhere: one program at a time has it, named in a file there."""

import json
import os
import socket
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from annotations.elsewhere.places import Place
from annotations.errors import TakenOverError
from annotations.store.rows import timestamp

WRITER = "writer.json"

LEASE = timedelta(minutes=15)
"""After this time without a sign of life a writer on another machine counts as gone."""

HEARTBEAT = 300.0
"""Seconds between signs of life where there is nothing to save."""


@dataclass(frozen=True)
class Writer:
    """A program that writes to a store elsewhere.

    Attributes:
        disk: of its data.
        who: the Space, or the machine and the folder.
        host: its machine.
        pid: its process there.
        started: when that process began, seconds since 1970: numbers of processes are given again.
        at: its last sign of life, ISO 8601, UTC.
        released: whether it has left.
    """

    disk: str
    who: str
    host: str
    pid: int
    started: float
    at: str
    released: bool = False

    def as_bytes(self) -> bytes:
        """The content of its file."""
        return json.dumps(asdict(self)).encode()


def own_writer(disk: str, data_dir: Path, *, released: bool = False) -> Writer:
    """Describe this process."""
    host = socket.gethostname()
    who = f"the Space {os.environ['SPACE_ID']}" if os.environ.get("SPACE_ID") else f"{host}:{data_dir.absolute()}"
    process = psutil.Process()
    return Writer(disk, who, host, process.pid, process.create_time(), timestamp(), released)


def read_writer(place: Place) -> Writer | None:
    """The program that holds a store elsewhere, or held it last."""
    content = place.read(WRITER)
    if content is None:
        return None
    try:
        known = {field.name for field in fields(Writer)}
        return Writer(**{name: value for name, value in json.loads(content).items() if name in known})
    except (ValueError, TypeError, AttributeError):
        # Nobody can hold a store with a file that nobody can read.
        return None


def require_free(place: Place, writer: Writer | None, me: Writer) -> None:
    """Refuse to share a store elsewhere.

    A new container of the same Space takes it over at once, as does a program on the machine whose writer is dead;
    the one before finds out before its next save.

    Raises:
        TakenOverError: if another program may be writing to it.
    """
    if writer is None or writer.released:
        return
    same_machine = writer.host == me.host
    if same_machine:
        if not _is_alive(writer) or (writer.pid, writer.started) == (me.pid, me.started):
            return
    elif writer.who == me.who:
        return
    until = datetime.fromisoformat(writer.at) + LEASE
    if not same_machine and datetime.now(UTC) > until:
        return
    where = f"process {writer.pid} of this machine" if same_machine else writer.who
    wait = "" if same_machine else f" If it is gone for good, this store is free from {until:%Y-%m-%d %H:%M} UTC on."
    raise TakenOverError(
        f"The store at {place.url} belongs to {where}, which last wrote at {writer.at[:19]} UTC. Two programs must not "
        f"write to one store: stop the other one, or name another store.{wait}"
    )


def require_mine(place: Place, disk: str) -> None:
    """Make sure that nobody has taken a store over.

    Raises:
        TakenOverError: if somebody has.
    """
    writer = read_writer(place)
    if writer is not None and writer.disk != disk:
        raise TakenOverError(
            f"{writer.who} has taken over the store at {place.url} ({writer.at[:19]} UTC): nothing more is saved from "
            "here. Stop one of the two programs."
        )


def _is_alive(writer: Writer) -> bool:
    try:
        return abs(psutil.Process(writer.pid).create_time() - writer.started) < 1.0
    except psutil.Error:
        return False
