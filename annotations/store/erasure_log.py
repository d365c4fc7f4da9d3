"""Log of erasures: that they happened, never what was erased; and the model versions they concern.

Knows the log's tables; erases nothing.
"""

import hashlib
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from annotations.store.queries import has_weights, list_versions
from annotations.store.records import ModelVersion
from annotations.store.rows import to_record
from annotations.store.store import AnnotationStore


@dataclass(frozen=True)
class ErasureEntry:
    """A line of the log.

    Attributes:
        kind: clip, rater, speaker, consent or retention.
        subject: a salted one-way hash of what was erased.
        counts: {what: how many}.
        finished: False while files are still to be removed, after an interruption.
    """

    id: int
    kind: str
    subject: str
    counts: Mapping[str, int]
    finished: bool
    erased_by: str
    created_at: str


def hash_recording(sha256: str) -> str:
    """Hash a recording for the log: with the recording one can ask for it; nobody can get it back from the hash.

    >>> len(hash_recording("ab" * 32))
    64
    """
    return hashlib.sha256(f"erased recording {sha256}".encode()).hexdigest()


def hash_subject(subject: str, salt: str | None = None) -> str:
    """A salted hash, `salt:hash`; a new salt each time, so that equal names do not look equal.

    >>> hash_subject("ann", "00") == hash_subject("ann", "00"), hash_subject("ann") == hash_subject("ann")
    (True, False)
    """
    salt = salt or secrets.token_hex(16)
    return f"{salt}:{hashlib.sha256(f'{salt} {subject}'.encode()).hexdigest()}"


def was_erased(store: AnnotationStore, sha256: str) -> bool:
    """Tell if a recording was erased here."""
    return bool(store.fetch("SELECT 1 FROM erased_recordings WHERE hash = ?", (hash_recording(sha256),)))


def list_erasures(store: AnnotationStore) -> list[ErasureEntry]:
    """The log, oldest first."""
    rows = store.fetch("SELECT * FROM erasures ORDER BY id")
    return [to_record(row, ErasureEntry, finished=row["pending"] is None) for row in rows]


def versions_with_erased(store: AnnotationStore) -> dict[int, dict[str, int]]:
    """{version: {clips, votes}} of versions that trained on what was erased since.

    A version that only started from such a version is among them, with zeros.
    """
    rows = store.fetch(
        "SELECT version_id, coalesce(sum(erasure_runs.clips), 0) AS clips, "
        "coalesce(sum(erasure_runs.votes), 0) AS votes FROM versions_with_erased "
        "JOIN model_versions ON model_versions.id = version_id "
        "LEFT JOIN erasure_runs ON erasure_runs.training_run_id = model_versions.training_run_id GROUP BY version_id"
    )
    return {row["version_id"]: {"clips": row["clips"], "votes": row["votes"]} for row in rows}


def newest_untouched_version(store: AnnotationStore) -> ModelVersion | None:
    """The newest version that trained on nothing that was erased since and whose weights are at hand."""
    marked = versions_with_erased(store)
    untouched = (v for v in list_versions(store) if v.id not in marked and v.target == "acoustic")
    return next((version for version in untouched if has_weights(store, version)), None)


def mark_runs(connection: sqlite3.Connection, number: int, concerned: str, parameters: tuple[object, ...]) -> list[str]:
    """Note which training runs trained on votes that are about to go.

    Args:
        connection: within the erasure's transaction.
        number: of the erasure.
        concerned: SQL that is true of the votes.
        parameters: of that SQL.

    Returns:
        Names of the versions that came of these runs, and of those that started from such a version.
    """
    connection.execute(
        "INSERT INTO erasure_runs SELECT ?, training_run_id, count(DISTINCT clip_id), count(*) "
        "FROM training_run_corrections JOIN corrections ON corrections.id = correction_id "
        f"WHERE {concerned} GROUP BY training_run_id",
        (number, *parameters),
    )
    rows = connection.execute(
        "WITH RECURSIVE marked (id, run) AS ("
        "SELECT model_versions.id, model_versions.training_run_id FROM model_versions "
        "JOIN erasure_runs ON erasure_runs.training_run_id = model_versions.training_run_id WHERE erasure_id = ? "
        "UNION SELECT model_versions.id, model_versions.training_run_id FROM marked "
        "JOIN training_runs ON training_runs.base_version_id = marked.id "
        "JOIN model_versions ON model_versions.training_run_id = training_runs.id) "
        "SELECT name FROM model_versions WHERE id IN (SELECT id FROM marked) ORDER BY id",
        (number,),
    )
    return [row["name"] for row in rows]
