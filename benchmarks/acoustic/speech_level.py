"""Levels of speech and its start, by short frames. Pure; knows no model and no noise.

Signals are float32 of shape (samples,) at 16 kHz.
"""

import numpy as np
import numpy.typing as npt

from ser.types import Signal

LEVEL_FRAME = 320
"""Samples of the frames whose levels are compared, 20 ms."""

ACTIVE_MARGIN = 15.9
"""dB under the active level at which a frame stops to count as speech. Source: ITU-T Recommendation P.56."""


def active_level(signal: Signal) -> float:
    """Root mean square of a recording while someone speaks, pauses left out.

    Source: the method of ITU-T P.56, on frames of 20 ms in place of an envelope.

    >>> tone = np.sin(np.arange(16_000) * 0.3).astype(np.float32)
    >>> round(active_level(np.concatenate([np.zeros(16_000, np.float32), tone])), 2)  # as loud as the tone alone
    0.71
    """
    powers = frame_powers(signal)
    return float(np.sqrt(powers[_active(powers)].mean())) if len(powers) else 0.0


def speech_start(signal: Signal) -> int:
    """The sample at which the first active frame begins; 0 where all is silent.

    >>> tone = np.sin(np.arange(16_000) * 0.3).astype(np.float32)
    >>> speech_start(np.concatenate([np.zeros(16_000, np.float32), tone]))
    16000
    """
    powers = frame_powers(signal)
    active = np.flatnonzero(_active(powers) & (powers > 0.0))
    return int(active[0]) * LEVEL_FRAME if len(active) else 0


def frame_powers(signal: Signal) -> npt.NDArray[np.float64]:
    """Mean square of each frame of `LEVEL_FRAME` samples; a shorter signal is one frame.

    >>> frame_powers(np.array([0.5] * 400, np.float32)).tolist()
    [0.25]
    """
    count = max(1, len(signal) // LEVEL_FRAME)
    frames = signal[: count * LEVEL_FRAME].astype(np.float64).reshape(count, -1)
    return np.asarray((frames**2).mean(axis=1))


def _active(powers: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    active = np.ones(len(powers), dtype=bool)
    while True:
        threshold = powers[active].mean() / 10.0 ** (ACTIVE_MARGIN / 10.0)
        # The frames that are left only grow louder on average, so that this ends.
        fewer = active & (powers >= threshold)
        if fewer.sum() == active.sum():
            return active
        active = fewer
