"""How far a rater is, and how quick."""

from collections.abc import Sequence
from datetime import UTC, datetime

from annotations.queue import NO_FILTER, QueueFilter, queue_length
from annotations.records import RaterProgress
from annotations.store import AnnotationStore
from annotations.validation import check_rater

PACE_VOTES = 30
"""Last votes that the pace is taken from."""

LONGEST_GAP = 120.0
"""Seconds; a longer time between two votes was a pause."""


def rater_progress(store: AnnotationStore, rater: str, filters: QueueFilter = NO_FILTER) -> RaterProgress:
    """What a rater has done and what waits for them.

    Args:
        store: to read.
        rater: whose progress.
        filters: of the queue that waits.
    """
    rater = check_rater(rater)
    midnight = datetime.now(UTC).date().isoformat()
    with store.reading() as connection:
        total = connection.execute(
            "SELECT count(*) FROM judgements WHERE rater = ? AND verdict IS NOT NULL", (rater,)
        ).fetchone()[0]
        today = connection.execute(
            "SELECT count(*) FROM corrections JOIN judgements ON judgements.correction_id = corrections.id "
            "AND judgements.rater = corrections.rater AND judgements.clip_id = corrections.clip_id "
            "WHERE corrections.rater = ? AND corrections.created_at >= ?",
            (rater, midnight),
        ).fetchone()[0]
        rows = connection.execute(
            "SELECT created_at FROM corrections WHERE rater = ? ORDER BY created_at DESC, id DESC LIMIT ?",
            (rater, PACE_VOTES),
        )
        moments = [datetime.fromisoformat(row["created_at"]).timestamp() for row in rows]
    return RaterProgress(today, total, clips_per_minute(moments), queue_length(store, rater, filters))


def clips_per_minute(moments: Sequence[float]) -> float | None:
    """The pace of votes, pauses left out.

    Args:
        moments: seconds, newest first.

    Returns:
        None where there is no gap to measure.

    >>> clips_per_minute([1006.0, 1000.0, 994.0, 0.0])
    10.0
    """
    gaps = [newer - older for newer, older in zip(moments, moments[1:], strict=False)]
    worked = [gap for gap in gaps if gap <= LONGEST_GAP]
    if not worked:
        return None
    return round(60 * len(worked) / max(sum(worked), len(worked) * 0.1), 1)
