"""Clips as they are put before a rater, read from a connection."""

from collections.abc import Sequence
from sqlite3 import Connection

from annotations.errors import ClipNotFoundError
from annotations.store import AnnotationStore
from annotations.store.records import ReviewItem
from annotations.store.rows import CLIPS, to_clip, to_prediction


def read_items(store: AnnotationStore, connection: Connection, clip_ids: Sequence[int]) -> list[ReviewItem]:
    """Some clips with their newest predictions, in the order asked for; those that are not there are left out."""
    marks = ",".join("?" * len(clip_ids))
    clips = {row["id"]: to_clip(row) for row in connection.execute(f"{CLIPS} WHERE clips.id IN ({marks})", clip_ids)}
    newest = {
        row["clip_id"]: to_prediction(row)
        for row in connection.execute(
            "SELECT predictions.* FROM queue_clips JOIN predictions ON predictions.id = queue_clips.prediction_id "
            f"WHERE queue_clips.clip_id IN ({marks})",
            clip_ids,
        )
    }
    votes = dict(
        tuple(row)
        for row in connection.execute(f"SELECT clip_id, votes FROM queue_clips WHERE clip_id IN ({marks})", clip_ids)
    )
    return [
        ReviewItem(clip, newest.get(clip.id), store.data_dir / clip.path, votes[clip.id])
        for clip in (clips[clip_id] for clip_id in clip_ids if clip_id in clips)
    ]


def get_review_item(store: AnnotationStore, clip_id: int) -> ReviewItem:
    """A clip as it is put before a rater.

    Raises:
        ClipNotFoundError: if there is no such clip.
    """
    with store.reading() as connection:
        items = read_items(store, connection, [clip_id])
    if not items:
        raise ClipNotFoundError(f"There is no clip {clip_id}. It may have been erased; choose another.")
    return items[0]
