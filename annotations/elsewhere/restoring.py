"""Rebuilds a store on an empty disk from its place elsewhere: snapshot, fragments after it, recordings, versions."""

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

from annotations.elsewhere import journal
from annotations.elsewhere.layout import MODELS, Entry, is_recording, list_entries, list_folders, read_manifest
from annotations.elsewhere.lease import WRITER, own_writer, read_writer, require_free
from annotations.elsewhere.places import Place
from annotations.errors import StoreError
from annotations.store import DATABASE, AnnotationStore
from annotations.store.database import plain_os_errors
from annotations.store.media import media_path

DOWNLOADS = 8
"""Files that are fetched at a time."""

UNFINISHED = ".tmp-restored.db"
"""The database until it is whole; a store is there only once all of it is."""


@dataclass
class RestoreReport:
    """Outcome of a restoration.

    Attributes:
        clips: rows of clips.
        recordings: files of clips that are there.
        votes: stored, those taken back included.
        versions: folders of model versions.
        fragments: replayed on top of the snapshot.
        missing: recordings that rows name and that are not there, and files that could not be fetched.
        left_out: fragments that could not be replayed.
        stray: fragments of another writer that were not part of this store's line.
    """

    clips: int = 0
    recordings: int = 0
    votes: int = 0
    versions: int = 0
    fragments: int = 0
    missing: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """True if nothing is missing."""
        return not self.missing and not self.left_out

    def as_dict(self) -> dict[str, object]:
        """Convert to JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Describe it for people, a sentence a line."""
        lines = [
            f"Restored: clips {self.clips}, recordings {self.recordings}, votes {self.votes}, model versions "
            f"{self.versions}; fragments after the snapshot: {self.fragments}."
        ]
        lines += [f"Not there: {path}" for path in self.missing]
        lines += [f"Not replayed: {reason}" for reason in self.left_out]
        return lines + [f"Passed over, as another program wrote it meanwhile: {path}" for path in self.stray]


def is_empty(data_dir: Path) -> bool:
    """Tell if a folder holds no store."""
    return not (data_dir / DATABASE).is_file()


def is_in_use(data_dir: Path) -> bool:
    """Tell if a folder holds anything but what a restoration left when it was interrupted."""
    return data_dir.is_dir() and any(data_dir.iterdir()) and not (data_dir / UNFINISHED).is_file()


def holds_store(place: Place) -> bool:
    """Tell if there is anything to restore at a place."""
    place.open()
    return read_manifest(place) is not None


def take_over(place: Place, data_dir: Path, *, say: Callable[[str], None] = print) -> RestoreReport:
    """Rebuild a store for a program that goes on writing to the same place; nobody else may from now on.

    Raises:
        TakenOverError: if another program writes there.
        ElsewhereError: if the place is out of reach.
        StoreError: if something in it is damaged, or the folder cannot be written to.
    """
    disk = journal.new_id()
    me = own_writer(disk, data_dir)
    before = read_writer(place)
    require_free(place, before, me)
    place.files()
    place.apply({WRITER: me.as_bytes()}, [], "A writer comes to an empty disk")
    return restore(place, data_dir, disk=disk, line_of=before.disk if before else None, say=say)


def restore(
    place: Place,
    data_dir: Path,
    *,
    disk: str | None = None,
    line_of: str | None = None,
    partial: bool = False,
    say: Callable[[str], None] = print,
) -> RestoreReport:
    """Rebuild a store in a folder that holds none.

    Args:
        place: where it was saved.
        data_dir: the folder; made if it is missing.
        disk: under which this folder goes on writing to the place; None for a copy that does not.
        line_of: the writer to follow where two have written.
        partial: leave out what is damaged, and say so, in place of refusing.
        say: is told about the steps.

    Raises:
        ElsewhereError: if the place is out of reach.
        StoreError: if it holds no store, something in it is damaged, or the folder cannot be written to.
    """
    store_id = read_manifest(place)
    files = place.files()
    snapshot = max((entry for entry in list_entries(files) if entry.is_snapshot), default=None)
    if store_id is None or snapshot is None:
        raise StoreError(f"There is no store at {place.url}. Check the address.")
    report = RestoreReport()
    with plain_os_errors(data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
        unfinished = data_dir / UNFINISHED
        unfinished.unlink(missing_ok=True)
        say(f"Restoring the store from {place.url} ...")
        place.download(snapshot.path, unfinished)
        last = _replay(place, unfinished, snapshot, files, line_of, partial, report)
        with closing(_connect(unfinished)) as connection:
            _require_sound(connection, snapshot)
            hashes = [row["sha256"] for row in connection.execute("SELECT sha256 FROM clips ORDER BY id")]
            folders = list_folders(connection)
            report.clips = len(hashes)
            report.votes = connection.execute("SELECT count(*) FROM corrections").fetchone()[0]
            _settle(connection, store_id, disk, last, place.url)
        recordings = [str(media_path(sha256)) for sha256 in hashes]
        report.missing += [path for path in recordings if path not in files]
        _fetch(place, data_dir, [path for path in recordings if path in files], files, report, say)
        models = [path for path in files if path.startswith(f"{MODELS}/") and "/".join(path.split("/")[:2]) in folders]
        _fetch(place, data_dir, models, files, report, say)
        report.versions = sum((data_dir / folder).is_dir() for folder in folders)
        if not partial:
            _require_all(report, place)
        os.replace(unfinished, data_dir / DATABASE)
    # Migrates it, where it was saved by an earlier version of the program.
    with AnnotationStore(data_dir) as store:
        problems = store.database.problems()
    if problems:
        raise StoreError(f"The restored database is damaged: {problems[0]}")
    return report


def _replay(
    place: Place,
    database: Path,
    snapshot: Entry,
    files: Iterable[str],
    line_of: str | None,
    partial: bool,
    report: RestoreReport,
) -> str:
    """Replay the fragments that follow the snapshot, each after the one that it names; returns the last one's name."""
    later = [e for e in list_entries(dict.fromkeys(files, 0)) if not e.is_snapshot and e.position >= snapshot.position]
    texts = {entry: place.read(entry.path) or b"" for entry in later}
    after: dict[str, list[Entry]] = {}
    for entry, text in texts.items():
        after.setdefault(_predecessor(text), []).append(entry)
    last, seen = snapshot.name, {snapshot.name}
    with closing(_connect(database)) as connection:
        while after.get(last):
            # Of fragments that follow the same one, one repeats another and says more, or a writer that had been
            # replaced had not noticed yet.
            entry = max(after[last], key=lambda entry: (entry.disk == line_of, entry.position))
            try:
                journal.replay(connection, texts[entry].decode().splitlines())
                report.fragments += 1
            except (StoreError, UnicodeDecodeError) as error:
                report.left_out.append(f"{entry.path}: {error}")
            last = entry.name
            seen.add(last)
    for entry in later:
        if entry.name not in seen and _predecessor(texts[entry]) not in seen:
            report.left_out.append(f"{entry.path}: it cannot be read, or what came before it is missing")
        elif entry.name not in seen and (line_of is None or entry.disk != line_of):
            report.stray.append(entry.path)
    if report.left_out and not partial:
        raise StoreError(
            f"The store at {place.url} is damaged: {report.left_out[0]}. Bring the file back, or go on without it: "
            f"python -m annotations --data-dir DIR restore {place.url} --partial."
        )
    return last


def _predecessor(text: bytes) -> str:
    """The name of the entry that a fragment follows; empty if it cannot be read."""
    try:
        return str(json.loads(text.partition(b"\n")[0])["after"])
    except (ValueError, KeyError, TypeError):
        return ""


def _require_sound(connection: sqlite3.Connection, snapshot: Entry) -> None:
    found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    broken = connection.execute("PRAGMA foreign_key_check").fetchall()
    if found != ["ok"] or broken:
        raise StoreError(
            f"{snapshot.path} is damaged ({found[0] if found != ['ok'] else 'rows point at nothing'}). Remove it there "
            "if an earlier one is left, or restore from another place."
        )


def _require_all(report: RestoreReport, place: Place) -> None:
    if report.missing:
        raise StoreError(
            f"The store at {place.url} lacks files: {len(report.missing)} ({report.missing[0]} is the "
            "first). Bring them back, or go on without them: python -m annotations --data-dir DIR restore "
            f"{place.url} --partial."
        )


def _settle(connection: sqlite3.Connection, store_id: str, disk: str | None, last: str, url: str) -> None:
    """Let the database go on from here, or be a copy that has no place elsewhere."""
    connection.execute("BEGIN IMMEDIATE")
    if disk is None:
        journal.take_out(connection)
    else:
        journal.forget_changes(connection, journal.position(connection))
        journal.set_state(connection, store=store_id, disk=disk, last=last, due=None, forget=None, url=url)
    connection.execute("COMMIT")


def _fetch(
    place: Place,
    data_dir: Path,
    paths: Sequence[str],
    files: dict[str, int],
    report: RestoreReport,
    say: Callable[[str], None],
) -> None:
    """Bring files that are not here yet; a restoration that was interrupted goes on where it was."""

    def fetch(path: str) -> None:
        target = data_dir / path
        if not target.is_file() or target.stat().st_size != files[path]:
            target.parent.mkdir(parents=True, exist_ok=True)
            place.download(path, target)

    with ThreadPoolExecutor(DOWNLOADS) as pool:
        for number, _ in enumerate(pool.map(fetch, paths), 1):
            if number % 1000 == 0:
                say(f"Files back: {number} of {len(paths)}.")
    report.recordings += sum(map(is_recording, paths))


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys = ON")
    return connection
