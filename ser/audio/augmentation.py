"""Augmentation of recordings: speed, rooms, noises, microphones, lines.

Pure and seeded: every function takes the random generator it draws from. Signals are float32 of shape (samples,) at
16 kHz. Knows nothing of features or training.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from scipy.fft import next_fast_len
from scipy.signal import butter, sosfilt

from ser.audio.decoding import decode_file
from ser.audio.formats import AUDIO_SUFFIXES, FORMATS
from ser.config import TrainConfig
from ser.errors import AudioError, TrainingDataError
from ser.types import SAMPLING_RATE, Signal

TELEPHONE_RATE = 8_000
"""Hz."""


@dataclass(frozen=True)
class SignalAugmentation:
    """Ranges and probabilities of augmentation; the attributes are those of `ser.config.TrainConfig`, and the band's.

    Attributes:
        band_probability: of losing what lies above a drawn frequency.
        band: lowest and highest such frequency, Hz: corpora differ in bandwidth, which says nothing of a feeling.
        direct: lowest and highest ratio of direct to reverberant sound in a room, dB.
        crop_probability: of keeping a part only.
        crop: shortest and longest part, seconds.
    """

    speed: tuple[float, float] = TrainConfig.speed
    gain: tuple[float, float] = TrainConfig.gain
    reverb_probability: float = TrainConfig.reverb_probability
    reverb_time: tuple[float, float] = TrainConfig.reverb_time
    noise_probability: float = TrainConfig.noise_probability
    snr: tuple[float, float] = TrainConfig.snr
    telephone_probability: float = TrainConfig.telephone_probability
    clipping_probability: float = TrainConfig.clipping_probability
    codec_probability: float = TrainConfig.codec_probability
    codec_bitrate: tuple[float, float] = TrainConfig.codec_bitrate
    band_probability: float = 0.0
    band: tuple[float, float] = (3400.0, 8000.0)
    direct: tuple[float, float] = (0.0, 12.0)
    crop_probability: float = 0.0
    crop: tuple[float, float] = (0.4, 1.5)

    @classmethod
    def of(cls, config: TrainConfig) -> "SignalAugmentation":
        """Take over the attributes of a training configuration."""
        names = [attribute.name for attribute in fields(cls) if hasattr(config, attribute.name)]
        return cls(**{name: getattr(config, name) for name in names})

    def apply(self, signal: Signal, noises: Sequence[Signal], generator: np.random.Generator) -> Signal:
        """One drawn variant of `signal`; without `noises`, the noise is synthetic.

        In the order in which it happens to a voice: the speaker, the room, the noise in it, the microphone, the line.
        """
        low, high = self.speed
        out = change_speed(signal, float(np.exp(generator.uniform(np.log(low), np.log(high)))))
        # Nothing is drawn for a probability of 0, so that seeds give what they gave before there was a crop or a band.
        if self.crop_probability and generator.random() < self.crop_probability:
            out = crop(out, float(generator.uniform(*self.crop)), generator)
        if generator.random() < self.reverb_probability:
            time, ratio = float(generator.uniform(*self.reverb_time)), float(generator.uniform(*self.direct))
            out = add_reverb(out, time, ratio, generator)
        if generator.random() < self.noise_probability:
            if noises and generator.random() < 0.6:
                noise = fit_length(noises[int(generator.integers(len(noises)))], len(out), generator)
            else:
                noise = coloured_noise(len(out), float(generator.uniform(-1.0, 2.0)), generator)
            out = add_noise(out, noise, float(generator.uniform(*self.snr)))
        out = change_gain(out, float(generator.uniform(*self.gain)))
        if generator.random() < self.clipping_probability:
            out = overdrive(out, float(generator.uniform(3.0, 15.0)))
        if self.band_probability and generator.random() < self.band_probability:
            low, high = self.band
            out = limit_band(out, float(np.exp(generator.uniform(np.log(low), np.log(high)))))
        if generator.random() < self.telephone_probability:
            out = telephone(out, float(generator.uniform(200.0, 400.0)), float(generator.uniform(3000.0, 3700.0)))
        if generator.random() < self.codec_probability:
            if generator.random() < 2 / 3:
                out = opus(out, float(generator.uniform(*self.codec_bitrate)))
            else:
                out = mp3(out, float(generator.uniform(0.5, 0.99)))
        return out


def change_speed(signal: Signal, factor: float) -> Signal:
    """Play faster (above 1) or slower: tempo, pitch and formants move together, like another speaker.

    >>> len(change_speed(np.zeros(16_000, dtype=np.float32), 1.25))
    12800
    """
    if factor == 1.0:
        return signal
    return np.asarray(soxr.resample(signal, SAMPLING_RATE * factor, SAMPLING_RATE, quality="MQ"), dtype=np.float32)


def limit_band(signal: Signal, cutoff: float) -> Signal:
    """Take out what lies above `cutoff` Hz, over a transition of 300 Hz.

    >>> tone = np.sin(2 * np.pi * 6000 / 16_000 * np.arange(16_000)).astype(np.float32)
    >>> bool(limit_band(tone, 4000.0).std() < 0.01), bool(limit_band(tone, 7500.0).std() > 0.7)
    (True, True)
    """
    size = 1 << (len(signal) - 1).bit_length()
    kept = np.clip((cutoff + 150.0 - np.fft.rfftfreq(size, 1.0 / SAMPLING_RATE)) / 300.0, 0.0, 1.0)
    return np.fft.irfft(np.fft.rfft(signal, size) * kept, size)[: len(signal)].astype(np.float32)


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


def crop(signal: Signal, duration: float, generator: np.random.Generator) -> Signal:
    """A drawn part of a recording, in half of the draws its beginning.

    >>> len(crop(np.ones(32_000, dtype=np.float32), 0.5, np.random.default_rng(0)))
    8000
    """
    spare = len(signal) - round(duration * SAMPLING_RATE)
    if spare <= 0:
        return signal
    start = int(generator.integers(spare + 1)) if generator.random() < 0.5 else min(spare, SAMPLING_RATE // 10)
    return signal[start : start + len(signal) - spare]


EARLY = 0.01
"""Seconds after the direct sound in which reflections in a small room come one by one."""


def add_reverb(signal: Signal, reverb_time: float, ratio: float, generator: np.random.Generator) -> Signal:
    """Put the voice into a drawn room, at the power it had: direct sound, single reflections, a diffuse tail.

    Source of the decay: Polack's model, in Jot et al. 1997, "Analysis and synthesis of room reverberation based on a
    statistical time-frequency model" (60 dB in `reverb_time` seconds; treble, which air and walls absorb, in less).
    Source of the density of reflections, which grows with the square of time: Kuttruff, "Room Acoustics", 4.1.

    Args:
        signal: of a close microphone.
        reverb_time: RT60, seconds.
        ratio: of the energies of the direct and the reverberant sound, dB.
        generator: draws everything else.
    """
    samples = max(2, round(reverb_time * SAMPLING_RATE))
    times = np.arange(samples) / SAMPLING_RATE
    low, high = generator.standard_normal((2, samples))
    border = butter(1, float(generator.uniform(800.0, 4000.0)), fs=SAMPLING_RATE, output="sos")
    treble_time = reverb_time * float(generator.uniform(0.4, 1.0))
    tail = sosfilt(border, low) * 10.0 ** (-3.0 * times / reverb_time)
    tail += (high - sosfilt(border, high)) * 10.0 ** (-3.0 * times / treble_time)
    density = np.clip((times / (EARLY * float(generator.uniform(0.5, 3.0)))) ** 2, 1e-3, 1.0)
    tail *= (generator.random(samples) < density) / np.sqrt(density)
    tail[: round(float(generator.uniform(0.001, 0.006)) * SAMPLING_RATE)] = 0.0
    impulse = tail / np.sqrt(max(float(np.sum(tail**2)), 1e-12) * 10.0 ** (ratio / 10.0))
    impulse[0] = 1.0
    size = next_fast_len(len(signal) + samples, real=True)
    wet = np.fft.irfft(np.fft.rfft(signal, size) * np.fft.rfft(impulse, size), size)[: len(signal)]
    power = float(np.mean(wet**2))
    return (wet * np.sqrt(float(np.mean(signal**2)) / power) if power > 0.0 else wet).astype(np.float32)


def change_gain(signal: Signal, decibels: float) -> Signal:
    """Make a signal louder or quieter, clipped at full scale as by a microphone."""
    return np.clip(signal * 10.0 ** (decibels / 20.0), -1.0, 1.0).astype(np.float32)


def overdrive(signal: Signal, decibels: float) -> Signal:
    """Overdrive as a microphone set too loud does: scale to full scale, add `decibels`, and clip.

    >>> print(overdrive(np.array([0.1, -0.2, 0.02], dtype=np.float32), 6.0206).round(2))
    [ 1.  -1.   0.2]
    """
    peak = float(np.abs(signal).max(initial=0.0))
    return change_gain(signal / np.float32(peak), decibels) if peak > 0.0 else signal


def telephone(signal: Signal, low: float, high: float) -> Signal:
    """Keep the band from `low` to `high` Hz at 8 kHz, in the eight bits of mu-law.

    Source: ITU-T G.711 (mu-law) and G.712 (the band of 300 to 3400 Hz).
    """
    narrow = soxr.resample(signal, SAMPLING_RATE, TELEPHONE_RATE, quality="MQ")
    band = butter(4, (low, high), "bandpass", fs=TELEPHONE_RATE, output="sos")
    line = np.clip(sosfilt(band, narrow), -1.0, 1.0)
    coded = _recode(line, TELEPHONE_RATE, format="WAV", subtype="ULAW")
    return _of_length(soxr.resample(coded, TELEPHONE_RATE, SAMPLING_RATE, quality="MQ"), len(signal))


def opus(signal: Signal, bitrate: float) -> Signal:
    """Encode and decode by Opus, as browsers record: `bitrate` in kbit/s, about, from 6 to 256."""
    # libsndfile takes a level of compression, which is linear in the bitrate from 256 (0) to 6 kbit/s (1).
    level = float(np.clip(1.0 - (bitrate - 6.0) / 250.0, 0.0, 1.0))
    return _of_length(
        _recode(signal, SAMPLING_RATE, format="OGG", subtype="OPUS", compression_level=level), len(signal)
    )


def mp3(signal: Signal, level: float) -> Signal:
    """Encode and decode by MP3; `level` of compression 0..0.99, 0.5 giving some 46 and 0.99 some 26 kbit/s."""
    return _of_length(
        _recode(signal, SAMPLING_RATE, format="MP3", subtype="MPEG_LAYER_III", compression_level=level), len(signal)
    )


def _recode(signal: Signal, rate: int, **options: Any) -> Signal:
    with BytesIO() as coded:
        with soundfile.SoundFile(coded, "w", rate, 1, **options) as writer:
            writer.write(signal)
        coded.seek(0)
        decoded, _ = soundfile.read(coded, dtype="float32")
    return np.asarray(decoded, dtype=np.float32)


def _of_length(signal: Signal, samples: int) -> Signal:
    """Cut a signal, or pad it with silence, to so many samples: codecs work in frames."""
    kept = signal[:samples]
    return np.pad(kept, (0, samples - len(kept))).astype(np.float32)


HELD_OUT_NOISE = re.compile(r"5-\d+-[A-Z]\.")
"""Begins the names of the noise that robustness is measured with, and that training therefore leaves out: fold 5 of
ESC-10. Source of the folds: Piczak 2015, "ESC: Dataset for Environmental Sound Classification",
https://doi.org/10.1145/2733373.2806390"""


def sounding_part(signal: Signal) -> Signal:
    """Cut off silence before and after a noise, 60 dB under its peak: short recordings of ESC are filled up with it.

    >>> len(sounding_part(np.pad(np.ones(100, dtype=np.float32), 50)))
    100
    """
    sounding = np.flatnonzero(np.abs(signal) > 1e-3 * np.abs(signal).max(initial=0.0))
    return signal[sounding[0] : sounding[-1] + 1] if len(sounding) else signal


def load_noises(folder: Path) -> list[Signal]:
    """Read every recording under `folder` as noise, except those of `HELD_OUT_NOISE`.

    Raises:
        TrainingDataError: if there is none that can be used.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES)
    noises = []
    for path in paths:
        if HELD_OUT_NOISE.match(path.name):
            continue
        try:
            noises.append(sounding_part(decode_file(path).signal))
        except AudioError:
            # Silence is no noise.
            continue
    if not noises:
        raise TrainingDataError(
            f"No recordings of noise under {folder} that can be used, of {len(paths)} files; expected {FORMATS}."
        )
    return noises
