"""Embeddings of labelled clips: those that are stored with the clips, and those that have to be computed.

Knows the store's table of embeddings and how a recording is embedded; knows no head.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from annotations.learning.trainer import TrainingJob
from annotations.store.embeddings import insert_embedding, read_embeddings
from annotations.store.records import FeedbackExample
from ser.acoustic.head import ClassifierHead
from ser.audio.augmentation import SignalAugmentation
from ser.encoder.loading import load_encoder
from ser.errors import ModelUnavailableError
from ser.training.clip_embeddings import CopyPlan
from ser.training.embeddings import EmbeddingPlan, embed_examples
from ser.types import Embedding, Example

READ_AT_ONCE = 500
"""Clips in one query: SQLite takes a bounded number of parameters."""

ClipEmbeddings = npt.NDArray[np.float16]
"""Shape (clips, 1 + copies, size), the untouched recording first."""


def embed_feedback(
    job: TrainingJob, head: ClassifierHead, clips: Sequence[FeedbackExample], copies: int = 0
) -> ClipEmbeddings:
    """Embeddings of some clips by the encoder under a head.

    Stored ones are read; the others are computed, and stored for the next run. Augmented copies are always computed.

    Args:
        job: gives the store, the cache folder and the device.
        head: names the encoder.
        clips: any number.
        copies: augmented copies of each clip.

    Raises:
        TrainingDataError: if a recording cannot be read.
        ModelUnavailableError: if the encoder at hand is another one than the head's.
        TrainingCancelledError: if asked to stop.
    """
    stored = {} if copies else _stored(job, head, [example.clip.id for example in clips])
    missing = [example for example in clips if example.clip.id not in stored]
    computed = _compute(job, head, missing, copies) if missing else np.zeros((0, 1, 0), np.float16)
    of_clip = {example.clip.id: rows for example, rows in zip(missing, computed, strict=True)}
    found = [of_clip.get(example.clip.id, stored.get(example.clip.id)) for example in clips]
    return np.stack([rows for rows in found if rows is not None]) if clips else computed


def _stored(job: TrainingJob, head: ClassifierHead, clips: Sequence[int]) -> dict[int, ClipEmbeddings]:
    found: dict[int, ClipEmbeddings] = {}
    with job.store.reading() as connection:
        for first in range(0, len(clips), READ_AT_ONCE):
            part = read_embeddings(connection, clips[first : first + READ_AT_ONCE], head.encoder_sha256)
            found |= {clip: vector.astype(np.float16)[None] for clip, vector in part.items()}
    return found


def _compute(job: TrainingJob, head: ClassifierHead, clips: Sequence[FeedbackExample], copies: int) -> ClipEmbeddings:
    encoder = load_encoder(head.encoder, job.device).sha256
    if encoder != head.encoder_sha256:
        raise ModelUnavailableError(
            f"The current model was trained on embeddings of {head.encoder} ({head.encoder_sha256[:12]}...), and the "
            f"encoder at hand is {encoder[:12]}.... Choose a model that fits this encoder, then train."
        )
    changes = (SignalAugmentation(),) * copies
    plan = CopyPlan(changes, job.config.seed, encoder=head.encoder, device=job.device)
    how = EmbeddingPlan(
        replace(plan, cache_dir=job.cache_dir), on_progress=job.on_progress, should_stop=job.should_stop
    )
    paths = [job.store.clip_path(example.clip) for example in clips]
    examples = [Example(path, example.soft_label, example.group) for path, example in zip(paths, clips, strict=True)]
    embeddings = embed_examples(examples, how).embeddings
    with job.store.database.writing() as connection:
        for example, rows in zip(clips, embeddings, strict=True):
            # A clip may have been erased since the run began.
            if connection.execute("SELECT 1 FROM clips WHERE id = ?", (example.clip.id,)).fetchone():
                insert_embedding(connection, example.clip.id, Embedding(rows[0].astype(np.float32), encoder))
    return embeddings
