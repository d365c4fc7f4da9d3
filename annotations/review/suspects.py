"""Clips that are to be labelled again: suspected label errors, and those that a maintainer queues again.

Knows the tables; how suspects are found is in `annotations.learning.targets.label_errors`.
"""

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from annotations.store import AnnotationStore
from annotations.store.new_records import check_rater
from annotations.store.rows import timestamp

OPEN = """
SELECT clip_id FROM suspects WHERE last_correction_id =
    (SELECT coalesce(max(id), 0) FROM corrections WHERE corrections.clip_id = suspects.clip_id)
"""


REQUEUED = """
SELECT clip_id FROM requeues WHERE last_correction_id =
    (SELECT coalesce(max(id), 0) FROM corrections WHERE corrections.clip_id = requeues.clip_id)
"""


@dataclass(frozen=True)
class Suspect:
    """A label that may be a mistake.

    Attributes:
        clip_id: of the clip.
        given: label that the votes give.
        suggested: label that clips like it have.
        certainty: how much likelier that is, 0..1.
    """

    clip_id: int
    given: str
    suggested: str
    certainty: float


def record_suspects(store: AnnotationStore, run_id: int, suspects: Sequence[Suspect]) -> None:
    """Send clips back to the review queue; the same again changes nothing.

    Args:
        store: to write to.
        run_id: of the run that suspects them.
        suspects: at most one a clip; clips erased meanwhile are passed over.
    """
    now = timestamp()
    with store.database.writing() as connection:
        connection.executemany(
            "INSERT INTO suspects SELECT id, ?, ?, ?, ?, "
            "(SELECT coalesce(max(id), 0) FROM corrections WHERE clip_id = clips.id), ? FROM clips WHERE id = ? "
            "ON CONFLICT (clip_id) DO NOTHING",
            [(run_id, s.given, s.suggested, s.certainty, now, s.clip_id) for s in suspects],
        )


def withdraw_suspects(store: AnnotationStore, clips: Collection[int]) -> None:
    """Take clips that wait to be labelled again out of the review queue, as a later run keeps their labels.

    Args:
        store: to write to.
        clips: ids; those that have been labelled again meanwhile, or never were suspected, are passed over.
    """
    with store.database.writing() as connection:
        connection.executemany(
            f"DELETE FROM suspects WHERE clip_id = ? AND clip_id IN ({OPEN})", [(clip,) for clip in clips]
        )


def open_suspects(connection: sqlite3.Connection) -> list[int]:
    """Clips that wait for somebody to label them again."""
    return [row["clip_id"] for row in connection.execute(OPEN)]


def queue_again(store: AnnotationStore, clips: Collection[int], *, by: str) -> int:
    """Put clips before raters once more, also before those who have labelled them; the votes that there are stay.

    Args:
        store: to write to.
        clips: ids; those erased meanwhile are passed over.
        by: who asks for it.

    Returns:
        How many clips that is.
    """
    now, by = timestamp(), check_rater(by)
    with store.database.writing() as connection:
        cursor = connection.executemany(
            "INSERT OR REPLACE INTO requeues SELECT id, "
            "(SELECT coalesce(max(id), 0) FROM corrections WHERE clip_id = clips.id), ?, ? FROM clips WHERE id = ?",
            [(by, now, clip) for clip in clips],
        )
        return cursor.rowcount


def returned_clips(connection: sqlite3.Connection) -> list[int]:
    """Clips that anybody may label again, even those who have labelled them: open suspects, and those queued again."""
    return [row["clip_id"] for row in connection.execute(f"{OPEN} UNION {REQUEUED}")]


def cleared_suspects(connection: sqlite3.Connection) -> list[int]:
    """List clips that were suspected once and have been labelled again: their labels are kept."""
    return [row["clip_id"] for row in connection.execute(f"SELECT clip_id FROM suspects EXCEPT {OPEN}")]


def count_suspects(store: AnnotationStore) -> int:
    """Count the clips that wait to be labelled again."""
    with store.reading() as connection:
        return len(open_suspects(connection))
