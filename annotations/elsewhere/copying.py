"""Copies a store to its place elsewhere: fragments of the journal, snapshots, recordings, folders of model versions.

One `Copier` belongs to one thread; when it acts is the business of `saver`.
"""

import io
import os
import sqlite3
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from annotations.elsewhere import journal
from annotations.elsewhere.layout import (
    FRAGMENTS,
    MODELS,
    SNAPSHOTS,
    STORE,
    begin_store,
    entry_name,
    list_entries,
    list_folders,
    read_manifest,
)
from annotations.elsewhere.lease import WRITER, own_writer, read_writer, require_free, require_mine
from annotations.elsewhere.places import Content, Place
from annotations.errors import MovedOnError, StoreError
from annotations.maintenance.erasure.traces import scrub
from annotations.store import AnnotationStore
from annotations.store.media import FOLDER, TEMPORARY, media_path
from annotations.store.rows import timestamp

MANY = 20_000
"""Changes that make a snapshot cheaper than a fragment, which is held in memory."""

BATCH = 500
"""Recordings that are put at once."""


class Copier:
    """Keeps a place elsewhere up to date with a store.

    Args:
        store: to copy; others may write to it meanwhile.
        place: where to.

    Attributes:
        files: {path: bytes} of what lies there.
    """

    def __init__(self, store: AnnotationStore, place: Place) -> None:
        self.store = store
        self.place = place
        self.files: dict[str, int] = {}
        self._sent: dict[str, tuple[int, int]] = {}
        self._disk = ""

    def join(self) -> None:
        """Begin to write there, as the only one; from now on the journal notes each change.

        Raises:
            TakenOverError: if another program writes there.
            ElsewhereError: if the place is out of reach.
            StoreError: if it holds another store or a newer state of this one.
        """
        self.place.open()
        with self.store.reading() as connection:
            state = journal.read_state(connection)
        there = read_manifest(self.place)
        before = read_writer(self.place)
        disk = state.get("disk") or journal.new_id()
        require_free(self.place, before, own_writer(disk, self.store.data_dir))
        self.files = self.place.files()
        first: dict[str, Content] = {}
        if there is None:
            first = self._begin(state)
        elif there == state.get("backup") and {e.disk for e in list_entries(self.files)} == {state.get("backup_disk")}:
            # What was backed up by hand goes on by itself.
            self._set_state(store=there, last=None, due="1")
        elif there != state.get("store"):
            raise StoreError(
                f"{self.place.url} holds another store than {self.store.data_dir}. Name another place, or restore from "
                "there into an empty folder: python -m annotations --data-dir NEW restore URL."
            )
        elif before is not None and before.disk != disk:
            self._require_nothing_newer(state)
        journal.begin_journal(self.store)
        self._set_state(disk=disk, url=self.place.url)
        self._disk = disk
        self.place.apply({**first, WRITER: own_writer(disk, self.store.data_dir).as_bytes()}, [], "A writer comes")
        self.files |= dict.fromkeys(first, 0)

    def _begin(self, state: Mapping[str, str]) -> dict[str, Content]:
        if any(path.startswith((f"{SNAPSHOTS}/", f"{FRAGMENTS}/")) for path in self.files):
            raise StoreError(f"{self.place.url} holds parts of a store, but no {STORE}. Name another place.")
        if state.get("store") and state.get("url") == self.place.url:
            raise StoreError(
                f"{self.place.url} is empty, though the store in {self.store.data_dir} was saved there before. Check "
                "that its disk is mounted; to begin anew, name another place."
            )
        store_id = journal.new_id()
        self._set_state(store=store_id, last=None, due="1")
        return begin_store(store_id)

    def _require_nothing_newer(self, state: Mapping[str, str]) -> None:
        """Refuse to go on from an old disk where another one went on since."""
        newest = max(list_entries(self.files), default=None)
        if newest is not None and newest.name != state.get("last") and newest.disk != state.get("disk"):
            raise StoreError(
                f"The store at {self.place.url} was continued from another disk than {self.store.data_dir}, which has "
                "an older state. Start on an empty data folder to take up the newer one; this one stays as it is."
            )

    def save(self, *, snapshot: bool = False) -> str | None:
        """Save what has changed.

        Args:
            snapshot: save the whole database, and remove what it makes needless.

        Returns:
            `SNAPSHOTS` or `FRAGMENTS`: what was saved; None if there was nothing to save, or it calls for another try.
        """
        with self.store.reading() as connection:
            state, waiting = journal.read_state(connection), journal.count_waiting(connection)
            erased = journal.holds_erasure(connection)
        if state.get("forget") and not erased:
            self._forget()
        if erased or state.get("due") or snapshot or waiting > MANY:
            self._save_snapshot(erased)
            return SNAPSHOTS
        return FRAGMENTS if waiting and self._save_fragment(state) else None

    def greet(self) -> None:
        """Give a sign of life."""
        self._apply({}, [], "Still here")

    def leave(self) -> None:
        """Let go of the place."""
        require_mine(self.place, self._disk)
        me = own_writer(self._disk, self.store.data_dir, released=True)
        self.place.apply({WRITER: me.as_bytes()}, [], "The writer leaves")

    def fragments(self) -> int:
        """Count the fragments that lie there."""
        return sum(not entry.is_snapshot for entry in list_entries(self.files))

    def _save_fragment(self, state: Mapping[str, str]) -> bool:
        text = io.StringIO()
        with self.store.reading() as connection:
            if journal.holds_erasure(connection):  # It came just now, and calls for a snapshot.
                return False
            until = journal.position(connection)
            head = {"after": state.get("last"), "position": until, "disk": self._disk, "at": timestamp()}
            recordings = journal.write_fragment(connection, text, head)
            versions = list_folders(connection)
        entry = entry_name(until, self._disk)
        self._put_recordings(recordings)
        content = {**self._version_files(versions), f"{FRAGMENTS}/{entry}.jsonl": text.getvalue().encode()}
        self._apply(content, [], f"Changes to {until}")
        self._settle(until, last=entry)
        return True

    def _save_snapshot(self, erased: bool) -> None:
        if erased:
            # What was noted of the erased rows goes first: their keys must be in no copy.
            with self.store.database.writing() as connection:
                journal.forget_changes(connection, journal.position(connection))
                journal.set_state(connection, due="1")
            scrub(self.store.database)
        self._set_state(forget="1")
        until, name = self._put_snapshot()
        self._settle(until, last=name, due=None)
        self._forget()

    def back_up(self, *, overwrite: bool = False) -> None:
        """Put a snapshot with all that belongs to it at a place that this store is not saved to in the background.

        Args:
            overwrite: replace another store that lies there.

        Raises:
            TakenOverError: if another program writes there.
            ElsewhereError: if the place is out of reach.
            StoreError: if it holds another store.
        """
        self.place.open()
        there = read_manifest(self.place)
        with self.store.reading() as connection:
            state = journal.read_state(connection)
        if there is not None and there not in (state.get("store"), state.get("backup")) and not overwrite:
            raise StoreError(
                f"{self.place.url} holds another store than {self.store.data_dir}. Name another place, or say "
                "--overwrite to replace what is there."
            )
        self._disk = journal.new_id()
        require_free(self.place, read_writer(self.place), own_writer(self._disk, self.store.data_dir))
        store_id = state.get("backup") or journal.new_id()
        self._set_state(backup=store_id, backup_disk=self._disk)
        self.files = self.place.files()
        first = {**begin_store(store_id), WRITER: own_writer(self._disk, self.store.data_dir).as_bytes()}
        self.place.apply(first, [], "A backup begins")
        self._put_snapshot(after=max((entry.position for entry in list_entries(self.files)), default=-1))
        self.place.forget()
        self.leave()

    def _put_snapshot(self, after: int = -1) -> tuple[int, str]:
        """Put a copy of the database there, with what it names; remove all else.

        Returns:
            The number of the last change in it, and its name.
        """
        with self._copied_database() as path, closing(_read_only(path)) as connection:
            until = journal.position(connection)
            recordings = [row["sha256"] for row in connection.execute("SELECT sha256 FROM clips ORDER BY id")]
            versions = list_folders(connection)
            name = entry_name(max(until, after + 1), self._disk)
            target = f"{SNAPSHOTS}/{name}.db"
            self._put_recordings(recordings)
            gone = self._needless(target, set(recordings), versions)
            self._apply({**self._version_files(versions), target: path}, gone, f"Snapshot at {until}")
        return until, name

    def _needless(self, snapshot: str, recordings: set[str], versions: Mapping[str, bool]) -> list[str]:
        """List what a snapshot makes needless, and what no row names any more: there it is erased."""
        kept = {str(media_path(sha256)) for sha256 in recordings}
        gone = [entry.path for entry in list_entries(self.files) if entry.path != snapshot]
        for path in self.files:
            if path.startswith(f"{FOLDER}/") and path not in kept:
                gone.append(path)
            elif path.startswith(f"{MODELS}/"):
                folder = "/".join(path.split("/")[:2])
                # Only what was removed on purpose: a file that a broken disk has lost is what this place is for.
                if not versions.get(folder, False) and not (self.store.data_dir / path).is_file():
                    gone.append(path)
        return gone

    def _put_recordings(self, hashes: Sequence[str]) -> None:
        paths = (str(media_path(sha256)) for sha256 in hashes)
        missing = [path for path in paths if path not in self.files and (self.store.data_dir / path).is_file()]
        for first in range(0, len(missing), BATCH):
            batch = missing[first : first + BATCH]
            self._apply(
                {path: self.store.data_dir / path for path in batch},
                [],
                f"{len(batch)} recording{'' if len(batch) == 1 else 's'}",
            )

    def _version_files(self, folders: Mapping[str, bool]) -> dict[str, Content]:
        """Files of versions' folders that are not there yet, or were written since."""
        found: dict[str, Content] = {}
        for folder in folders:
            for path in sorted((self.store.data_dir / folder).rglob("*")):
                name, stat = path.relative_to(self.store.data_dir).as_posix(), path.stat()
                if not path.is_file():
                    continue
                stamp = (stat.st_size, stat.st_mtime_ns)
                if self.files.get(name) != stat.st_size or self._sent.setdefault(name, stamp) != stamp:
                    found[name] = path
        return found

    def _apply(self, put: Mapping[str, Content], delete: Sequence[str], message: str) -> None:
        if not self.place.guarded:
            require_mine(self.place, self._disk)
        sizes = {path: len(content) if isinstance(content, bytes) else content.stat() for path, content in put.items()}
        me = own_writer(self._disk, self.store.data_dir)
        try:
            self.place.apply({**put, WRITER: me.as_bytes()}, delete, message)
        except MovedOnError:
            require_mine(self.place, self._disk)
            self.files = self.place.files()
            raise
        for path, size in sizes.items():
            if isinstance(size, os.stat_result):
                self._sent[path] = (size.st_size, size.st_mtime_ns)
            self.files[path] = size.st_size if isinstance(size, os.stat_result) else size
        for path in delete:
            self.files.pop(path, None)

    def _settle(self, until: int, **state: str | None) -> None:
        """Note that everything up to a change is saved."""
        with self.store.database.writing(durable=False) as connection:
            journal.forget_changes(connection, until)
            journal.set_state(connection, **state)

    def _set_state(self, **state: str | None) -> None:
        with self.store.database.writing() as connection:
            journal.set_state(connection, **state)

    def _forget(self) -> None:
        self.place.forget()
        self._set_state(forget=None)

    @contextmanager
    def _copied_database(self) -> Iterator[Path]:
        # In the store's folder, where an erasure that comes meanwhile finds it.
        path = self.store.data_dir / f"{TEMPORARY}{os.getpid()}-{uuid.uuid4().hex}.db"
        try:
            yield self.store.snapshot(path)
        finally:
            path.unlink(missing_ok=True)


def _read_only(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    return connection
