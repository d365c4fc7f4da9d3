"""Connections, transactions and locks of the SQLite file, and its errors in plain sentences.

Opens and migrates the file; knows no table.
"""

import errno
import importlib
import pkgutil
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from sqlite_utils import Database

from annotations.errors import StoreError
from annotations.store import migrations
from annotations.store.migrations import MIGRATIONS

JOURNAL_MODES = ("wal", "delete", "truncate", "persist")
"""WAL is quickest; the others are for network disks, which lack the shared memory that WAL needs."""

BUSY_TIMEOUT = 30.0
"""Seconds that a writer waits for others."""

RETRY_MS = (0.5, 3.0)
"""Shortest and longest pause before the next attempt to write. SQLite's own pauses grow to 100 ms, so that who waited
longest asks least often; with 20 annotators voting without a pause, one of them waited 3 s."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


class StoreDatabase:
    """A SQLite file that many threads and processes write to.

    A connection is opened for each operation: a connection belongs to one thread, and the page runs its
    handlers on many. Each commit is forced to the disk before it returns.

    Args:
        path: the database file; made if it is missing.
        journal_mode: one of `JOURNAL_MODES`.

    Raises:
        StoreError: if the file cannot be opened, is no database, or was written by newer code.
    """

    def __init__(self, path: Path, journal_mode: str = "wal") -> None:
        if journal_mode not in JOURNAL_MODES:
            raise StoreError(f"journal_mode is '{journal_mode}'; expected one of {', '.join(JOURNAL_MODES)}.")
        self.path = path
        self.journal_mode = journal_mode
        self._keeper: sqlite3.Connection | None = None
        # Threads of one process queue here, so that only one of them contends with other processes.
        self._turn = threading.Lock()
        with self.plain_errors():
            self._open()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the database throughout, even while others write."""
        with self.plain_errors():
            connection = self._connect()
            try:
                connection.execute("PRAGMA query_only = ON")
                connection.execute("BEGIN")
                yield connection
            finally:
                connection.close()

    @contextmanager
    def writing(self, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Open a transaction that excludes other writers; it is on the disk once the block is left, or undone wholly.

        Args:
            durable: False where it does not matter if a power loss takes the transaction back; it then need not wait
                for the disk. A killed process takes nothing back.

        It takes the write lock at its start (`BEGIN IMMEDIATE`): a transaction that reads first and asks for
        the lock later fails at once where another has written in between, however long the timeout.
        """
        with self.plain_errors():
            connection = self._connect()
            if not durable and self.journal_mode == "wal":
                connection.execute("PRAGMA synchronous = NORMAL")
            end = time.monotonic() + BUSY_TIMEOUT
            held = self._turn.acquire(timeout=BUSY_TIMEOUT)
            try:
                _begin_writing(connection, end)
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            finally:
                if held:
                    self._turn.release()
                connection.close()

    def vacuum_into(self, target: Path) -> None:
        """Write a consistent copy as one compact file; `target` must not exist."""
        with self.plain_errors():
            connection = self._connect()
            try:
                connection.execute("VACUUM INTO ?", (str(target),))
            finally:
                connection.close()

    def compact(self) -> bool:
        """Write the database anew without its free pages, and empty the log: nothing deleted is left in either.

        Returns:
            Whether the log could be emptied; False if somebody kept reading an older state meanwhile.
        """
        with self.plain_errors():
            connection = self._connect()
            try:
                connection.execute("PRAGMA secure_delete = ON")
                connection.execute("VACUUM")
                return bool(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
            finally:
                connection.close()

    def problems(self) -> list[str]:
        """Run SQLite's integrity and foreign key checks; empty if all is well."""
        with self.plain_errors():
            connection = self._connect()
            try:
                found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
                broken = connection.execute("PRAGMA foreign_key_check").fetchall()
            finally:
                connection.close()
        rows = [f"row {row['rowid']} of {row['table']} points at nothing in {row['parent']}" for row in broken]
        return [text for text in found if text != "ok"] + rows

    def close(self) -> None:
        """Let go of the file. Operations after it still work, at the price of opening the journal anew."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    @contextmanager
    def plain_errors(self) -> Iterator[None]:
        """Turn errors of SQLite and of the operating system into `StoreError`."""
        try:
            with plain_os_errors(self.path.parent):
                yield
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.ProgrammingError):  # A mistake in this code, not in the world.
                raise
            raise StoreError(explain_sqlite(error, self.path)) from error
        except OverflowError as error:
            raise StoreError("A number is larger than any the store can hold: nothing was done. Correct it.") from error

    def _connect(self) -> sqlite3.Connection:
        # isolation_level None: transactions begin where the code says so, never by themselves.
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        # With WAL, FULL syncs the log at every commit. Without WAL only EXTRA also syncs the folder that the
        # journal is deleted from. Source: https://www.sqlite.org/pragma.html#pragma_synchronous
        connection.execute(f"PRAGMA synchronous = {'FULL' if self.journal_mode == 'wal' else 'EXTRA'}")
        return connection

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Migrations of two processes at once would fail on each other.
            with FileLock(f"{self.path}.lock", timeout=2 * BUSY_TIMEOUT):
                connection = self._connect()
                self._prepare(connection)
        except Timeout as error:
            raise StoreError(
                f"Another process has been opening the store at {self.path} for {2 * BUSY_TIMEOUT:.0f} s. "
                "Stop it and start again."
            ) from error
        # The last connection to leave a WAL database folds the log back into the file and deletes it, and the
        # next one makes it anew. One idle connection held open keeps that off every single operation.
        self._keeper = connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        try:
            newer = newer_migrations(connection)
            if newer:
                raise StoreError(
                    f"The store at {self.path} was written by a newer version of this program ({', '.join(newer)}); "
                    "this version cannot read it safely. Update the program."
                )
            mode = connection.execute(f"PRAGMA journal_mode = {self.journal_mode}").fetchone()[0]
            if mode != self.journal_mode:
                raise StoreError(
                    f"The disk that holds {self.path} does not support journal mode '{self.journal_mode}' (it stays "
                    f"'{mode}'). Use a local disk, or journal mode 'delete'."
                )
            migrate(connection)
        except BaseException:
            connection.close()
            raise


def _begin_writing(connection: sqlite3.Connection, end: float) -> None:
    """Take the write lock, asking at short random intervals until the moment `end` of the monotonic clock."""
    connection.execute("PRAGMA busy_timeout = 0")
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(random.uniform(*RETRY_MS) / 1000)
    # A commit outside of WAL waits for readers.
    connection.execute(f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT * 1000)}")


@contextmanager
def plain_os_errors(folder: Path) -> Iterator[None]:
    """Turn errors of the operating system, met while writing to a folder, into `StoreError`."""
    try:
        yield
    except OSError as error:
        raise StoreError(explain_os(error, folder)) from error


def explain_sqlite(error: sqlite3.Error, path: Path) -> str:
    """Say what a database error means and what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return f"The disk is full: nothing was saved to {path}. Free some space and save again."
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"The store at {path} cannot be opened for writing ({error}). Check the folder and its permissions."
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"Another process kept the store at {path} busy for {BUSY_TIMEOUT:.0f} s: nothing was saved. Save again."
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return f"{path} is damaged or no database ({error}). Put a snapshot of it in its place."
    if code == sqlite3.SQLITE_IOERR:
        return f"The disk failed under {path} ({error}): nothing was saved. Check the disk and its free space."
    return f"The store at {path} refused the operation ({error}): nothing was saved."


def explain_os(error: OSError, folder: Path) -> str:
    """Say what an error of the file system means and what to do."""
    if error.errno in _FULL:
        return f"The disk is full: nothing was saved to {folder}. Free some space and save again."
    if error.errno in _FORBIDDEN:
        return f"The folder {folder} cannot be written to ({error.strerror}). Check its permissions, or choose another."
    return f"The folder {folder} cannot be used ({error.strerror or error}). Check the path, or choose another."


for _name in sorted(module.name for module in pkgutil.iter_modules(migrations.__path__)):
    importlib.import_module(f"{migrations.__name__}.{_name}")


def newer_migrations(connection: sqlite3.Connection) -> list[str]:
    """Names of applied migrations that this code does not know: the database was written by newer code."""
    # A blank database has everything pending: that is the way to ask for all names this code knows.
    known = {migration.name for migration in MIGRATIONS.pending(Database(memory=True))}
    return sorted({migration.name for migration in MIGRATIONS.applied(Database(connection))} - known)


def migrate(connection: sqlite3.Connection) -> None:
    """Apply what is pending, each migration in a transaction of its own. The caller holds the file lock."""
    MIGRATIONS.apply(Database(connection))
