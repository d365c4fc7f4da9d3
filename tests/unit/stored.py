"""Records that the tests of the store put into it."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import soundfile

from annotations.raters.votes import feedback_summary
from annotations.store import AnnotationStore
from annotations.store.embeddings import insert_embedding
from annotations.store.new_records import NewVersion
from annotations.store.records import Clip, ModelVersion, Prediction, TrainingRun
from annotations.store.rows import (
    CLIPS,
    insert_promotion,
    insert_version,
    read_clip,
    require_version,
    to_clip,
    to_model_version,
    to_prediction,
)
from ser.labels import EMOTIONS
from ser.testing import synthetic_speech
from ser.types import Audio, Embedding, EmotionScores, Recognition, Segment, SpeechRegion, Timings, Transcript


def recording(seed: int = 0) -> Audio:
    return synthetic_speech(0.5, seed=seed)


def write_wav(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, recording(seed).signal, 16_000, subtype="PCM_16")


def answer(label: str = "fear", confidence: float = 0.4) -> Recognition:
    rest = (1 - confidence) / (len(EMOTIONS) - 1)
    scores = EmotionScores(tuple(confidence if emotion == label else rest for emotion in EMOTIONS))
    words = Transcript("kids are talking", "en", (Segment(0.1, 0.4, "kids", 0.9),), "test")
    return Recognition(
        0.5, (SpeechRegion(0, 0.5),), scores, words, None, scores, 0.0, ("clipped",), Timings(), {"acoustic": "test"}
    )


def add_version(
    store: AnnotationStore, name: str, sha256: str, metrics: Mapping[str, object] | None = None
) -> ModelVersion:
    """Record trained weights; nothing uses them until they are promoted."""
    with store.database.writing() as connection:
        new = NewVersion(name, sha256, f"models/{name}", metrics=metrics or {})
        return to_model_version(require_version(connection, insert_version(connection, new)))


def begin_run(
    store: AnnotationStore,
    base_version_id: int,
    by: str = "ann",
    votes: Iterable[int] = (),
    *,
    target: str = "acoustic",
    config: Mapping[str, object] | None = None,
    git_commit: str | None = None,
) -> TrainingRun:
    """A training run that is going on."""
    run = store.queue_training_run(config or {}, base_version_id, by, target=target, git_commit=git_commit)
    return store.begin_training_run(
        run.id,
        config=config or {},
        base_version_id=base_version_id,
        correction_ids=votes,
        snapshot_sha256="0" * 64,
    )


def list_clips(store: AnnotationStore) -> list[Clip]:
    with store.reading() as connection:
        return [to_clip(row) for row in connection.execute(f"{CLIPS} ORDER BY clips.id")]


def newest_prediction(store: AnnotationStore, clip_id: int) -> Prediction | None:
    with store.reading() as connection:
        row = connection.execute("SELECT * FROM predictions WHERE clip_id = ? ORDER BY id DESC", (clip_id,)).fetchone()
    return to_prediction(row) if row else None


def label_counts(store: AnnotationStore) -> dict[str, int]:
    return dict(feedback_summary(store).labels)


def promote(store: AnnotationStore, version_id: int, *, by: str = "ann", reason: str = "tried") -> None:
    with store.database.writing() as connection:
        require_version(connection, version_id)
        insert_promotion(connection, version_id, by, reason)


def add_embedding(store: AnnotationStore, clip_id: int, embedding: Embedding) -> None:
    with store.database.writing() as connection:
        read_clip(connection, clip_id)
        insert_embedding(connection, clip_id, embedding)
