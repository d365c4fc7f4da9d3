"""What models made of the sound of clips, kept so that the review queue can ask for clips that differ.

Knows the table; knows no model.
"""

import math
import sqlite3
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from annotations.errors import StoreError


def insert_embedding(
    connection: sqlite3.Connection, clip_id: int, version_id: int, vector: npt.NDArray[np.floating]
) -> None:
    """Keep what a model made of a clip's sound, in place of what the same version made of it before.

    Args:
        connection: in a transaction.
        clip_id: of the clip.
        version_id: of the model version.
        vector: shape (size,), finite; kept in half precision, scaled to length 1.

    Raises:
        StoreError: where the vector is none.
    """
    values = np.asarray(vector, dtype=np.float64)
    length = float(np.linalg.norm(values)) if values.ndim == 1 and values.size else 0.0
    if not 0.0 < length < math.inf:
        raise StoreError(
            f"The embedding of clip {clip_id} has the shape {values.shape} and the length {length}; expected numbers "
            "in one row, not all 0. Compute it again."
        )
    connection.execute(
        "INSERT INTO embeddings (clip_id, version_id, vector) VALUES (?, ?, ?) "
        "ON CONFLICT (clip_id, version_id) DO UPDATE SET vector = excluded.vector",
        (clip_id, version_id, (values / length).astype("<f2").tobytes()),
    )


def read_embeddings(
    connection: sqlite3.Connection, version_id: int, clip_ids: Sequence[int]
) -> dict[int, npt.NDArray[np.float32]]:
    """The embeddings of those of some clips that have one of that version: {clip: shape (size,), length 1}."""
    marks = ",".join("?" * len(clip_ids))
    rows = connection.execute(
        f"SELECT clip_id, vector FROM embeddings WHERE version_id = ? AND clip_id IN ({marks})", (version_id, *clip_ids)
    )
    return {row["clip_id"]: np.frombuffer(row["vector"], "<f2").astype(np.float32) for row in rows}


def embedded_version(connection: sqlite3.Connection) -> int | None:
    """The version whose embeddings to compare: the one in use, else the newest that has any; None without any."""
    # Two plain questions that the index answers at once; put into one, SQLite reads the whole index.
    in_use = connection.execute(
        """
        SELECT model_version_id FROM promotions WHERE id = (SELECT max(id) FROM promotions)
        AND EXISTS (SELECT 1 FROM embeddings WHERE version_id = model_version_id)
        """
    ).fetchone()
    if in_use:
        return int(in_use[0])
    newest = connection.execute("SELECT version_id FROM embeddings ORDER BY version_id DESC LIMIT 1").fetchone()
    return int(newest[0]) if newest else None
