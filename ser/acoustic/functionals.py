"""The member of a network that measures a recording as a whole: statistics of level, pitch, timbre and their movement.

A few hundred numbers, judged by little, generalise to voices, rooms and languages that convolutions have not seen;
together they answer better than either. Knows nothing of configurations, files, labels' meaning or training.
"""

import math

import torch
from torch import nn

from ser.acoustic.features import MEL_BANDS, PITCH_BINS

CEPSTRA = 19
BROAD_BANDS = 16
"""Neighbouring mel bands are averaged into so many."""

PITCH_SHARPNESS = 20.0
"""How much likelier a lag is the pitch for one more of correlation."""

TRACKS = 4 + CEPSTRA + BROAD_BANDS
"""Values of a frame: level, voicing, tilt and pitch, cepstra, broad bands."""

FUNCTIONALS = 8 * TRACKS + 5 + 2
"""Values of a recording: of each track mean, deviation, high and low, and of its movement deviation, mean size, high
and low; of the pitch where there is one the first four and the mean size of its movement; length and share of speech.
"""

EXTREME = 2.0
"""How far the high and low of a track lean towards its one highest and lowest value: between mean (0) and those."""

LIMIT = 3.0
"""Deviations beyond which a functional counts as this: a recording unlike any other must not decide alone."""

Statistics = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


class FunctionalMember(nn.Module):
    """Functionals and little more: the same face as `ser.acoustic.layers.Member`, but for the features as they are.

    Source of the approach, with other functionals: Schuller et al. 2013, "The INTERSPEECH 2013 computational
    paralinguistics challenge", https://doi.org/10.21437/Interspeech.2013-56.
    """

    def __init__(self, dropout: float, labels: int, hidden: int = 0) -> None:
        super().__init__()
        self.pool_norm = nn.BatchNorm1d(FUNCTIONALS, affine=False)
        self.dropout = nn.Dropout(dropout)
        self.hidden_layer = nn.Linear(FUNCTIONALS, hidden) if hidden else None
        self.classifier = nn.Linear(hidden or FUNCTIONALS, labels)
        self.intensity = nn.Linear(hidden or FUNCTIONALS, 1)

    def embed(self, picture: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(batch, FEATURE_SIZE, frames), (batch, 1, frames) -> (batch, FUNCTIONALS)."""
        return self.project(functionals(picture, mask))

    def project(self, pooled: torch.Tensor) -> torch.Tensor:
        """(batch, FUNCTIONALS) of any scale -> the same in deviations."""
        return self.pool_norm(pooled).clamp(-LIMIT, LIMIT)

    def answer(self, embedding: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, FUNCTIONALS) -> log-probabilities (batch, labels), intensity logits (batch,)."""
        hidden = self.dropout(embedding)
        if self.hidden_layer is not None:
            hidden = self.dropout(torch.relu(self.hidden_layer(hidden)))
        return torch.log_softmax(self.classifier(hidden).float(), dim=1), self.intensity(hidden).float()[:, 0]

    def early_layers(self, blocks: int) -> list[nn.Module]:
        """None: all that learns here judges."""
        return []


def functionals(picture: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Measure recordings as wholes.

    Args:
        picture: (batch, FEATURE_SIZE, frames), features as `ser.acoustic.features` gives them, of any finite value
            where the mask is 0.
        mask: (batch, 1, frames), 1 for what is real, at least one frame of each.

    Returns:
        (batch, FUNCTIONALS), in single precision.

    >>> functionals(torch.zeros(2, MEL_BANDS + PITCH_BINS, 9), torch.ones(2, 1, 9)).shape == (2, FUNCTIONALS)
    True
    """
    picture, mask = picture.float(), mask.float()
    frames = mask.sum(2, keepdim=True)
    uniform = mask / frames
    tracks, level, voicing, pitch = _tracks(picture)
    loud = torch.sigmoid(4.0 * (_standard(level, uniform) + 0.5)) * mask
    parts = list(_statistics(tracks, loud / loud.sum(2, keepdim=True), mask))
    # The first frame moves from nowhere.
    inner = mask * torch.cat([torch.zeros_like(mask[:, :, :1]), mask[:, :, :-1]], dim=2)
    steps = inner / inner.sum(2, keepdim=True).clamp_min(1.0)
    movement = _movement(tracks)
    _, deviation, high, low = _statistics(movement, steps, mask)
    parts += [deviation, (steps * movement.abs()).sum(2), high, low]
    voiced = torch.sigmoid(4.0 * _standard(voicing, uniform)) * mask
    voiced = voiced / voiced.sum(2, keepdim=True)
    parts += [*_statistics(pitch, voiced, mask), (voiced * inner * _movement(pitch).abs()).sum(2)]
    return torch.cat([*parts, torch.log(frames[:, :, 0]), loud.sum(2) / frames[:, :, 0]], dim=1)


def _tracks(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """All values of each frame, and of these apart level, voicing and pitch (in bins), (batch, 1, frames) each."""
    mels, lags = picture[:, :MEL_BANDS], picture[:, MEL_BANDS:]
    level = mels.mean(1, keepdim=True)
    tilt = mels[:, MEL_BANDS // 2 :].mean(1, keepdim=True) - mels[:, : MEL_BANDS // 4].mean(1, keepdim=True)
    voicing = lags.amax(1, keepdim=True)
    likely = torch.softmax(PITCH_SHARPNESS * lags, dim=1)
    bins = torch.arange(PITCH_BINS, device=picture.device, dtype=picture.dtype)
    pitch = (likely * bins[None, :, None]).sum(1, keepdim=True)
    bands = mels.unflatten(1, (BROAD_BANDS, MEL_BANDS // BROAD_BANDS)).mean(2)
    with torch.autocast(picture.device.type, enabled=False):
        cepstra = torch.matmul(_cosines(picture.device), mels)
    return torch.cat([level, voicing, tilt, pitch, cepstra, bands], dim=1), level, voicing, pitch


def _cosines(device: torch.device) -> torch.Tensor:
    """Of the cepstra, (CEPSTRA, MEL_BANDS)."""
    band = torch.arange(MEL_BANDS, device=device, dtype=torch.float32) + 0.5
    order = torch.arange(1, CEPSTRA + 1, device=device, dtype=torch.float32)
    return torch.cos(math.pi / MEL_BANDS * order[:, None] * band[None]) * (2.0 / MEL_BANDS)


def _movement(track: torch.Tensor) -> torch.Tensor:
    """From the frame before, (batch, tracks, frames)."""
    return track - torch.cat([track[:, :, :1], track[:, :, :-1]], dim=2)


def _standard(track: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """In deviations from the recording's own mean."""
    mean = (weights * track).sum(2, keepdim=True)
    return (track - mean) / ((weights * (track - mean).square()).sum(2, keepdim=True) + 1e-4).sqrt()


def _statistics(track: torch.Tensor, weights: torch.Tensor, mask: torch.Tensor) -> Statistics:
    """Weighted mean, deviation, high and low over time, (batch, tracks) each; high and low are taken from the mean.

    High and low are smooth forms of the extremes, which one odd frame does not make alone.
    """
    mean = (weights * track).sum(2)
    deviation = ((weights * (track - mean[:, :, None]).square()).sum(2) + 1e-4).sqrt()
    standard = (track - mean[:, :, None]) / deviation[:, :, None] * mask * EXTREME
    logs = torch.log(weights.clamp_min(1e-8))
    high, low = (torch.logsumexp(sign * standard + logs, dim=2) / EXTREME * deviation for sign in (1.0, -1.0))
    return mean, deviation, high, low
