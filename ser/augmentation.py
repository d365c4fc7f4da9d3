"""Makes other recordings of the same feeling: other voices, rooms, microphones, noises.

Pure and seeded: every function takes the random generator it draws from. Signals are float32 of shape (samples,) at
16 kHz; features are those of `ser.acoustic.features`. Knows nothing of training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from ser.acoustic.features import FLOOR, MEL_BANDS
from ser.errors import TrainingDataError
from ser.types import SAMPLING_RATE, Signal

Features = npt.NDArray[np.float32]
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")


@dataclass(frozen=True)
class SignalAugmentation:
    """How far a recording may be changed.

    Attributes:
        speed: lowest and highest factor of speed and pitch together.
        noise_probability: of noise being added.
        snr: lowest and highest signal-to-noise ratio, dB.
        reverb_probability: of a room being added.
        reverb_time: shortest and longest RT60, seconds.
    """

    speed: tuple[float, float] = (0.84, 1.19)
    noise_probability: float = 0.5
    snr: tuple[float, float] = (5.0, 30.0)
    reverb_probability: float = 0.3
    reverb_time: tuple[float, float] = (0.1, 0.5)

    def apply(self, signal: Signal, noises: Sequence[Signal], generator: np.random.Generator) -> Signal:
        """One drawn variant of `signal`; without `noises`, the noise is synthetic."""
        low, high = self.speed
        out = change_speed(signal, float(np.exp(generator.uniform(np.log(low), np.log(high)))))
        if generator.random() < self.reverb_probability:
            out = add_reverb(out, float(generator.uniform(*self.reverb_time)), generator)
        if generator.random() < self.noise_probability:
            if noises and generator.random() < 0.6:
                noise = fit_length(noises[int(generator.integers(len(noises)))], len(out), generator)
            else:
                noise = coloured_noise(len(out), float(generator.uniform(-1.0, 2.0)), generator)
            out = add_noise(out, noise, float(generator.uniform(*self.snr)))
        return out


@dataclass(frozen=True)
class FeatureAugmentation:
    """How far features may be changed while training; 0 switches a change off.

    Attributes:
        stretch: largest relative change of tempo.
        warp: largest relative shift of the mel scale, a longer or shorter vocal tract.
        equaliser: largest gain of a drawn microphone curve, bels.
        floor: largest rise of the noise floor over `FLOOR`, bels.
        time_masks: how many stretches of time are hidden, each at most `time_mask_share` of the clip.
        band_masks: how many stretches of mel bands are hidden, each at most `band_mask_size` bands.
    """

    stretch: float = 0.2
    warp: float = 0.08
    equaliser: float = 0.6
    floor: float = 2.5
    time_masks: int = 2
    time_mask_share: float = 0.12
    band_masks: int = 2
    band_mask_size: int = 10

    def apply(self, features: Features, generator: np.random.Generator) -> Features:
        """One drawn variant of `features`."""
        out = features
        if self.stretch or self.warp:
            tempo = float(np.exp(generator.uniform(-self.stretch, self.stretch)))
            out = warp_features(out, tempo, float(generator.uniform(-self.warp, self.warp)))
        else:
            out = out.copy()
        mels = out[:, :MEL_BANDS]
        if self.equaliser:
            mels += equaliser_curve(self.equaliser, generator)
        if self.floor and generator.random() < 0.5:
            rise = generator.uniform(0.0, self.floor)
            mels[:] = np.log10(10.0**mels + FLOOR * 10.0**rise)
        for _ in range(self.time_masks):
            size = int(generator.uniform(0.0, self.time_mask_share) * len(out))
            start = int(generator.integers(0, len(out) - size + 1))
            out[start : start + size] = out.mean(0)
        for _ in range(self.band_masks):
            size = int(generator.integers(0, self.band_mask_size + 1))
            start = int(generator.integers(0, MEL_BANDS - size + 1))
            mels[:, start : start + size] = mels.mean()
        return out


def change_speed(signal: Signal, factor: float) -> Signal:
    """Play faster (above 1) or slower: tempo, pitch and formants move together, like another speaker.

    >>> len(change_speed(np.zeros(16_000, dtype=np.float32), 1.25))
    12800
    """
    if factor == 1.0:
        return signal
    return np.asarray(soxr.resample(signal, SAMPLING_RATE * factor, SAMPLING_RATE, quality="MQ"), dtype=np.float32)


def add_noise(signal: Signal, noise: Signal, snr: float) -> Signal:
    """Add `noise` (same length) so that the signal-to-noise ratio is `snr` dB over the whole recording."""
    power = float(np.mean(signal**2))
    noise_power = float(np.mean(noise**2))
    if noise_power <= 0.0 or power <= 0.0:
        return signal
    gain = np.sqrt(power / noise_power / 10.0 ** (snr / 10.0))
    return (signal + gain * noise).astype(np.float32)


def coloured_noise(samples: int, exponent: float, generator: np.random.Generator) -> Signal:
    """Gaussian noise whose power falls as 1 / frequency ** exponent: 0 is white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(generator.standard_normal(samples))
    frequencies = np.maximum(np.fft.rfftfreq(samples, 1.0 / SAMPLING_RATE), 20.0)
    noise = np.fft.irfft(spectrum * frequencies ** (-exponent / 2.0), samples)
    return (noise / max(float(np.std(noise)), 1e-12)).astype(np.float32)


def fit_length(noise: Signal, samples: int, generator: np.random.Generator) -> Signal:
    """A drawn stretch of `noise` of so many samples, repeated where it is too short."""
    start = int(generator.integers(0, len(noise)))
    return np.take(noise, np.arange(start, start + samples), mode="wrap")


def add_reverb(signal: Signal, reverb_time: float, generator: np.random.Generator) -> Signal:
    """Put the voice into a room: a direct path and an exponentially decaying noise tail.

    Source of the decay: Polack's model, in Jot et al. 1997, "Analysis and synthesis of room reverberation based on a
    statistical time-frequency model" (60 dB in `reverb_time` seconds).
    """
    samples = max(2, round(reverb_time * SAMPLING_RATE))
    tail = generator.standard_normal(samples) * 10.0 ** (-3.0 * np.arange(samples) / samples)
    tail[: round(0.002 * SAMPLING_RATE)] = 0.0
    energy = float(np.sum(tail**2))
    direct_to_reverberant = 10.0 ** (generator.uniform(0.0, 12.0) / 10.0)
    impulse = tail / np.sqrt(max(energy, 1e-12) * direct_to_reverberant)
    impulse[0] = 1.0
    size = 1 << (len(signal) + samples - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(signal, size) * np.fft.rfft(impulse, size), size)[: len(signal)]
    return wet.astype(np.float32)


def change_gain(signal: Signal, decibels: float) -> Signal:
    """Louder or quieter, clipped at full scale as a microphone would."""
    return np.clip(signal * 10.0 ** (decibels / 20.0), -1.0, 1.0).astype(np.float32)


def warp_features(features: Features, tempo: float, shift: float) -> Features:
    """Resample features over time and over mel bands.

    Args:
        features: (frames, size).
        tempo: above 1 is faster, giving fewer frames.
        shift: of the mel scale; 0.05 moves every band up by 5 % of its place. The pitch map stays.
    """
    frames = max(1, round(len(features) / tempo))
    times = np.linspace(0.0, len(features) - 1.0, frames)
    out = _interpolate(features, times)
    if shift:
        bands = np.clip(np.arange(MEL_BANDS) * (1.0 - shift), 0.0, MEL_BANDS - 1.0)
        out[:, :MEL_BANDS] = _interpolate(np.ascontiguousarray(out[:, :MEL_BANDS].T), bands).T
    return out


def _interpolate(values: Features, places: npt.NDArray[np.float64]) -> Features:
    low = np.floor(places).astype(np.int64)
    high = np.minimum(low + 1, len(values) - 1)
    share = (places - low).astype(np.float32)[:, None]
    return values[low] * (1.0 - share) + values[high] * share


def equaliser_curve(largest: float, generator: np.random.Generator) -> Features:
    """A smooth drawn microphone curve over the mel bands, in bels, shape (MEL_BANDS,)."""
    knots = generator.uniform(-largest, largest, size=5)
    return np.interp(np.linspace(0.0, 4.0, MEL_BANDS), np.arange(5), knots).astype(np.float32)


def load_noises(folder: Path) -> list[Signal]:
    """Read every recording under `folder` as noise.

    Raises:
        TrainingDataError: where there is none, or one is not at 16 kHz.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES)
    if not paths:
        raise TrainingDataError(f"No recordings of noise under {folder}; expected files {', '.join(AUDIO_SUFFIXES)}.")
    noises = []
    for path in paths:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        mono = samples.mean(axis=1)
        noises.append(mono if rate == SAMPLING_RATE else soxr.resample(mono, rate, SAMPLING_RATE).astype(np.float32))
    return [n for n in noises if len(n) and float(np.abs(n).max()) > 1e-4]
