"""A base head that knows nothing of two labels, and stores with votes that it can learn them from."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from annotations.learning.versions.active import ActiveModel
from annotations.store import AnnotationStore, NewVote
from ser.acoustic.classifier import load_acoustic_model
from ser.checkpoints.folder import Meta
from ser.encoder.loading import load_encoder
from ser.encoder.windows import embed_clips
from ser.labels import EMOTIONS
from ser.recognizer import Recognizer
from ser.testing import EnergyDetector, synthetic_speech
from ser.training.embeddings import EmbeddingSet
from ser.training.heads import HeadConfig, fit_head
from ser.types import Audio

SPEAKERS = 6
PITCH = {"sadness": 90.0, "happiness": 260.0}


@lru_cache(maxsize=512)
def speech(label: str, seed: int) -> Audio:
    """A voice in a quiet room: without pauses, the frames that tell of a channel would tell of the voice."""
    voice = np.pad(synthetic_speech(0.8, pitch=PITCH[label] + seed % 7, seed=seed).signal, 4000)
    hiss = 3e-4 * np.random.default_rng(seed).normal(size=len(voice))
    return Audio((voice + hiss).astype(np.float32))


def write_base(folder: Path, clips: int = 24) -> Path:
    """Fit a head on a few clips with labels that say nothing of them, so that feedback has much to add."""
    labels = [sorted(PITCH)[seed % 2] for seed in range(clips)]
    encoder = load_encoder()
    vectors = embed_clips(encoder, [speech(label, 1000 + seed).signal for seed, label in enumerate(labels)])
    # As often right as wrong: a head that knew them the wrong way round would be taken for exchanged names.
    given = [sorted(PITCH)[seed // 2 % 2] for seed in range(clips)]
    targets = np.eye(len(EMOTIONS), dtype=np.float32)[[EMOTIONS.index(label) for label in given]]
    data = EmbeddingSet(
        vectors[:, None].astype(np.float16),
        targets,
        np.ones(clips, dtype=np.float32),
        [f"base {seed % 4}" for seed in range(clips)],
        ["test"] * clips,
        EMOTIONS,
        [str(seed) for seed in range(clips)],
        np.full(clips, np.nan, dtype=np.float32),
    )
    head = fit_head(data, HeadConfig(), encoder="embedded", encoder_sha256=encoder.sha256)
    head.save(folder, Meta("tiny", head.labels))
    return folder


def active_on(base: Path, folder: Path) -> ActiveModel:
    """A store and the model that answers for it."""
    recognizer = Recognizer(EnergyDetector(), load_acoustic_model(base), None, None)
    return ActiveModel(AnnotationStore(folder), recognizer, load_acoustic_model, base=str(base))


def give_feedback(store: AnnotationStore, clips: int = 48, *, shuffled: bool = False) -> None:
    """One vote on each of some clips of six speakers."""
    draw = np.random.default_rng(0)
    for number in range(clips):
        label = sorted(PITCH)[number % 2]
        clip = store.add_clip(
            speech(label, number), source="test", speaker=f"speaker {number % SPEAKERS}", consent=("training",)
        )
        given = str(draw.choice(sorted(PITCH))) if shuffled else label
        store.add_correction(clip.id, NewVote("ann", "correct", label=given))
