"""Recordings of any length as windows that an encoder takes at once, and one embedding for each recording. Pure."""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ser.types import SAMPLING_RATE, Signal

WINDOW_DURATION = 4.0
"""Seconds that are embedded at once; longer recordings are embedded in half overlapping windows of equal length, so
that statistics over time are of stretches as long as those that the classifier head was trained on."""

MIN_DURATION = 0.1
"""Seconds under which convolutional encoders have no frame left; shorter recordings are filled up with zeros."""

GROUP = 64
"""Windows that are handed over together; bounds the memory on long recordings."""

Array = npt.NDArray[np.float32]


class Encoder(Protocol):
    """A pretrained speech encoder; safe to call from several threads.

    Attributes:
        name: for people.
        sha256: names the embeddings; those of another encoder are not comparable.
        rows: layers of an embedding.
        width: of each layer.
    """

    name: str
    sha256: str
    rows: int
    width: int

    def frames(self, signal: Signal) -> Array:
        """Embed every step of time of a signal, shape (rows, frames, width)."""
        ...

    def pooled(self, signals: Sequence[Signal]) -> Array:
        """Embed signals as wholes, shape (signals, rows * 2 * width): of each row the means, then the deviations."""
        ...


def cut_windows(signal: Signal, duration: float = WINDOW_DURATION) -> list[Signal]:
    """Cut a long recording into equal, half overlapping windows of at most `duration` seconds.

    A recording shorter than `MIN_DURATION` is filled up with zeros.

    >>> [len(w) for w in cut_windows(np.zeros(20 * 16_000, dtype=np.float32), 10.0)]
    [160000, 160000, 160000]
    """
    shortest, size = round(MIN_DURATION * SAMPLING_RATE), round(duration * SAMPLING_RATE)
    if len(signal) < shortest:
        return [np.pad(signal, (0, shortest - len(signal)))]
    if len(signal) <= size:
        return [signal]
    count = math.ceil((len(signal) - size) / (size / 2)) + 1
    starts = np.linspace(0, len(signal) - size, count).round().astype(int)
    return [signal[start : start + size] for start in starts]


def embed_clips(encoder: Encoder, signals: Sequence[Signal]) -> Array:
    """Embed recordings of any length as wholes: the mean of their windows' embeddings.

    Args:
        encoder: embeds the windows.
        signals: float32 of shape (samples,) at 16 kHz, cut to their speech.

    Returns:
        Shape (signals, rows * 2 * width).
    """
    windows = [(place, window) for place, signal in enumerate(signals) for window in cut_windows(signal)]
    sums = np.zeros((len(signals), encoder.rows * 2 * encoder.width), dtype=np.float32)
    counts = np.bincount([place for place, _ in windows], minlength=len(signals))
    for first in range(0, len(windows), GROUP):
        group = windows[first : first + GROUP]
        np.add.at(sums, [place for place, _ in group], encoder.pooled([window for _, window in group]))
    return np.asarray(sums / np.maximum(counts, 1)[:, None].astype(np.float32))
