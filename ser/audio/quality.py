"""Quality of a recording (level, clipping, noise, bandwidth) as sentences for its listener.

Pure functions on a signal; refuses nothing.
"""

import numpy as np

from ser.types import SAMPLING_RATE, Signal

EDGE = 0.05
"""Seconds at either end that do not count for the level: resampling rings where a constant offset begins and ends."""

QUIET_LEVEL = -40.0
"""dBFS of the loudest sound below which a recording is called very quiet."""

CLIPPED_BAND = 0.98
"""Samples above this share of the peak belong to its flattened top."""

CLIPPED_SHARE = 0.005
"""Share of samples in the flattened top that makes a recording clipped."""

CLIPPED_LEVEL = -12.0
"""dBFS; below this peak no converter clips."""

NOISE_MIN_DURATION = 2.0
"""Seconds; shorter clips may hold no pause with the noise alone."""

NOISY_RATIO = 14.0
"""dB between loud and quiet frames below which a recording is called noisy.

The cleanest corpora lie above 17 (nEMO) to 46 (RAVDESS); rain or a helicopter as loud as the speech gives 8 to 12."""

REDUCE = "Reducing the noise first may help the voice's answer; in a clean recording it costs more than it helps."
"""Of noisy recordings: what `ser.audio.denoising` was measured to do (benchmarks/README.md, "Acoustic model")."""

WIDE_BAND = 16_000
"""Hz; below this sampling rate consonants lose their upper half, as on the telephone."""


def peak_level(signal: Signal) -> float:
    """Loudest excursion in dBFS, whatever the constant offset; -inf where all samples are equal.

    Args:
        signal: float32 of shape (samples,) at 16 kHz, longer than twice `EDGE`.

    >>> peak_level(np.full(16_000, 0.3, np.float32))
    -inf
    >>> round(peak_level(np.tile(np.float32([0.5, -0.5]), 8_000)), 2)
    -6.02
    """
    edge = round(EDGE * SAMPLING_RATE)
    excursion = float(np.ptp(signal[edge:-edge])) / 2
    return 20 * float(np.log10(excursion)) if excursion > 0 else -np.inf


def clipped_share(signal: Signal) -> float:
    """Share of samples within the top 2 % of the peak, where speech has next to none unless it was flattened.

    >>> clipped_share(np.tile(np.float32([0.1, 0.9, 0.9, 0.1]), 100))
    0.5
    """
    magnitude = np.abs(signal)
    return float(np.mean(magnitude >= CLIPPED_BAND * magnitude.max(initial=1e-9)))


def signal_to_noise(signal: Signal) -> float:
    """Estimated dB between speech and background, from the loud and the quiet frames.

    The 95th percentile of the energies of 32 ms frames stands for speech over noise, the 10th for noise alone.

    Args:
        signal: float32 of shape (samples,) at 16 kHz, at least one frame long.
    """
    frame = round(0.032 * SAMPLING_RATE)
    frames = signal[: len(signal) // frame * frame].reshape(-1, frame)
    energies = np.var(frames, axis=1, dtype=np.float64) + 1e-12
    quiet, loud = np.percentile(energies, (10, 95))
    return float(10 * np.log10(max(loud - quiet, 1e-12) / quiet))


def describe_quality(signal: Signal, native_rate: int) -> tuple[str, ...]:
    """Sentences on what a listener should know; empty for a clean recording.

    Args:
        signal: float32 of shape (samples,) at 16 kHz, full scale ±1.
        native_rate: Hz, before resampling.
    """
    notes = []
    level = peak_level(signal)
    if level < QUIET_LEVEL:
        notes.append(f"Very quiet: the loudest sound is at {level:.0f} dBFS. Move closer to the microphone.")
    if level > CLIPPED_LEVEL and clipped_share(signal) > CLIPPED_SHARE:
        notes.append("Clipped: the loudest parts are flattened. Turn the recording level down.")
    if len(signal) >= NOISE_MIN_DURATION * SAMPLING_RATE and (ratio := signal_to_noise(signal)) < NOISY_RATIO:
        notes += [f"Noisy: speech is only about {max(ratio, 0):.0f} dB above the background.", REDUCE]
    if native_rate < WIDE_BAND:
        notes.append(f"Telephone quality: sampled at {native_rate} Hz, so high frequencies are missing.")
    return tuple(notes)
