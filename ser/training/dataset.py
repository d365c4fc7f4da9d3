"""Features and truths in memory, and the batches drawn from them. Knows nothing of networks or audio files."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ser.acoustic.features import HOP
from ser.augmentation import FeatureAugmentation, Features
from ser.config import TrainConfig
from ser.types import SAMPLING_RATE

POOL = 8
"""Batches' worth of examples that are sorted by length together."""


@dataclass(frozen=True)
class FeatureSet:
    """Examples ready for training.

    Attributes:
        variants: for each example its features, the untouched recording first; float16 of shape (frames, size).
        targets: float32 of shape (examples, labels), rows of sum 1.
        weights: float32 of shape (examples,).
        speakers: of each example.
        corpora: of each example.
        paths: of each example's file; empty where unknown.
        skipped: a sentence for each recording that was left out.
    """

    variants: Sequence[Sequence[npt.NDArray[np.float16]]]
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    speakers: Sequence[str]
    corpora: Sequence[str]
    paths: Sequence[str] = ()
    skipped: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.variants)


@dataclass(frozen=True)
class Batch:
    """Examples of one step; `allowed` is 1 for the labels that each example's corpus has."""

    features: list[Features]
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    allowed: npt.NDArray[np.float32]


def class_weights(targets: npt.NDArray[np.float32], power: float) -> npt.NDArray[np.float32]:
    """How much each label counts: the rarer, the more; mean 1 over the examples.

    >>> print(class_weights(np.array([[1, 0], [1, 0], [1, 0], [0, 1]], dtype=np.float32), 1.0).round(2))
    [0.67 2.  ]
    """
    counts = targets.sum(0)
    weights = np.where(counts > 0, np.maximum(counts, 1e-6) ** -power, 0.0)
    return (weights * counts.sum() / max(float((weights * counts).sum()), 1e-9)).astype(np.float32)


def draw_probabilities(data: FeatureSet, corpus_weights: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """How likely each example is drawn: corpora by weight, and within a corpus every label alike.

    Returns:
        Shape (examples,), sum 1.
    """
    labels = data.targets.argmax(1)
    cells = Counter(zip(data.corpora, labels.tolist(), strict=True))
    labels_of = Counter(corpus for corpus, _ in cells)
    shares = np.array(
        [
            corpus_weights.get(corpus, 1.0) / labels_of[corpus] / cells[corpus, label]
            for corpus, label in zip(data.corpora, labels.tolist(), strict=True)
        ]
    )
    return shares / shares.sum()


def allowed_labels(data: FeatureSet) -> npt.NDArray[np.float32]:
    """1 where an example's corpus has a label at all, shape (examples, labels)."""
    seen: dict[str, npt.NDArray[np.float32]] = {}
    for corpus, target in zip(data.corpora, data.targets, strict=True):
        seen[corpus] = np.maximum(seen.get(corpus, 0.0), (target > 0).astype(np.float32))
    return np.stack([seen[corpus] for corpus in data.corpora])


class BatchDrawer:
    """Draws the batches of an epoch, augmented, from a seeded generator."""

    def __init__(self, data: FeatureSet, config: TrainConfig, generator: np.random.Generator) -> None:
        self.data = data
        self.config = config
        self.generator = generator
        self.augmentation = FeatureAugmentation()
        self.max_frames = max(1, round(config.max_duration * SAMPLING_RATE / HOP))
        self.allowed = allowed_labels(data)
        self.probabilities = draw_probabilities(data, config.corpus_weights) if config.epoch_size else None

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return -(-(self.config.epoch_size or len(self.data)) // self.config.batch_size)

    def epoch(self) -> Iterator[Batch]:
        """The batches of one epoch."""
        if self.probabilities is None:
            order = self.generator.permutation(len(self.data))
        else:
            order = self.generator.choice(len(self.data), self.config.epoch_size, p=self.probabilities)
        # Clips of like length share a batch, so that little of it is padding; which batch comes when stays random.
        lengths = np.array([min(len(self.data.variants[i][0]), self.max_frames) for i in order])
        size = POOL * self.config.batch_size
        pools = [np.arange(first, min(first + size, len(order))) for first in range(0, len(order), size)]
        batches: list[npt.NDArray[np.int64]] = []
        for pool in pools:
            ordered = order[pool[np.argsort(lengths[pool], kind="stable")]]
            batches += np.array_split(ordered, -(-len(pool) // self.config.batch_size))
        for place in self.generator.permutation(len(batches)):
            yield self._batch(batches[place])

    def _batch(self, places: npt.NDArray[np.int64]) -> Batch:
        features = [self._draw(int(i)) for i in places]
        targets = self.data.targets[places].copy()
        allowed = self.allowed[places].copy()
        if self.config.mixup:
            for row in np.flatnonzero(self.generator.random(len(places)) < self.config.mixup_probability):
                other = int(places[self.generator.integers(len(places))])
                share = float(self.generator.beta(self.config.mixup, self.config.mixup))
                share = max(share, 1.0 - share)
                partner = np.resize(self._draw(other), features[row].shape)
                features[row] = share * features[row] + (1.0 - share) * partner
                targets[row] = share * targets[row] + (1.0 - share) * self.data.targets[other]
                allowed[row] = np.maximum(allowed[row], self.allowed[other])
        return Batch(features, targets, self.data.weights[places], allowed)

    def _draw(self, example: int) -> Features:
        variants = self.data.variants[example]
        drawn = variants[int(self.generator.integers(len(variants)))]
        if len(drawn) > self.max_frames:
            start = int(self.generator.integers(0, len(drawn) - self.max_frames + 1))
            drawn = drawn[start : start + self.max_frames]
        features: Features = drawn.astype(np.float32)
        return self.augmentation.apply(features, self.generator) if self.config.augment else features
