"""Leases: a clip given to a rater is kept for them a while, so that no more people label it than are wanted."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from sqlite3 import Connection

from annotations.store import AnnotationStore
from annotations.store.new_records import check_rater
from annotations.store.rows import timestamp


def take_lease(
    store: AnnotationStore, rater: str, clip_ids: Sequence[int], *, overlap: int | None, minutes: float
) -> int | None:
    """Keep for a rater the first of some clips that still lacks people; a lease they hold on it begins anew.

    Args:
        store: to write to.
        rater: for whom.
        clip_ids: those that would do, best first.
        overlap: people who are to label each clip, those who hold a lease on it counted; None for any number, but
            one at a time.
        minutes: how long it is kept.

    Returns:
        The clip, or None if others were quicker on all of them.
    """
    # A lease that a power loss takes back does no harm, so that nobody need wait for the disk.
    with store.database.writing(durable=False) as connection:
        connection.execute("DELETE FROM leases WHERE expires_at <= ?", (timestamp(),))
        for clip_id in clip_ids:
            row = connection.execute(
                "SELECT judged, (SELECT count(*) FROM leases WHERE clip_id = queue_clips.clip_id AND rater != ?) "
                "AS held FROM queue_clips WHERE clip_id = ?",
                (rater, clip_id),
            ).fetchone()
            people = 0 if row is None else row["held"] + (0 if overlap is None else row["judged"])
            if row is not None and people < (overlap or 1):
                end = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat(timespec="microseconds")
                connection.execute(
                    "INSERT INTO leases (clip_id, rater, expires_at) VALUES (?, ?, ?) "
                    "ON CONFLICT (clip_id, rater) DO UPDATE SET expires_at = excluded.expires_at",
                    (clip_id, rater, end),
                )
                return clip_id
    return None


def release_lease(store: AnnotationStore, rater: str, clip_id: int) -> None:
    """Give a clip back without a vote, so that others may have it at once; a vote and a skip do so by themselves."""
    rater = check_rater(rater)
    with store.database.writing(durable=False) as connection:
        connection.execute("DELETE FROM leases WHERE clip_id = ? AND rater = ?", (clip_id, rater))


def leased_to_others(connection: Connection, rater: str) -> dict[int, int]:
    """{clip: people other than this rater who hold it}."""
    rows = connection.execute(
        "SELECT clip_id, count(*) AS people FROM leases WHERE rater != ? AND expires_at > ? GROUP BY clip_id",
        (rater, timestamp()),
    )
    return {row["clip_id"]: row["people"] for row in rows}
