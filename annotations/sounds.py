"""What clips sound like, in numbers, kept so that the review queue can give clips that stand for many others.

Knows the table; what is measured is in `ser.acoustic.measures`.
"""

import sqlite3
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from annotations.errors import StoreError

Sounds = dict[int, npt.NDArray[np.float32]]
"""{clip: what was measured of it, shape (size,)}"""

LARGEST = 60_000.0
"""Beyond which half precision has no number."""


def insert_sound(connection: sqlite3.Connection, clip_id: int, vector: npt.NDArray[np.floating]) -> None:
    """Keep what was measured of a clip's sound, in place of what was before.

    Args:
        connection: in a transaction.
        clip_id: of the clip.
        vector: shape (size,), finite; kept in half precision.

    Raises:
        StoreError: where the vector is none.
    """
    values = np.asarray(vector, dtype=np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise StoreError(
            f"The sound of clip {clip_id} has the shape {values.shape}; expected finite numbers in one row. "
            "Measure it again."
        )
    connection.execute(
        "INSERT INTO sounds (clip_id, vector) VALUES (?, ?) "
        "ON CONFLICT (clip_id) DO UPDATE SET vector = excluded.vector",
        (clip_id, values.clip(-LARGEST, LARGEST).astype("<f2").tobytes()),
    )


def read_sounds(connection: sqlite3.Connection, clip_ids: Sequence[int]) -> Sounds:
    """What was measured of those of some clips that were, all of the newest clip's size."""
    marks = ",".join("?" * len(clip_ids))
    newest = connection.execute("SELECT length(vector) AS size FROM sounds ORDER BY clip_id DESC LIMIT 1").fetchone()
    if newest is None:
        return {}
    # Another version of the program may have measured other things.
    rows = connection.execute(
        f"SELECT clip_id, vector FROM sounds WHERE clip_id IN ({marks}) AND length(vector) = ?",
        [*clip_ids, newest["size"]],
    ).fetchall()
    joined = np.frombuffer(b"".join(row["vector"] for row in rows), "<f2").astype(np.float32)
    return dict(zip((row["clip_id"] for row in rows), joined.reshape(len(rows), newest["size"] // 2), strict=True))


def unmeasured_clips(connection: sqlite3.Connection) -> list[int]:
    """Clips whose sound was not measured and whose recording is there, oldest first."""
    rows = connection.execute(
        "SELECT id FROM clips WHERE id NOT IN (SELECT clip_id FROM missing_media) "
        "AND id NOT IN (SELECT clip_id FROM sounds) ORDER BY id"
    )
    return [row["id"] for row in rows]


def any_measured(connection: sqlite3.Connection) -> bool:
    """Whether any clip's sound was measured."""
    return connection.execute("SELECT 1 FROM sounds LIMIT 1").fetchone() is not None
