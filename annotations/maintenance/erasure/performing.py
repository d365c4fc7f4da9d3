"""Performs an erasure: its rows in one transaction with a note of what is left to do, then all that lies outside.

What was interrupted is finished by the next erasure, repair or retention sweep.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping

from annotations.exchange.exports.exporting import remake_export
from annotations.exchange.registry import remake_exports
from annotations.maintenance.erasure.report import ErasureReport
from annotations.maintenance.erasure.rows import anonymise_person, delete_clips, delete_person, delete_voices
from annotations.maintenance.erasure.traces import (
    Traces,
    erase_in_copies,
    redact_logs,
    remove_derived,
    remove_recordings,
    scrub,
)
from annotations.store import AnnotationStore
from annotations.store.database import plain_os_errors
from annotations.store.erasure_log import hash_subject
from annotations.store.faces import delete_faces
from annotations.store.new_records import check_rater
from annotations.store.rows import insert_row, timestamp

Begin = Callable[[sqlite3.Connection, int, ErasureReport], Mapping[str, object]]
"""Deletes the rows, fills the report in, and returns what is left to do; given the number of the erasure."""


class _DryRunError(Exception):
    """Undoes the transaction of an erasure that is only to be counted."""


def finish_erasures(store: AnnotationStore) -> int:
    """Finish what an interruption left of earlier erasures; returns how many there were."""
    rows = store.fetch("SELECT id, pending FROM erasures WHERE pending IS NOT NULL")
    for row in rows:
        _finish(store, row["id"], json.loads(row["pending"]), ErasureReport("clip", "interrupted"))
    if rows:
        scrub(store.database)
    return len(rows)


def perform(store: AnnotationStore, kind: str, subject: str, begin: Begin, by: str, dry_run: bool) -> ErasureReport:
    """Erase, and note it in the log.

    Args:
        store: others may use it meanwhile.
        kind: of the entry: clip, speaker, rater, consent or retention.
        subject: in words; the log keeps a hash of it.
        begin: deletes the rows.
        by: who erases.
        dry_run: only count.
    """
    by = check_rater(by)
    if not dry_run:
        finish_erasures(store)
    report = ErasureReport(kind, subject, dry_run=dry_run)
    try:
        with store.database.writing() as connection:
            connection.execute("PRAGMA secure_delete = ON")
            log = {"kind": kind, "subject": hash_subject(subject), "erased_by": by, "created_at": timestamp()}
            number = insert_row(connection, "erasures", counts={}, **log)
            pending = begin(connection, number, report)
            if dry_run:
                raise _DryRunError
            connection.execute(
                "UPDATE erasures SET counts = ?, pending = ? WHERE id = ?",
                (json.dumps(report.counts()), json.dumps(pending), number),
            )
    except _DryRunError:
        return report
    _finish(store, number, pending, report)
    report.remains += scrub(store.database)
    return report


def _finish(store: AnnotationStore, number: int, pending: Mapping[str, object], report: ErasureReport) -> None:
    """Do what is left to do outside of the rows, and note that it is done."""
    recordings = [Traces(**trace) for trace in pending.get("recordings", [])]  # type: ignore[attr-defined]
    features = [Traces(**trace) for trace in pending.get("features", [])]  # type: ignore[attr-defined]
    with plain_os_errors(store.data_dir):
        removed = remove_recordings(store, recordings)
        report.recordings = max(report.recordings, removed)
        report.files += remove_derived(store.data_dir, recordings) if recordings else []
        report.files += redact_logs(store.data_dir, pending.get("needles", []))  # type: ignore[arg-type]
        report.files += remove_derived(store.data_dir, features, features_only=True) if features else []
        copies, remains = erase_in_copies(store.data_dir, lambda connection: _erase_again(connection, pending))
        report.files += copies
        report.remains += remains
    exports = pending.get("exports", [])
    assert isinstance(exports, list)
    remade = remake_exports(store, exports, lambda export, clips: remake_export(store, export, clips))
    report.exports += remade.remade
    report.elsewhere += remade.elsewhere
    report.remains += remade.remains
    with store.database.writing() as connection:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("UPDATE erasures SET pending = NULL WHERE id = ?", (number,))


def _erase_again(connection: sqlite3.Connection, pending: Mapping[str, object]) -> Mapping[str, int]:
    """The rows of the same erasure in a copy of the database, whose ids may be others."""
    connection.execute("PRAGMA secure_delete = ON")
    if "rater" in pending:
        change = anonymise_person if pending["keep_votes"] else delete_person
        return change(connection, str(pending["rater"]), str(pending["pseudonym"]))
    hashes = json.dumps([trace["sha256"] for trace in pending.get("recordings", [])])  # type: ignore[attr-defined]
    chosen = connection.execute("SELECT id FROM clips WHERE sha256 IN (SELECT value FROM json_each(?))", (hashes,))
    deleted = delete_clips(connection, [row["id"] for row in chosen])
    pictured = json.dumps(pending.get("pictures", []))
    of_these = "clip_id IN (SELECT id FROM clips WHERE sha256 IN (SELECT value FROM json_each(?)))"
    deleted["faces"] += delete_faces(connection, of_these, (pictured,))
    return +deleted + delete_voices(connection, str(pending.get("speaker") or ""))
