"""The part of a head that refuses what the speech detector let pass: barks, sneezes, babies. Fitted on noise."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ser.acoustic.head import ClassifierHead
from ser.audio.augmentation import crop
from ser.encoder.windows import Encoder, embed_clips
from ser.training.embeddings import EmbeddingSet
from ser.training.heads import HeadConfig, principal_components
from ser.training.logistic import minimise
from ser.types import Signal

PARTS = 3
"""Parts drawn from each noise, as long as what the detector takes for speech, in addition to the whole of it."""

PART_DURATION = (0.4, 1.5)
"""Seconds."""

CLIPS = 12_000
"""Embeddings of speech at most; more change nothing."""

DIMENSIONS = 200

MIN_LOG_ODDS = 5.5
"""Against speech, from which a clip is refused, noise and speech being as likely beforehand: 0.4 % of TurEV's single
words and no clip of other corpora left out or of development speakers."""

Array = npt.NDArray[np.float32]


def fit_speech_probe(
    head: ClassifierHead, data: EmbeddingSet, noises: Sequence[Signal], encoder: Encoder, seed: int
) -> ClassifierHead:
    """Add to a head the probe that tells noise from speech; without noises the head stays as it is.

    Args:
        head: whose scale is taken.
        data: clips of speech with their augmented copies, which hold noise and short parts, too.
        noises: recordings without speech.
        encoder: of the embeddings.
        seed: of what is drawn.
    """
    if not noises:
        return head
    speech = data.embeddings.reshape(-1, data.embeddings.shape[-1])
    drawn = np.random.default_rng(seed).permutation(len(speech))[:CLIPS]
    return fit_probe(head, speech[drawn].astype(np.float32), embed_noises(noises, encoder, seed))


def embed_noises(noises: Sequence[Signal], encoder: Encoder, seed: int) -> Array:
    """Embed each noise as a whole and in parts, shape (noises * (1 + PARTS), size)."""
    signals = []
    for place, noise in enumerate(noises):
        generator = np.random.default_rng([seed, place])
        signals += [noise, *(crop(noise, float(generator.uniform(*PART_DURATION)), generator) for _ in range(PARTS))]
    return embed_clips(encoder, signals)


def fit_probe(head: ClassifierHead, speech: Array, noise: Array) -> ClassifierHead:
    """Logistic regression on principal components of speech and noise, both with the same weight."""
    values = head.standardise(np.concatenate([speech, noise]))
    center, components = principal_components(values, DIMENSIONS)
    targets = np.zeros((len(values), 2), dtype=np.float32)
    targets[: len(speech), 0] = targets[len(speech) :, 1] = 1.0
    weights = np.where(targets[:, 0] > 0, 1.0 / len(speech), 1.0 / len(noise)).astype(np.float32)
    start = np.zeros((components.shape[1] + 1, 2))
    projected = np.asarray((values - center) @ components, dtype=np.float32)
    table = minimise(projected, targets, weights, np.zeros_like(targets), start, HeadConfig(iterations=100))
    kernel = components @ (table[:-1, 1] - table[:-1, 0])
    bias = float(table[-1, 1] - table[-1, 0] - center @ kernel) - MIN_LOG_ODDS
    return replace(head, speech_weights=kernel.astype(np.float32), speech_bias=bias)
