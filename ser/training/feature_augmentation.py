"""Changes a whole batch of features at once: tempo, vocal tract, microphone curve, noise floor, hidden stretches.

Seeded, and vectorised because the network is small: clip by clip, this would cost as much as a training step. Features
are those of `ser.acoustic.features`. Knows nothing of recordings or networks.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from librosa import mel_frequencies

from ser.acoustic.features import FLOOR, MEL_BANDS, MEL_RANGE
from ser.config import TrainConfig

NARROW_TOP, NARROW_BOTTOM = (3200.0, 7000.0), 350.0
"""Hz: where a narrowed band ends, from a telephone's to a codec's, and how far up it begins at most."""

FRAME_MULTIPLE = 32
"""Batches are padded to a multiple of so many frames: kernels are made anew for every new length."""


def augment_batch(
    clips: Sequence[npt.NDArray[np.float16]],
    config: TrainConfig,
    generator: np.random.Generator,
    max_frames: int,
) -> tuple[torch.Tensor, npt.NDArray[np.int64]]:
    """Stack clips of features, each changed in a way of its own where `config.augment` says so.

    Args:
        clips: each of shape (frames, size).
        config: how far features may be changed.
        generator: to draw from.
        max_frames: none becomes longer.

    Returns:
        float32 of shape (clips, frames, size), zero behind each end, and the frames of each clip.
    """
    lengths = np.array([len(clip) for clip in clips])
    changed = config.augment and bool(config.stretch)
    tempo = np.exp(generator.uniform(-config.stretch, config.stretch, len(clips))) if changed else 1.0
    ends = np.clip(np.rint(lengths / tempo).astype(np.int64), 1, max_frames)
    features = stretch(clips, ends)
    if config.augment:
        mels = features[:, :, :MEL_BANDS]
        if config.warp:
            mels = torch.bmm(mels, warp_matrices(generator.uniform(-config.warp, config.warp, len(clips))))
        if config.equaliser:
            mels += equaliser_curves(len(clips), config.equaliser, generator)[:, None]
        features[:, :, :MEL_BANDS] = mels
        if config.floor:
            _raise_floor(features, config.floor, generator)
        if config.narrow_probability:
            _narrow(features, ends, config.narrow_probability, generator)
        _hide(features.numpy(), ends, config, generator)
    values = features.numpy()
    for row, end in enumerate(ends):
        values[row, end:] = 0.0
    return features, ends


def stretch(clips: Sequence[npt.NDArray[np.float16]], ends: npt.NDArray[np.int64]) -> torch.Tensor:
    """Resample each clip over time to `ends` frames; behind its end the last one is repeated.

    >>> stretch([np.array([[0.0], [1.0]], dtype=np.float16)], np.array([3]))[0, :3, 0].tolist()
    [0.0, 0.5, 1.0]
    """
    lengths = np.array([len(clip) for clip in clips])
    frames = math.ceil(ends.max() / FRAME_MULTIPLE) * FRAME_MULTIPLE
    last = (lengths - 1)[:, None]
    places = np.minimum(np.arange(frames)[None] * (last / np.maximum(ends - 1, 1)[:, None]), last)
    first = (np.cumsum(lengths) - lengths)[:, None]
    low = places.astype(np.int64)
    shares = torch.from_numpy((places - low).astype(np.float32))
    flat = torch.from_numpy(np.concatenate(clips))
    size = flat.shape[1]
    before = flat.index_select(0, torch.from_numpy((first + low).ravel())).float()
    if not bool(shares.any()):
        return before.view(len(clips), frames, size)
    after = flat.index_select(0, torch.from_numpy((first + np.minimum(low + 1, last)).ravel())).float()
    return before.lerp_(after, shares.view(-1, 1)).view(len(clips), frames, size)


def warp_matrices(shifts: npt.NDArray[np.float64]) -> torch.Tensor:
    """Move every mel band by a share of its place: 0.05 moves it up by 5 %.

    Returns:
        float32 of shape (shifts, MEL_BANDS, MEL_BANDS), to multiply features with from the right.

    >>> bool(torch.equal(warp_matrices(np.zeros(1))[0], torch.eye(MEL_BANDS)))
    True
    """
    bands = np.clip(np.arange(MEL_BANDS)[None] * (1.0 - shifts[:, None]), 0.0, MEL_BANDS - 1.0)
    # The weight of a band falls linearly with its distance, as interpolation between neighbours wants it.
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(MEL_BANDS)[None, :, None] - bands[:, None, :]))
    return torch.from_numpy(weights.astype(np.float32))


def equaliser_curves(count: int, largest: float, generator: np.random.Generator) -> torch.Tensor:
    """Smooth drawn microphone curves over the mel bands, in bels, shape (count, MEL_BANDS)."""
    knots = torch.from_numpy(generator.uniform(-largest, largest, (count, 1, 5)).astype(np.float32))
    return torch.nn.functional.interpolate(knots, MEL_BANDS, mode="linear", align_corners=True)[:, 0]


def _raise_floor(features: torch.Tensor, largest: float, generator: np.random.Generator) -> None:
    rows = np.flatnonzero(generator.random(len(features)) < 0.5)
    if not len(rows):
        return
    rise = torch.from_numpy(FLOOR * 10.0 ** generator.uniform(0.0, largest, len(rows))).float()[:, None, None]
    places = torch.from_numpy(rows)
    powers = features[places, :, :MEL_BANDS].mul_(math.log(10.0)).exp_().add_(rise)
    features[places, :, :MEL_BANDS] = powers.log10_()


def _narrow(
    features: torch.Tensor, ends: npt.NDArray[np.int64], probability: float, generator: np.random.Generator
) -> None:
    """Take out what a line or a codec leaves out; the rest moves to the recording's new mean level, as it would."""
    rows = np.flatnonzero(generator.random(len(features)) < probability)
    if not len(rows):
        return
    centres = mel_frequencies(MEL_BANDS + 2, fmin=MEL_RANGE[0], fmax=MEL_RANGE[1], htk=True)[None, 1:-1]
    lowest, highest = np.log(NARROW_TOP)
    tops = np.exp(generator.uniform(lowest, highest, (len(rows), 1)))
    bottoms = generator.uniform(-NARROW_BOTTOM, NARROW_BOTTOM, (len(rows), 1))
    # What lies below is only weakened, by 10 to 40 dB: lines are noisy there, where codecs above their end are not.
    kept = np.where(centres < bottoms, 10.0 ** generator.uniform(-4.0, -1.0, (len(rows), 1)), centres <= tops)
    real = torch.from_numpy(np.arange(features.shape[1])[None] < ends[rows, None])[:, :, None]
    powers = (features[rows, :, :MEL_BANDS] * math.log(10.0)).exp_().sub_(FLOOR).clamp_min_(0.0)
    powers.mul_(torch.from_numpy(kept).float()[:, None])
    level = (powers * real).sum((1, 2)) / torch.from_numpy(ends[rows] * MEL_BANDS)
    features[rows, :, :MEL_BANDS] = (powers / level.clamp_min(FLOOR)[:, None, None] + FLOOR).log10_().float()


def _hide(
    features: npt.NDArray[np.float32], ends: npt.NDArray[np.int64], config: TrainConfig, generator: np.random.Generator
) -> None:
    """Put means in place of stretches of time and of mel bands.

    Source: Park et al. 2019, "SpecAugment", https://arxiv.org/abs/1904.08779
    """
    rows = len(features)
    time_sizes = (generator.uniform(0.0, config.time_mask_share, (rows, config.time_masks)) * ends[:, None]).astype(int)
    time_starts = (generator.random(time_sizes.shape) * (ends[:, None] - time_sizes + 1)).astype(int)
    band_sizes = generator.integers(0, min(config.band_mask_size, MEL_BANDS) + 1, (rows, config.band_masks))
    band_starts = (generator.random(band_sizes.shape) * (MEL_BANDS - band_sizes + 1)).astype(int)
    for row in range(rows):
        clip = features[row, : ends[row]]
        mean = clip.mean(0)
        for size, start in zip(time_sizes[row], time_starts[row], strict=True):
            clip[start : start + size] = mean
        level = mean[:MEL_BANDS].mean()
        for size, start in zip(band_sizes[row], band_starts[row], strict=True):
            clip[:, start : start + size] = level
