"""Repairs the damage that `maintenance.inspection` finds; what cannot be repaired is moved to `orphans/`, not deleted.

The store may be in use meanwhile: all that moves a recording holds the write lock.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from annotations.maintenance.erasure.erase import finish_erasures
from annotations.maintenance.erasure.rows import delete_rows
from annotations.maintenance.inspection import Inspection, Progress, broken_references, content_hash, inspect
from annotations.store import AnnotationStore
from annotations.store.database import plain_os_errors
from annotations.store.media import media_path, sync_folder
from annotations.store.rows import timestamp

QUARANTINE = "orphans"


@dataclass
class RepairReport:
    """Findings and repairs.

    Attributes:
        found: before the repair.
        after: after it; what is in here needs a person.
        restored: recordings put back where they belong.
        quarantined: files put aside, relative to the store's folder.
        marked_missing: hashes of clips that have lost their recording and are put before nobody any more.
        swept: unfinished files deleted.
        rows_removed: {table: rows} that pointed at nothing; they are kept in `orphans/`.
        rebuilt: indexes made anew.
    """

    found: Inspection
    after: Inspection | None = None
    restored: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    marked_missing: list[str] = field(default_factory=list)
    swept: list[str] = field(default_factory=list)
    rows_removed: dict[str, int] = field(default_factory=dict)
    rebuilt: list[str] = field(default_factory=list)

    def done(self) -> dict[str, object]:
        """Convert the repairs to JSON values."""
        return {name: value for name, value in asdict(self).items() if name not in ("found", "after")}

    def lines(self) -> list[str]:
        """Describe it for people, a repair a line."""
        lines = [f"put back: {path}" for path in self.restored]
        lines += [f"put aside: {path}" for path in self.quarantined]
        lines += [f"marked as lost, and out of the queue: clip {sha256}" for sha256 in self.marked_missing]
        lines += [f"deleted, half written: {path}" for path in self.swept]
        lines += [
            f"removed {count} row{'' if count == 1 else 's'} of {name} that pointed at nothing"
            for name, count in self.rows_removed.items()
        ]
        lines += [f"made anew: {name}" for name in self.rebuilt]
        rest = self.after.problems if self.after else ()
        return lines + [f"still damaged: {problem} Put a snapshot in the database's place." for problem in rest]


def repair(store: AnnotationStore, *, contents: bool = True, progress: Progress = list) -> RepairReport:
    """Look for damage and repair it.

    Args:
        store: others may use it meanwhile.
        contents: as in `inspect`.
        progress: as in `inspect`.

    Raises:
        StoreError: if the store cannot be written.
    """
    found = inspect(store, contents=contents, progress=progress)
    finish_erasures(store)
    report = RepairReport(found)
    with plain_os_errors(store.data_dir):
        for name in found.unfinished:
            (store.data_dir / name).unlink(missing_ok=True)
            report.swept.append(name)
        for name in (*found.damaged, *found.orphans):
            _settle_file(store, name, report)
        _settle_rows_without_file(store, report)
    _remove_broken_rows(store, report)
    _rebuild(store, found, report)
    report.after = inspect(store, contents=False)
    return report


def _settle_file(store: AnnotationStore, name: str, report: RepairReport) -> None:
    """Move a recording to where its content belongs, or to `orphans/` if no clip is missing its file."""
    path = store.data_dir / name
    with store.database.writing() as connection:
        # Under the write lock: a program that stores this very recording looks for the file once more after us.
        content = content_hash(path) if path.is_file() else None
        if not path.is_file() or (
            path.stem == content and connection.execute("SELECT 1 FROM clips WHERE sha256 = ?", (content,)).fetchone()
        ):
            return
        wanted = content and connection.execute("SELECT 1 FROM clips WHERE sha256 = ?", (content,)).fetchone()
        home = store.data_dir / media_path(content) if content else path
        if wanted and (not home.is_file() or content_hash(home) != content):
            _move(path, home)
            report.restored.append(home.relative_to(store.data_dir).as_posix())
        else:
            target = _free_name(store.data_dir / QUARANTINE / path.name)
            _move(path, target)
            report.quarantined.append(target.relative_to(store.data_dir).as_posix())


def _settle_rows_without_file(store: AnnotationStore, report: RepairReport) -> None:
    """Bring recordings back from `orphans/`, mark clips that have none, and unmark those that have one again."""
    aside = {path.stem.split("~")[0]: path for path in (store.data_dir / QUARANTINE).glob("*.flac")}
    with store.reading() as connection:
        marked = {row["clip_id"] for row in connection.execute("SELECT clip_id FROM missing_media")}
        clips = connection.execute("SELECT id, sha256 FROM clips ORDER BY id").fetchall()
    concerned = [
        row for row in clips if row["id"] in marked or not (store.data_dir / media_path(row["sha256"])).is_file()
    ]
    # Looked at once more under the write lock, which others wait for: only what may have to be changed.
    with store.database.writing() as connection:
        for row in concerned:
            if connection.execute("SELECT 1 FROM clips WHERE id = ?", (row["id"],)).fetchone() is None:
                continue
            home = store.data_dir / media_path(row["sha256"])
            there = home.is_file()
            if not there and row["sha256"] in aside and content_hash(aside[row["sha256"]]) == row["sha256"]:
                _move(aside[row["sha256"]], home)
                report.restored.append(home.relative_to(store.data_dir).as_posix())
                there = True
            if there and row["id"] in marked:
                connection.execute("DELETE FROM missing_media WHERE clip_id = ?", (row["id"],))
            elif not there and row["id"] not in marked:
                connection.execute(
                    "INSERT INTO missing_media VALUES (?, ?, ?)", (row["id"], "no recording found", timestamp())
                )
                report.marked_missing.append(row["sha256"])


def _remove_broken_rows(store: AnnotationStore, report: RepairReport) -> None:
    with store.database.writing() as connection:
        broken = broken_references(connection)
        lines = []
        for entry in broken:
            table, column, parent, to = (str(entry[key]) for key in ("table", "column", "parent", "to"))
            to = "rowid" if to == "None" else to
            condition = (
                f"{column} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {parent} WHERE {parent}.{to} = {table}.{column})"
            )
            rows = connection.execute(f"SELECT * FROM {table} WHERE {condition}").fetchall()
            lines += [json.dumps({"table": table, **_plain(dict(row))}, ensure_ascii=False) for row in rows]
            for name, count in delete_rows(connection, table, condition).items():
                report.rows_removed[name] = report.rows_removed.get(name, 0) + count
        if lines:
            # Before the transaction ends: rows that are gone are on the disk somewhere else by then.
            folder = store.data_dir / QUARANTINE
            folder.mkdir(exist_ok=True)
            target = _free_name(folder / "rows.jsonl")
            with target.open("x", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
                file.flush()
                os.fsync(file.fileno())
            report.quarantined.append(target.relative_to(store.data_dir).as_posix())


def _rebuild(store: AnnotationStore, found: Inspection, report: RepairReport) -> None:
    with store.database.writing() as connection:
        for name in found.indexes:
            connection.execute(f"INSERT INTO {name} ({name}) VALUES ('rebuild')")
            report.rebuilt.append(name)
        if found.problems:
            # Tables may be whole if only their indexes are not.
            connection.execute("REINDEX")
            report.rebuilt.append("all indexes")


def _move(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(path, target)
    sync_folder(target.parent)
    sync_folder(path.parent)


def _free_name(path: Path) -> Path:
    number = 1
    target = path
    while target.exists():
        target = path.with_name(f"{path.stem}~{number}{path.suffix}")
        number += 1
    return target


def _plain(row: Mapping[str, object]) -> dict[str, object]:
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in row.items()}
