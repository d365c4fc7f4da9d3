"""Looks for damage: where recordings and rows disagree, recordings that are not what their name says, broken rows.

Changes nothing; `annotations.maintenance.repair` does.
"""

import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import soundfile

from annotations.maintenance.erasure.rows import text_indexes
from annotations.store import AnnotationStore
from annotations.store.media import FOLDER, STALE, TEMPORARY, list_media, media_path

RUNS = "runs"
_WRITER = re.compile(rf"^{re.escape(TEMPORARY)}(\d+)-|^(?:status|trigger|candidate)\.(\d+)\.tmp$")
"""Unfinished files name the process that writes them."""

Progress = Callable[[Sequence[tuple[str, str]]], Iterable[tuple[str, str]]]


@dataclass(frozen=True)
class Inspection:
    """Damage that was found.

    Attributes:
        orphans: recordings without a row, relative to the store's folder.
        missing: hashes of clips whose recording is not there.
        lost: those that a repair has marked before; nobody is asked about them.
        damaged: recordings that are not the one their name says, or none at all.
        unfinished: files that a killed process left half written.
        problems: what SQLite complains of.
        broken_rows: {table.column: rows} that point at nothing.
        indexes: text indexes that disagree with their texts.
        pending_erasures: erasures that were interrupted.
    """

    orphans: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    broken_rows: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    pending_erasures: int = 0

    @property
    def is_well(self) -> bool:
        """True if there is nothing to repair; recordings lost for good do not count."""
        return not any(value for name, value in asdict(self).items() if name != "lost")

    def lines(self) -> list[str]:
        """Describe it for people, a finding a line."""
        lines = [f"damaged: {problem}" for problem in self.problems]
        lines += [f"rows that point at nothing: {rows}" for rows in self.broken_rows]
        lines += [f"text index that disagrees with its texts: {name}" for name in self.indexes]
        lines += [f"no recording for clip {sha256}" for sha256 in self.missing]
        lines += [f"recording that is not what its name says: {path}" for path in self.damaged]
        lines += [f"recording without a clip: {path}" for path in self.orphans]
        lines += [f"unfinished file: {path}" for path in self.unfinished]
        if self.pending_erasures:
            lines.append(f"erasures that were interrupted: {self.pending_erasures}")
        if self.lost:
            lines.append(f"Clips that have lost their recording and are left out of the queue: {len(self.lost)}.")
        return lines


def inspect(store: AnnotationStore, *, contents: bool = True, progress: Progress = list) -> Inspection:
    """Inspect everything, while others may use the store.

    Args:
        store: to look at.
        contents: whether recordings are read to their end, about 3 ms each, and text indexes compared with their texts.
        progress: shows how far that is.
    """
    with store.reading() as connection:
        known = {row["sha256"] for row in connection.execute("SELECT sha256 FROM clips")}
        lost = {
            row["sha256"]
            for row in connection.execute("SELECT sha256 FROM missing_media JOIN clips ON clips.id = clip_id")
        }
        pending = connection.execute("SELECT count(*) FROM erasures WHERE pending IS NOT NULL").fetchone()[0]
        broken = tuple(f"{row['table']}.{row['column']}: {row['rows']}" for row in broken_references(connection))
    files = list(list_media(store.data_dir))
    # Files and rows are looked at one after the other: what was written in between is looked at again.
    orphans = [path for sha256, path in files if sha256 not in known and store.find_clip(sha256) is None]
    names = {sha256 for sha256, _ in files}
    absent = {sha256 for sha256 in known - names if not (store.data_dir / media_path(sha256)).is_file()}
    still = {sha256 for sha256 in absent if store.find_clip(sha256) is not None}
    kept = [(sha256, path) for sha256, path in files if sha256 in known]
    return Inspection(
        orphans=tuple(orphans),
        missing=tuple(sorted(still - lost)),
        lost=tuple(sorted(still & lost)),
        damaged=tuple(_damaged(store.data_dir, kept, progress)) if contents else (),
        unfinished=tuple(unfinished_files(store.data_dir)),
        problems=tuple(text for text in store.database.problems() if " points at nothing in " not in text),
        broken_rows=broken,
        indexes=tuple(_wrong_indexes(store)) if contents else (),
        pending_erasures=pending,
    )


def content_hash(path: Path) -> str | None:
    """The hash of a stored recording's samples; None if it cannot be read."""
    try:
        samples, _ = soundfile.read(path, dtype="int16")
    except (soundfile.LibsndfileError, OSError):
        return None
    return hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()


def unfinished_files(data_dir: Path) -> Iterator[str]:
    """Temporary files that no living process is at, relative to the store's folder."""
    folders = [data_dir, *data_dir.glob(f"{FOLDER}/*"), *data_dir.glob(f"{RUNS}/*")]
    for folder in folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            temporary = path.name.startswith(TEMPORARY) or _WRITER.match(path.name)
            if temporary and path.is_file() and not _is_written_now(path):
                yield path.relative_to(data_dir).as_posix()


def broken_references(connection: sqlite3.Connection) -> list[dict[str, object]]:
    """Rows that point at rows which are not there, by table and column."""
    found: dict[tuple[str, str], dict[str, object]] = {}
    for row in connection.execute("PRAGMA foreign_key_check").fetchall():
        keys = connection.execute(f"PRAGMA foreign_key_list({row['table']})").fetchall()
        key = next(key for key in keys if key["id"] == row["fkid"])
        place = (row["table"], key["from"])
        entry = found.setdefault(
            place, {"table": row["table"], "column": key["from"], "parent": key["table"], "to": key["to"], "rows": 0}
        )
        entry["rows"] = int(str(entry["rows"])) + 1
    return list(found.values())


def _is_written_now(path: Path) -> bool:
    match = _WRITER.match(path.name)
    if match is None:  # No file of this program has such a name while it is written.
        return False
    number = int(match.group(1) or match.group(2))
    try:
        # The number may have gone to another process since: after an hour nobody is writing any more.
        return psutil.pid_exists(number) and path.stat().st_mtime > time.time() - STALE
    except FileNotFoundError:  # It was finished just now.
        return True


def _damaged(data_dir: Path, files: Sequence[tuple[str, str]], progress: Progress) -> Iterator[str]:
    def looks_wrong(entry: tuple[str, str]) -> bool:
        sha256, path = entry
        return content_hash(data_dir / path) != sha256 and (data_dir / path).is_file()

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for (_, path), wrong in zip(progress(files), pool.map(looks_wrong, files), strict=False):
            if wrong:
                yield path


def _wrong_indexes(store: AnnotationStore) -> Iterator[str]:
    with store.reading() as connection:
        names = text_indexes(connection)
    for name in names:
        with store.database.writing() as connection:
            try:
                connection.execute(_verify(name))
            except sqlite3.DatabaseError:
                yield name


def _verify(name: str) -> str:
    """Build the statement that fails if an index disagrees.

    Source: https://sqlite.org/fts5.html, section 6.4.
    """
    return f"INSERT INTO {name} ({name}, rank) VALUES ('integrity-check', 1)"
