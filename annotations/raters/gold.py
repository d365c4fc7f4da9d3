"""Gold clips, whose label is known: raters are measured by them."""

import random

from annotations.store import AnnotationStore
from annotations.store.tables.rows import timestamp
from annotations.store.tables.writes import read_clip
from annotations.store.validation import check_rater, check_verdict


def mark_gold(store: AnnotationStore, clip_id: int, label: str, *, by: str) -> None:
    """Say that a clip's label is known; the latest word of it holds.

    Args:
        store: to write to.
        clip_id: of the clip.
        label: one of `EMOTIONS`.
        by: who says so.

    Raises:
        ClipNotFoundError: if there is no such clip.
        InvalidVoteError: if the label is none, or nobody is named.
    """
    _mark(store, clip_id, check_verdict("correct", label)[1], by)


def unmark_gold(store: AnnotationStore, clip_id: int, *, by: str) -> None:
    """Make an ordinary clip of a gold one again.

    Raises:
        ClipNotFoundError: if there is no such clip.
    """
    _mark(store, clip_id, None, by)


def gold_labels(store: AnnotationStore) -> dict[int, str]:
    """{clip: known label} of all gold clips."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT clip_id, label FROM gold_marks WHERE id IN (SELECT max(id) FROM gold_marks GROUP BY clip_id) "
            "AND label IS NOT NULL ORDER BY clip_id"
        )
        return {row["clip_id"]: row["label"] for row in rows}


def gold_is_due(rater: str, given: int, rate: float) -> bool:
    """Decide if a rater's next clip is a gold one: at random, but the same each time it is asked.

    Args:
        rater: whose.
        given: clips that they had before.
        rate: share of gold clips.

    >>> sum(gold_is_due("ann", given, 0.1) for given in range(1000))
    115
    """
    return random.Random(f"{rater}\n{given}").random() < rate


def _mark(store: AnnotationStore, clip_id: int, label: str | None, by: str) -> None:
    by = check_rater(by)
    with store.database.writing() as connection:
        read_clip(connection, clip_id)
        connection.execute(
            "INSERT INTO gold_marks (clip_id, label, marked_by, created_at) VALUES (?, ?, ?, ?)",
            (clip_id, label, by, timestamp()),
        )
