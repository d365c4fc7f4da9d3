"""Embeddings of clips as the acoustic model's encoder made them: for the review queue, and for fine-tuning a head.

Knows the table; what an embedding is stands in `ser.types`.
"""

import sqlite3
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from annotations.errors import StoreError
from ser.types import Embedding

Embeddings = dict[int, npt.NDArray[np.float32]]
"""{clip: its embedding, shape (size,)}"""

LARGEST = 60_000.0
"""Largest value in half precision."""


def insert_embedding(connection: sqlite3.Connection, clip_id: int, embedding: Embedding) -> None:
    """Store a clip's embedding, in place of an earlier one.

    Args:
        connection: in a transaction.
        clip_id: of the clip.
        embedding: its vector is of shape (size,), finite; kept in half precision.

    Raises:
        StoreError: if the vector is none.
    """
    values = np.asarray(embedding.vector, dtype=np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise StoreError(
            f"The embedding of clip {clip_id} has the shape {values.shape}; expected finite numbers in one row. "
            "Analyse the clip again."
        )
    connection.execute(
        "INSERT INTO embeddings (clip_id, encoder, vector) VALUES (?, ?, ?) "
        "ON CONFLICT (clip_id) DO UPDATE SET encoder = excluded.encoder, vector = excluded.vector",
        (clip_id, embedding.encoder, values.clip(-LARGEST, LARGEST).astype("<f2").tobytes()),
    )


def read_embeddings(connection: sqlite3.Connection, clip_ids: Sequence[int], encoder: str | None = None) -> Embeddings:
    """Embeddings of those of some clips that have one.

    Args:
        connection: to read from.
        clip_ids: of the clips.
        encoder: whose embeddings; by default the encoder of the newest clip that has one.
    """
    if encoder is None:
        newest = connection.execute("SELECT encoder FROM embeddings ORDER BY clip_id DESC LIMIT 1").fetchone()
        if newest is None:
            return {}
        encoder = newest["encoder"]
    marks = ",".join("?" * len(clip_ids))
    rows = connection.execute(
        f"SELECT clip_id, vector FROM embeddings WHERE clip_id IN ({marks}) AND encoder = ?", [*clip_ids, encoder]
    ).fetchall()
    return {row["clip_id"]: np.frombuffer(row["vector"], "<f2").astype(np.float32) for row in rows}
