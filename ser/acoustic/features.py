"""The picture of sound that the embedded network looks at: a log-mel spectrogram beside a pitch map.

Pure functions of a signal; knows nothing of networks, files or labels.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from librosa.filters import mel

from ser.threads import one_core
from ser.types import SAMPLING_RATE, Signal

WINDOW = 800
"""Samples of a frame, 50 ms: long enough to tell the harmonics of a low voice (80 Hz) apart."""

HOP = 200
"""Samples from frame to frame, 12.5 ms."""

FFT_SIZE = 1024
MEL_BANDS = 80
MEL_RANGE = (50.0, 8000.0)
"""Hz."""

PITCH_BINS = 48
PITCH_RANGE = (70.0, 600.0)
"""Hz: from a low male voice to a woman's shout; three octaves, four fifths of a semitone from bin to bin."""

PITCH_CUTOFF = 2500.0
"""Hz: harmonics fade out towards here, which keeps the peaks of the pitch map wider than its bins."""

PITCH_COMPRESSION = 1 / 3
"""Power that flattens the spectrum, so that formants do not pass for pitch.

Source: Tolonen & Karjalainen 2000, "A computationally efficient multipitch analysis model",
https://doi.org/10.1109/89.876309 (generalised autocorrelation, k = 0.67 of the magnitude)."""

FLOOR = 1e-5
"""Of the clip's mean mel power: -50 dB, under which lies the room and the codec, not the voice."""

FEATURE_SIZE = MEL_BANDS + PITCH_BINS

_PITCH_TOP = math.ceil(PITCH_CUTOFF / SAMPLING_RATE * FFT_SIZE)
"""Bins of the spectrum that lie under the cutoff."""


@lru_cache(maxsize=1)
def mel_filters() -> torch.Tensor:
    """Triangular filters of shape (FFT_SIZE // 2 + 1, MEL_BANDS) on the HTK mel scale, each with a sum of 1.

    >>> tuple(mel_filters().shape)
    (513, 80)
    """
    low, high = MEL_RANGE
    filters = mel(sr=SAMPLING_RATE, n_fft=FFT_SIZE, n_mels=MEL_BANDS, fmin=low, fmax=high, htk=True, norm=1)
    return torch.from_numpy(np.ascontiguousarray(filters.T, dtype=np.float32))


@lru_cache(maxsize=1)
def pitch_kernels() -> tuple[torch.Tensor, torch.Tensor]:
    """Turn a compressed spectrum into its autocorrelation at logarithmically spaced lags.

    Returns:
        The kernel, float32 of shape (FFT_SIZE // 2 + 1, PITCH_BINS), from the lowest pitch to the highest, and the
        kernel of lag 0, float32 of shape (FFT_SIZE // 2 + 1,), by which the others are normalised.

    >>> [tuple(kernel.shape) for kernel in pitch_kernels()]
    [(513, 48), (513,)]
    """
    frequencies = np.linspace(0.0, SAMPLING_RATE / 2, FFT_SIZE // 2 + 1)
    pitches = np.geomspace(*PITCH_RANGE, PITCH_BINS)
    fading = 0.5 + 0.5 * np.cos(math.pi * frequencies / PITCH_CUTOFF)
    weight = np.where((frequencies >= MEL_RANGE[0]) & (frequencies < PITCH_CUTOFF), fading, 0.0)
    kernel = weight[:, None] * np.cos(2.0 * math.pi * frequencies[:, None] / pitches[None, :])
    return torch.from_numpy(kernel.astype(np.float32)), torch.from_numpy(weight.astype(np.float32))


@lru_cache(maxsize=1)
def _window() -> torch.Tensor:
    return torch.hann_window(WINDOW, periodic=True)


def frame_count(samples: int) -> int:
    """How many frames a signal of so many samples gives; a signal shorter than a window gives one.

    >>> frame_count(16_000), frame_count(10)
    (77, 1)
    """
    return 1 + max(0, samples - WINDOW) // HOP


@one_core()
def extract_features(signal: Signal) -> np.ndarray:
    """Log-mel spectrogram and pitch map of a recording.

    The level of the whole recording is taken out (a microphone's gain says nothing of a feeling); how level and
    spectrum move within the recording, and its spectral tilt, stay.

    Args:
        signal: float32 of shape (samples,) at 16 kHz.

    Returns:
        float32 of shape (frames, FEATURE_SIZE): `MEL_BANDS` values in bels over the recording's mean power,
        not under log10(FLOOR), then `PITCH_BINS` normalised autocorrelations in -1..1.

    >>> extract_features(np.zeros(16_000, dtype=np.float32)).shape
    (77, 128)
    """
    samples = torch.from_numpy(np.ascontiguousarray(signal, dtype=np.float32))
    if len(samples) < WINDOW:
        samples = torch.nn.functional.pad(samples, (0, WINDOW - len(samples)))
    frames = samples.unfold(0, WINDOW, HOP) * _window()
    spectra = torch.fft.rfft(frames, n=FFT_SIZE)
    # Three times as quick as the square of the magnitude, whose root nobody needs.
    power = spectra.real.square() + spectra.imag.square()
    mels = power @ mel_filters()
    level = mels.mean().clamp_min(1e-10)
    mels = torch.log10(mels / level + FLOOR)
    # Above the cutoff the kernels are zero.
    compressed = (power[:, :_PITCH_TOP] + level * FLOOR).pow(PITCH_COMPRESSION)
    lags, lag_zero = pitch_kernels()
    pitch = (compressed @ lags[:_PITCH_TOP]) / (compressed @ lag_zero[:_PITCH_TOP])[:, None].clamp_min(1e-10)
    return torch.cat([mels, pitch], dim=1).numpy()
