"""Traces of a clip or a person outside the rows: recordings, caches, copies of the database, free pages.

Deletes files of the store and copies made from them; decides nothing.
"""

import hashlib
import json
import os
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from annotations.errors import StoreError
from annotations.maintenance.erasure.rows import text_indexes
from annotations.store import DATABASE, AnnotationStore
from annotations.store.database import StoreDatabase
from annotations.store.media import FOLDER, media_path
from ser.corpora.copies import cached_file

LOGS = (".log", ".txt")
ASIDE = "orphans"
"""The folder into which a repair puts what it cannot place."""

SQLITE_HEADER = b"SQLite format 3\0"


@dataclass(frozen=True)
class Traces:
    """Names by which the copies of a recording are found.

    Attributes:
        sha256: of the decoded signal; its file is named so.
        content: SHA-256 of the stored file's bytes; None if the file was gone already.
        size: of that file, bytes.
    """

    sha256: str
    content: str | None = None
    size: int = 0

    def as_dict(self) -> dict[str, object]:
        """Convert to JSON values."""
        return asdict(self)


def find_traces(data_dir: Path, sha256: str) -> Traces:
    """Look at a stored recording."""
    path = data_dir / media_path(sha256)
    if not path.is_file():
        return Traces(sha256)
    content = path.read_bytes()
    return Traces(sha256, hashlib.sha256(content).hexdigest(), len(content))


def remove_recordings(store: AnnotationStore, traces: Iterable[Traces]) -> int:
    """Delete recordings that no row names; returns how many there were."""
    removed = 0
    for trace in traces:
        path = store.data_dir / media_path(trace.sha256)
        # Under the write lock, and looked up again: somebody may have consented to it anew meanwhile.
        with store.database.writing() as connection:
            if connection.execute("SELECT 1 FROM clips WHERE sha256 = ?", (trace.sha256,)).fetchone() is None:
                removed += path.is_file()
                path.unlink(missing_ok=True)
        if path.parent.is_dir() and not any(path.parent.iterdir()):
            _remove_empty(path.parent)
    return removed


def remove_derived(data_dir: Path, traces: Iterable[Traces], *, features_only: bool = False) -> list[str]:
    """Delete what was made from recordings: files named after their hash, copies in the page's cache, kept features.

    Args:
        data_dir: the store's folder.
        traces: of the recordings.
        features_only: leave the rest; for a recording that stays but may not be trained on.

    Returns:
        The files that were deleted.
    """
    traces = list(traces)
    removed = []
    copies = [] if features_only else [*_named_after(data_dir, traces), *_served_copies(traces)]
    for path in [*copies, *_kept_features(traces)]:
        path.unlink(missing_ok=True)
        removed.append(str(path))
    return removed


def redact_logs(data_dir: Path, needles: Sequence[str]) -> list[str]:
    """Take words out of what programs wrote down: replaced in logs, the whole row of what a repair has put aside.

    Args:
        data_dir: the store's folder.
        needles: hashes, names and transcripts; empty ones and single letters are passed over.

    Returns:
        The files that were changed.
    """
    forms = {form for needle in needles if len(needle) > 1 for form in (needle, json.dumps(needle)[1:-1])}
    wanted = [form.encode() for form in sorted(forms, key=len, reverse=True)]
    changed = []
    for path in _beside_recordings(data_dir):
        if not wanted or not (path.suffix in LOGS or (path.parent.name == ASIDE and path.suffix == ".jsonl")):
            continue
        before = after = path.read_bytes()
        if path.suffix in LOGS:
            for word in wanted:
                after = after.replace(word, b"(erased)")
        else:
            after = b"".join(line for line in before.splitlines(True) if not any(word in line for word in wanted))
        if after != before:
            path.write_bytes(after)
            changed.append(str(path))
    return changed


def copies_of_database(data_dir: Path) -> Iterator[Path]:
    """List other databases in the store's folder: snapshots of training runs, and others put there."""
    for path in _beside_recordings(data_dir):
        if path != data_dir / DATABASE and _begins_as_database(path):
            yield path


def erase_in_copies(
    data_dir: Path, erase: Callable[[sqlite3.Connection], Mapping[str, int]]
) -> tuple[list[str], list[str]]:
    """Do an erasure in every copy of the database that lies in the store's folder, too.

    Args:
        data_dir: the store's folder.
        erase: deletes rows; returns how many of each table.

    Returns:
        The copies that held something, and sentences about those that could not be reached.
    """
    changed, remains = [], []
    for path in list(copies_of_database(data_dir)):
        try:
            with _opened(path) as database:
                with database.writing() as connection:
                    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'clips'").fetchone() is None:
                        continue
                    counts = erase(connection)
                if any(counts.values()):
                    changed.append(str(path))
                    remains += scrub(database)
        except StoreError as error:
            remains.append(f"The copy {path} was not changed ({error}). Delete it.")
    return changed, remains


def scrub(database: StoreDatabase) -> list[str]:
    """Remove what deleted rows leave behind: text indexes, free pages and the log.

    Returns:
        Sentences about what could not be removed now.
    """
    with database.writing() as connection:
        for name in text_indexes(connection):
            # Deleted words stay in the parts of an index until these are merged.
            connection.execute(f"INSERT INTO {name} ({name}) VALUES ('optimize')")
    if database.compact():
        return []
    return [f"{database.path} is being read: its log keeps old pages until the next erasure or the next start."]


@contextmanager
def _opened(path: Path) -> Iterator[StoreDatabase]:
    beside = {path.with_name(f"{path.name}{suffix}") for suffix in (".lock", ".turns")}
    new = {file for file in beside if not file.exists()}
    database = StoreDatabase(path)
    try:
        yield database
    finally:
        database.close()
        for file in new:
            file.unlink(missing_ok=True)


def _named_after(data_dir: Path, traces: Iterable[Traces]) -> Iterator[Path]:
    hashes = [trace.sha256 for trace in traces]
    if hashes:
        wanted = re.compile("|".join(hashes))
        yield from (path for path in _beside_recordings(data_dir) if wanted.search(path.name))


def _begins_as_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(SQLITE_HEADER)) == SQLITE_HEADER
    except FileNotFoundError:  # A file that somebody was at is gone by now.
        return False


def _beside_recordings(data_dir: Path) -> Iterator[Path]:
    """List every file of the store except recordings, of which there may be a million."""
    for place in sorted(data_dir.iterdir()):
        if place.is_file():
            yield place
        elif place.name != FOLDER:
            yield from (path for path in sorted(place.rglob("*")) if path.is_file())


def _served_copies(traces: Iterable[Traces]) -> Iterator[Path]:
    """Copies that the page has served, found by their content. Source: gradio's `GRADIO_TEMP_DIR`."""
    folder = Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir(), "gradio"))
    wanted: dict[int, set[str]] = {}
    for trace in traces:
        if trace.content is not None:
            wanted.setdefault(trace.size, set()).add(trace.content)
    if not wanted or not folder.is_dir():
        return
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size in wanted:
            if hashlib.sha256(path.read_bytes()).hexdigest() in wanted[path.stat().st_size]:
                yield path


def _kept_features(traces: Iterable[Traces]) -> Iterator[Path]:
    """Features and fingerprints that are kept for this user, by the bytes of the file they were made from."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "speech-emotion-studio"
    for trace in traces:
        if trace.content is not None:
            yield from base.glob(f"*/{trace.content[:2]}/{trace.content}*")
            fingerprint = cached_file(base / "fingerprints", trace.content)
            if fingerprint.is_file():
                yield fingerprint


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # Somebody has put a recording there just now.
