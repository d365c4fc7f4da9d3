"""Features and truths in memory, and the batches drawn from them. Knows nothing of networks or audio files."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ser.acoustic.features import HOP
from ser.config import TrainConfig
from ser.training.feature_augmentation import augment_batch
from ser.training.sampling import Places, Sampler, allowed_labels
from ser.types import SAMPLING_RATE


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
        intensities: of each example, 0..1, float32 of shape (examples,), NaN where unknown; None where all are.
    """

    variants: Sequence[Sequence[npt.NDArray[np.float16]]]
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    speakers: Sequence[str]
    corpora: Sequence[str]
    paths: Sequence[str] = ()
    skipped: Sequence[str] = ()
    intensities: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.variants)

    def take(self, rows: Sequence[int]) -> "FeatureSet":
        """The examples in these places, in this order."""
        return FeatureSet(
            [self.variants[row] for row in rows],
            self.targets[rows],
            self.weights[rows],
            [self.speakers[row] for row in rows],
            [self.corpora[row] for row in rows],
            [self.paths[row] for row in rows] if self.paths else (),
            intensities=None if self.intensities is None else self.intensities[rows],
        )

    def of_speakers(self, speakers: Collection[str]) -> "FeatureSet":
        """The examples of these speakers, in their order."""
        return self.take([row for row, speaker in enumerate(self.speakers) if speaker in speakers])

    def beside(self, others: "FeatureSet") -> "FeatureSet":
        """These examples, and others of the same labels behind them."""
        sets = (self, others)
        unknown = [np.full(len(data), np.nan, dtype=np.float32) for data in sets]
        return FeatureSet(
            [*self.variants, *others.variants],
            np.concatenate([data.targets for data in sets]),
            np.concatenate([data.weights for data in sets]),
            [*self.speakers, *others.speakers],
            [*self.corpora, *others.corpora],
            [*self.paths, *others.paths] if self.paths and others.paths else (),
            [*self.skipped, *others.skipped],
            np.concatenate(
                [gap if data.intensities is None else data.intensities for data, gap in zip(sets, unknown, strict=True)]
            ),
        )


@dataclass(frozen=True)
class Batch:
    """Examples that pass through the network together.

    Attributes:
        input_features: float32 of shape (examples, frames, size), zero behind each end.
        attention_mask: int64 of shape (examples, frames), 1 for what is real.
        targets: float32 of shape (examples, labels).
        weights: float32 of shape (examples,).
        allowed: float32 of shape (examples, labels), 1 for the labels that each example's corpus has.
        speakers: int64 of shape (examples,), the same number for the same speaker.
        intensities: float32 of shape (examples,), 0..1, NaN where unknown.
    """

    input_features: torch.Tensor
    attention_mask: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    allowed: torch.Tensor
    speakers: torch.Tensor
    intensities: torch.Tensor


class BatchDrawer:
    """Draws what the steps of an epoch show of their examples.

    Everything drawn follows from the seed, the epoch, the step's place in it and the part of the step.
    """

    def __init__(self, data: FeatureSet, config: TrainConfig) -> None:
        self.data = data
        self.config = config
        self.max_frames = max(1, round(config.max_duration * SAMPLING_RATE / HOP))
        lengths = np.array([min(len(variants[0]), self.max_frames) for variants in data.variants])
        self.sampler = Sampler(data.targets, data.speakers, data.corpora, lengths, config)
        self.allowed = allowed_labels(data.targets, data.corpora)
        unknown = np.full(len(data), np.nan, dtype=np.float32)
        self.intensities = unknown if data.intensities is None else data.intensities

    def epoch(self, epoch: int = 1) -> Iterator[Batch]:
        """The batches of one epoch, each step in one part."""
        for step, places in enumerate(self.sampler.plan(epoch)):
            yield self.draw(places, epoch, step)

    def draw(self, places: Places, epoch: int, step: int, part: int = 0) -> Batch:
        """What a step, or one part of it, shows of these examples."""
        generator = np.random.default_rng([self.config.seed, epoch, step, part])
        if len(places) == 1:
            # Batch normalisation needs two to compare.
            places = np.repeat(places, 2)
        features, ends = augment_batch(
            [self._clip(int(place), generator) for place in places], self.config, generator, self.max_frames
        )
        targets, allowed = self.data.targets[places], self.allowed[places]
        if self.config.mixup:
            self._mix(features.numpy(), ends, targets, allowed, places, generator)
        mask = (np.arange(features.shape[1])[None] < ends[:, None]).astype(np.int64)
        return Batch(
            features,
            torch.from_numpy(mask),
            torch.from_numpy(targets),
            torch.from_numpy(self.data.weights[places]),
            torch.from_numpy(allowed),
            torch.from_numpy(self.sampler.speakers[places]),
            torch.from_numpy(self.intensities[places]),
        )

    def _clip(self, example: int, generator: np.random.Generator) -> npt.NDArray[np.float16]:
        variants = self.data.variants[example]
        drawn = variants[int(generator.integers(len(variants)))]
        if len(drawn) > self.max_frames:
            start = int(generator.integers(0, len(drawn) - self.max_frames + 1))
            drawn = drawn[start : start + self.max_frames]
        return drawn

    def _mix(
        self,
        features: npt.NDArray[np.float32],
        ends: Places,
        targets: npt.NDArray[np.float32],
        allowed: npt.NDArray[np.float32],
        places: Places,
        generator: np.random.Generator,
    ) -> None:
        """Mix some rows with others of the batch, in place; a clip's larger share stays its own.

        Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", https://arxiv.org/abs/1710.09412
        """
        rows = np.flatnonzero(generator.random(len(places)) < self.config.mixup_probability)
        shares = generator.beta(self.config.mixup, self.config.mixup, len(rows))
        shares = np.maximum(shares, 1.0 - shares).astype(np.float32)
        partners = generator.integers(len(places), size=len(rows))
        if self.config.speakers_per_batch:
            # Mixed with another's voice, a clip would spoil what the batch says of its speaker.
            speakers = self.sampler.speakers[places]
            own = [np.flatnonzero(speakers == speakers[row]) for row in rows]
            partners = np.array([generator.choice(clips) for clips in own], dtype=np.int64)
        # The partners as they were: a row may be mixed before another one asks for it.
        others = [features[partner, : ends[partner]].copy() for partner in partners]
        other_targets, other_allowed = targets[partners], allowed[partners]
        for row, share, other in zip(rows, shares, others, strict=True):
            clip = features[row, : ends[row]]
            clip *= share
            clip += (1.0 - share) * np.resize(other, clip.shape)
        targets[rows] = shares[:, None] * targets[rows] + (1.0 - shares[:, None]) * other_targets
        allowed[rows] = np.maximum(allowed[rows], other_allowed)
